"""What is wrong with a SolverParameter, all of it at once; no torch, nothing computed."""

from __future__ import annotations

import math
import os
from typing import Any

from ..errors import Fault, Places, did_you_mean
from . import policies, precision, tracker, update
from .checks import TRAIN_NETS, Checks

CHANGING_MOMENTUM = ("SGD", "Nesterov")
"""The solver types whose momentum may change with the iteration."""

LOCAL_RATES = (
    ("larc", CHANGING_MOMENTUM, ("larc_policy", "larc_eta")),
    ("local_lr_auto", ("SGD",), ("local_gw_ratio",)),
)
"""What gives a rate to each parameter, the solver types it works with, and the settings it reads."""

EVAL_TYPES = ("classification", "detection")
"""What eval_type names: the mean of each output, or the mean average precision of what it detects."""


def check(message: Any, places: Places) -> Checks:
    """Everything that is wrong or odd about the settings of a solver.

    What the original would abort on is a fault, and so is what can only be a slip (a momentum of 9);
    what it would accept without using it, a warning.
    """
    checks = Checks(message, places)
    _nets(checks)
    _evaluation(checks)
    _numbers(checks)
    _policy(checks)
    _rates(checks)
    if checks.given("early_stop"):
        tracker.check(checks, "early_stop")
    _type(checks)
    _momentum(checks, message.type in CHANGING_MOMENTUM)
    _local_rates(checks)
    _regularization(checks)
    _snapshots(checks)
    return checks


def _nets(checks: Checks) -> None:
    """`Solver::InitTrainNet` and `InitTestNets`, `src/caffe/solver.cpp`."""
    message = checks.message
    named = [field for field in TRAIN_NETS if checks.given(field)]
    if not named:
        why = f"no train net: none of {', '.join(TRAIN_NETS)} is set"
        checks.expect(False, why, help='net: "train_test.prototxt"', code="CL501")
    elif len(named) > 1:
        why = f"more than one train net: {' and '.join(named)} are set"
        checks.expect(False, why, named[1], "keep one of them", code="CL502")
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
        code="CL503",
    )
    nets = checks.test_nets
    states = len(message.test_state)
    checks.expect(
        states in (0, nets),
        f"test_state must be left out or given once for each test net: {states} for {_plural(nets, 'test net')}",
        "test_state",
        code="CL504",
    )
    if nets:
        help = "the number of iterations between tests"
        rule = "must be above 0 when there are test nets"
        checks.require(message.test_interval > 0, "test_interval", rule, help, code="CL505")
    elif message.test_interval:
        help = "add test_iter for each test net"
        checks.warn("test_interval has no effect without test nets", "test_interval", help, code="CL506")
    for index, batches in enumerate(message.test_iter):
        if batches <= 0:
            checks.warn(f"test_iter {batches} tests on no batch", f"test_iter[{index}]", code="CL507")
    for index, files in enumerate(message.weights):
        checks.expect(all(split_paths(files)), "weights names no file", f"weights[{index}]", code="CL508")


def _evaluation(checks: Checks) -> None:
    """`Solver::TestAll`, `src/caffe/solver.cpp` of weiliu89/caffe, branch ssd."""
    for field, known in (("eval_type", EVAL_TYPES), ("ap_version", tuple(precision.VERSIONS))):
        value = getattr(checks.message, field)
        help = did_you_mean(value, known) or f"known: {', '.join(known)}"
        checks.expect(value in known, f'unknown {field} "{value}"', field, help)
    if checks.message.eval_type == "classification":
        why = 'eval_type: "classification"'
        checks.warn_without_effect(("ap_version", "show_per_class_result"), why)


def split_paths(text: str) -> list[str]:
    """The paths in a comma-separated list, without the blanks around them."""
    return [path.strip() for path in text.split(",")]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _numbers(checks: Checks) -> None:
    message = checks.message
    if message.lr_policy != "multifixed":
        checks.warn_unless_set("base_lr", "base_lr is not set: nothing would be learned", code="CL509")
    if message.base_lr < 0:
        checks.warn("base_lr is negative: the loss would rise", "base_lr", code="CL510")
    checks.not_negative("max_iter")
    if checks.given("max_epoch"):
        help = "leave max_epoch out to train up to max_iter"
        checks.require(0 < message.max_epoch < math.inf, "max_epoch", "must be above 0, and finite", help)
        if checks.given("max_iter") and message.max_iter == 0:
            why = "max_iter 0 leaves nothing to train of max_epoch"
            checks.expect(False, why, "max_iter", "leave max_iter out", code="CL512")
    else:
        checks.warn_unless_set("max_iter", "max_iter is not set: there is nothing to train", code="CL512")
    checks.not_negative("display", "leave display out to show nothing")
    for field in ("iter_size", "average_loss"):
        checks.require(getattr(message, field) >= 1, field, "must be at least 1", f"leave {field} out to use 1")
    if message.clip_gradients == 0:
        why = "clip_gradients 0 scales every gradient to nothing"
        checks.warn(why, "clip_gradients", "leave it out not to clip", code="CL510")


def _policy(checks: Checks) -> None:
    message = checks.message
    known = policies.policies.names()
    if not checks.given("lr_policy"):
        checks.expect(False, "lr_policy is not set", help=f"known: {', '.join(known)}", code="CL513")
        return
    name = message.lr_policy
    policy = policies.policies.get(name)
    if policy is None:
        help = did_you_mean(name, known) or f"known: {', '.join(known)}"
        checks.expect(False, f'unknown lr_policy "{name}"', "lr_policy", help, code="CL514")
        return
    why = f"lr_policy {name}"
    if "gamma" in policy.reads:
        checks.not_negative("gamma")
    for field in ("stepsize", "max_iter"):
        counted_in_epochs = field == "max_iter" and checks.given("max_epoch") and not checks.given(field)
        if field in policy.reads and not counted_in_epochs:
            checks.require(getattr(message, field) > 0, field, f"must be above 0 with {why}", code="CL515")
    for field in policies.FIELDS:
        if field in policy.reads and field not in ("stepsize", "plateau", "stagelr", "stageiter"):
            checks.warn_unless_set(field, f"{why} reads {field}, which is not set")
    if "plateau" in policy.reads and checks.given("plateau"):
        tracker.check(checks, "plateau")
    elif "plateau" in policy.reads:
        help = 'plateau { output: "accuracy" patience: 5 }'
        checks.expect(False, f"{why} reads plateau, which is not set", "lr_policy", help, code="CL515")
    if "stagelr" in policy.reads:
        rates, ends = len(message.stagelr), len(message.stageiter)
        help = "stagelr: 0.01 stageiter: 1000 stagelr: 0.001 stageiter: 2000"
        needed = f"{why} needs a stageiter for each stagelr, and at least one: got {rates} stagelr and {ends} stageiter"
        checks.expect(rates == ends > 0, needed, "stageiter" if ends else "lr_policy", help, code="CL515")
    if "stepvalue" in policy.reads and list(message.stepvalue) != sorted(message.stepvalue):
        checks.warn(f"stepvalue does not ascend: {list(message.stepvalue)}", "stepvalue", code="CL510")
    checks.warn_without_effect((field for field in policies.FIELDS if field not in policy.reads), why)


def _rates(checks: Checks) -> None:
    """What changes the rate of any policy."""
    message = checks.message
    for field in ("rampup_interval", "rampup_lr", "min_lr", "warmup_iter", "warmup_start_lr"):
        checks.not_negative(field)
    if not message.warmup_iter:
        checks.warn_without_effect(["warmup_start_lr"], "no warmup_iter")
    elif message.rampup_interval:
        checks.expect(False, "warmup_iter and rampup_interval are two ways to begin", "warmup_iter", "keep one of them")
    if not message.rampup_interval:
        checks.warn_without_effect(["rampup_lr"], "no rampup_interval")
    elif message.rampup_lr > message.base_lr:
        checks.warn("rampup_lr is above base_lr: the rate begins with a fall", "rampup_lr", code="CL510")
    if message.rampup_interval >= message.max_iter > 0:
        why = f"rampup_interval reaches up to max_iter: lr_policy {message.lr_policy} never has its say"
        checks.warn(why, "rampup_interval", code="CL510")
    if checks.given("min_lr") and checks.given("base_lr") and message.min_lr > message.base_lr:
        checks.warn("min_lr is above base_lr: the rate never changes", "min_lr", code="CL510")


def _type(checks: Checks) -> None:
    name = checks.message.type
    kind = update.updates.get(name)
    if kind is None:
        known = update.updates.names()
        help = did_you_mean(name, known) or f"known: {', '.join(known)}"
        checks.expect(False, f'unknown solver type "{name}"', "type", help, code="CL518")
        return
    if "momentum" not in kind.reads:
        checks.no_momentum(name)
    kind.check(checks)
    checks.warn_without_effect((field for field in update.FIELDS if field not in kind.reads), f"type {name}")


def _momentum(checks: Checks, reads: bool) -> None:
    """What changes momentum; `reads`: the solver type has one that may change."""
    message, name = checks.message, checks.message.momentum_policy
    fields = ("max_momentum", "momentum_power")
    known = ("fixed", "poly")
    help = did_you_mean(name, known) or f"known: {', '.join(known)}"
    if not checks.expect(name in known, f'unknown momentum_policy "{name}"', "momentum_policy", help, code="CL511"):
        return
    if name == "fixed" or not reads:
        checks.warn_without_effect(fields, f"momentum_policy {name}" if reads else f"type {message.type}")
        return
    checks.fraction("max_momentum")
    if not checks.given("max_epoch"):
        checks.require(message.max_iter > 0, "max_iter", "must be above 0 with momentum_policy poly", code="CL515")


def _local_rates(checks: Checks) -> None:
    """Rates of single parameters."""
    message = checks.message
    for field, types, settings in LOCAL_RATES:
        if not getattr(message, field):
            checks.warn_without_effect(settings, f"no {field}")
            continue
        allowed = message.type in types
        why = f"{field} cannot be used with {message.type}"
        checks.expect(allowed, why, field, f"it works with type {' and '.join(types)}", code="CL519")
    both = message.larc and message.local_lr_auto
    checks.expect(not both, "larc and local_lr_auto both set the rate of a parameter", "local_lr_auto", "keep one")
    if message.larc:
        name, known = message.larc_policy, ("scale", "clip")
        help = did_you_mean(name, known) or f"known: {', '.join(known)}"
        checks.expect(name in known, f'unknown larc_policy "{name}"', "larc_policy", help, code="CL511")


def _regularization(checks: Checks) -> None:
    message = checks.message
    if message.weight_decay < 0:
        checks.warn("weight_decay is negative: it pushes weights away from 0", "weight_decay", code="CL510")
    if not message.weight_decay:
        checks.warn_without_effect(["regularization_type"], "no weight_decay")
        return
    kind, known = message.regularization_type, ("L1", "L2")
    help = did_you_mean(kind, known) or "known: L1, L2"
    unknown = f'unknown regularization_type "{kind}"'
    checks.expect(kind in known, unknown, "regularization_type", help, code="CL520")


def _snapshots(checks: Checks) -> None:
    message = checks.message
    checks.not_negative("snapshot", "leave snapshot out to write one after training only")
    writes = "snapshot" if message.snapshot > 0 else "early_stop" if checks.given("early_stop") else None
    if writes is not None:
        if not checks.given("snapshot_prefix"):
            why = f"{writes} is set, and snapshot_prefix is not"
            checks.expect(False, why, writes, 'snapshot_prefix: "lenet"', code="CL521")
            return
        fault = folder_fault(message.snapshot_prefix)
        if fault is not None:
            checks.faults.append(fault.at(checks.places("snapshot_prefix")))


def folder_fault(prefix: str) -> Fault | None:
    """Why snapshots named `prefix`… cannot be written, or None where they can."""
    folder = os.path.dirname(prefix) or os.curdir
    if not os.path.isdir(folder):
        what = f"snapshots cannot be written: there is no folder {folder}"
        return Fault(what, help=f"mkdir -p {folder}", code="CL522")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Fault(f"snapshots cannot be written: the folder {folder} is not writable", code="CL522")
    return None
