"""What is wrong with a SolverParameter, all of it at once; no torch, nothing computed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

from ..errors import Fault, Places, did_you_mean
from . import policies, tracker, update

TRAIN_NETS = ("net", "net_param", "train_net", "train_net_param")
"""The four ways to name the train net."""


class Checks:
    """Collects faults and warnings about one message.

    Attributes:
        faults: what makes the settings unusable; warnings: what is odd, or has no effect.
    """

    def __init__(self, message: Any, places: Places) -> None:
        self.message = message
        self.places = places
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def given(self, field: str) -> bool:
        """Whether the field is in the message (a repeated one: has elements)."""
        try:
            return bool(self.message.HasField(field))
        except ValueError:  # protobuf knows presence for singular fields only
            return bool(len(getattr(self.message, field)))

    def said(self, field: str) -> str:
        """The field's value for a message: ", got 7", or ", and is not set"."""
        value = getattr(self.message, field)
        if not self.given(field):
            return ", and is not set"
        if isinstance(value, float):
            return f", got {value:g}"
        if isinstance(value, str):
            return f', got "{value}"'
        return f", got {value if isinstance(value, int) else list(value)}"

    @property
    def test_nets(self) -> int:
        """How many test nets are asked for."""
        own = len(self.message.test_net) + len(self.message.test_net_param)
        return max(own, len(self.message.test_iter))

    def expect(self, ok: bool, message: str, field: str = "", help: str | None = None) -> bool:
        """Note a fault unless `ok`."""
        if not ok:
            self.faults.append(Fault(message, self.places(field), help))
        return ok

    def require(self, ok: bool, field: str, rule: str, help: str | None = None) -> bool:
        """Note "<field> <rule>, got <value>" unless `ok`."""
        return self.expect(ok, f"{field} {rule}{self.said(field)}", field, help)

    def warn(self, message: str, field: str = "", help: str | None = None) -> None:
        """Note a warning."""
        self.warnings.append(Fault(message, self.places(field), help, severity="warning"))

    # -- rules that several settings share ----------------------------------------------------------------------

    def not_negative(self, field: str, help: str | None = None) -> None:
        """The field is at least 0."""
        self.require(getattr(self.message, field) >= 0, field, "must be at least 0", help)

    def fraction(self, field: str) -> None:
        """The field is at least 0 and below 1."""
        self.require(0 <= getattr(self.message, field) < 1, field, "must be at least 0 and below 1")

    def no_momentum(self, kind: str) -> None:
        """momentum is absent or 0."""
        help = "leave momentum out, or use type SGD, Nesterov or Adam"
        self.require(self.message.momentum == 0, "momentum", f"cannot be used with {kind}", help)

    def no_l1(self, kind: str, help: str) -> None:
        """Weight decay, if there is any, is L2."""
        used = self.message.weight_decay and self.message.regularization_type == "L1"
        self.expect(not used, f"regularization_type L1 cannot be used with {kind}", "regularization_type", help)

    def warn_unless_set(self, field: str, message: str) -> None:
        """A setting whose default is hardly ever meant."""
        if not self.given(field):
            self.warn(message, field)

    def warn_without_effect(self, fields: Iterable[str], why: str) -> None:
        """Those of the fields that are set have no effect."""
        for field in fields:
            if self.given(field):
                self.warn(f"{field} has no effect with {why}", field)


def check(message: Any, places: Places) -> Checks:
    """Everything that is wrong or odd about the settings of a solver.

    What the original would abort on is a fault, and so is what can only be a slip (no base_lr, a momentum of 9);
    what it would accept without using it, a warning.
    """
    checks = Checks(message, places)
    _nets(checks)
    _numbers(checks)
    _policy(checks)
    _rates(checks)
    if checks.given("early_stop"):
        tracker.check(checks, "early_stop")
    _type(checks)
    _regularization(checks)
    _snapshots(checks)
    return checks


def _nets(checks: Checks) -> None:
    """`Solver::InitTrainNet` and `InitTestNets`, `src/caffe/solver.cpp`."""
    message = checks.message
    named = [field for field in TRAIN_NETS if checks.given(field)]
    if not named:
        checks.expect(False, f"no train net: none of {', '.join(TRAIN_NETS)} is set", help='net: "train_test.prototxt"')
    elif len(named) > 1:
        checks.expect(False, f"more than one train net: {' and '.join(named)} are set", named[1], "keep one of them")
    generic = checks.given("net") or checks.given("net_param")
    own = len(message.test_net) + len(message.test_net_param)
    counted = len(message.test_iter)
    where = "test_iter" if counted else "test_net" if message.test_net else "test_net_param"
    checks.expect(
        counted >= own if generic else counted == own or not named,
        f"test_iter must be given once for each test net: {counted} for {_plural(own, 'test net')}",
        where,
        "name further nets with test_net; only a train net named by net or net_param is tested too"
        if counted > own
        else None,
    )
    nets = checks.test_nets
    states = len(message.test_state)
    checks.expect(
        states in (0, nets),
        f"test_state must be left out or given once for each test net: {states} for {_plural(nets, 'test net')}",
        "test_state",
    )
    if nets:
        help = "the number of iterations between tests"
        checks.require(message.test_interval > 0, "test_interval", "must be above 0 when there are test nets", help)
    elif message.test_interval:
        checks.warn("test_interval has no effect without test nets", "test_interval", "add test_iter for each test net")
    for index, batches in enumerate(message.test_iter):
        if batches <= 0:
            checks.warn(f"test_iter {batches} tests on no batch", f"test_iter[{index}]")
    for index, files in enumerate(message.weights):
        checks.expect(all(split_paths(files)), "weights names no file", f"weights[{index}]")


def split_paths(text: str) -> list[str]:
    """The paths in a comma-separated list, without the blanks around them."""
    return [path.strip() for path in text.split(",")]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _numbers(checks: Checks) -> None:
    message = checks.message
    checks.expect(checks.given("base_lr"), "base_lr is not set: nothing would be learned", help="base_lr: 0.01")
    if message.base_lr < 0:
        checks.warn("base_lr is negative: the loss would rise", "base_lr")
    checks.not_negative("max_iter")
    if checks.given("max_epoch"):
        help = "leave max_epoch out to train up to max_iter"
        checks.require(0 < message.max_epoch < math.inf, "max_epoch", "must be above 0, and finite", help)
        if checks.given("max_iter") and message.max_iter == 0:
            checks.expect(False, "max_iter 0 leaves nothing to train of max_epoch", "max_iter", "leave max_iter out")
    else:
        checks.warn_unless_set("max_iter", "max_iter is not set: there is nothing to train")
    checks.not_negative("display", "leave display out to show nothing")
    for field in ("iter_size", "average_loss"):
        checks.require(getattr(message, field) >= 1, field, "must be at least 1", f"leave {field} out to use 1")
    if message.clip_gradients == 0:
        checks.warn("clip_gradients 0 scales every gradient to nothing", "clip_gradients", "leave it out not to clip")


def _policy(checks: Checks) -> None:
    message = checks.message
    known = policies.policies.names()
    if not checks.given("lr_policy"):
        checks.expect(False, "lr_policy is not set", help=f"known: {', '.join(known)}")
        return
    name = message.lr_policy
    policy = policies.policies.get(name)
    if policy is None:
        help = did_you_mean(name, known) or f"known: {', '.join(known)}"
        checks.expect(False, f'unknown lr_policy "{name}"', "lr_policy", help)
        return
    why = f"lr_policy {name}"
    if "gamma" in policy.reads:
        checks.not_negative("gamma")
    for field in ("stepsize", "max_iter"):
        counted_in_epochs = field == "max_iter" and checks.given("max_epoch") and not checks.given(field)
        if field in policy.reads and not counted_in_epochs:
            checks.require(getattr(message, field) > 0, field, f"must be above 0 with {why}")
    for field in policies.FIELDS:
        if field in policy.reads and field not in ("stepsize", "plateau"):
            checks.warn_unless_set(field, f"{why} reads {field}, which is not set")
    if "plateau" in policy.reads and checks.given("plateau"):
        tracker.check(checks, "plateau")
    elif "plateau" in policy.reads:
        help = 'plateau { output: "accuracy" patience: 5 }'
        checks.expect(False, f"{why} reads plateau, which is not set", "lr_policy", help)
    if "stepvalue" in policy.reads and list(message.stepvalue) != sorted(message.stepvalue):
        checks.warn(f"stepvalue does not ascend: {list(message.stepvalue)}", "stepvalue")
    checks.warn_without_effect((field for field in policies.FIELDS if field not in policy.reads), why)


def _rates(checks: Checks) -> None:
    """What changes the rate of any policy."""
    message = checks.message
    for field in ("rampup_interval", "rampup_lr", "min_lr"):
        checks.not_negative(field)
    if not message.rampup_interval:
        checks.warn_without_effect(["rampup_lr"], "no rampup_interval")
    elif message.rampup_lr > message.base_lr:
        checks.warn("rampup_lr is above base_lr: the rate begins with a fall", "rampup_lr")
    if message.rampup_interval >= message.max_iter > 0:
        why = f"rampup_interval reaches up to max_iter: lr_policy {message.lr_policy} never has its say"
        checks.warn(why, "rampup_interval")
    if checks.given("min_lr") and message.min_lr > message.base_lr:
        checks.warn("min_lr is above base_lr: the rate never changes", "min_lr")


def _type(checks: Checks) -> None:
    name = checks.message.type
    kind = update.updates.get(name)
    if kind is None:
        known = update.updates.names()
        help = did_you_mean(name, known) or f"known: {', '.join(known)}"
        checks.expect(False, f'unknown solver type "{name}"', "type", help)
        return
    if "momentum" not in kind.reads:
        checks.no_momentum(name)
    kind.check(checks)
    checks.warn_without_effect((field for field in update.FIELDS if field not in kind.reads), f"type {name}")


def _regularization(checks: Checks) -> None:
    message = checks.message
    if message.weight_decay < 0:
        checks.warn("weight_decay is negative: it pushes weights away from 0", "weight_decay")
    if not message.weight_decay:
        checks.warn_without_effect(["regularization_type"], "no weight_decay")
        return
    kind, known = message.regularization_type, ("L1", "L2")
    help = did_you_mean(kind, known) or "known: L1, L2"
    checks.expect(kind in known, f'unknown regularization_type "{kind}"', "regularization_type", help)


def _snapshots(checks: Checks) -> None:
    message = checks.message
    checks.not_negative("snapshot", "leave snapshot out to write one after training only")
    writes = "snapshot" if message.snapshot > 0 else "early_stop" if checks.given("early_stop") else None
    if writes is not None:
        if not checks.given("snapshot_prefix"):
            why = f"{writes} is set, and snapshot_prefix is not"
            checks.expect(False, why, writes, 'snapshot_prefix: "lenet"')
            return
        fault = folder_fault(message.snapshot_prefix)
        if fault is not None:
            checks.faults.append(fault.at(checks.places("snapshot_prefix")))


def folder_fault(prefix: str) -> Fault | None:
    """Why snapshots named `prefix`… cannot be written, or None where they can."""
    folder = os.path.dirname(prefix) or os.curdir
    if not os.path.isdir(folder):
        return Fault(f"snapshots cannot be written: there is no folder {folder}", help=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Fault(f"snapshots cannot be written: the folder {folder} is not writable")
    return None
