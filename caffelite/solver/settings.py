"""A solver's settings: a SolverParameter, checked as a whole and frozen.

Defaults are those of the schema.  No torch here: `check` reads settings without it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from ..errors import Fault, Places, SettingsError, nowhere
from ..proto import NetParameter, SolverParameter
from .checking import check, split_paths
from .checks import TRAIN_NETS, Checks
from .tracker import Watched


class NetSource(NamedTuple):
    """Where a train net comes from: the field that names it, and a path (str) or the NetParameter itself."""

    kind: str
    value: Any


class TestNet(NamedTuple):
    """Where a test net comes from (as :class:`NetSource`), the NetState to merge into its own (or None), and on how
    many batches it is tested."""

    kind: str
    value: Any
    state: Any
    test_iter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A solver's settings.

    Fields have the names and meaning of the schema's, but for:

    Attributes:
        train_net: what the train net is made from.
        test_nets: the test nets in the original's order: test_net_param, test_net, then net or net_param for each
            test_iter left over.
        snapshot_prefix: with the defaults of the original: the solver file without its extension; a folder gets the
            solver file's stem added.
        weights: the single paths, of all entries and commas.
        train_state: the NetState to merge into the train net's own, or None.
        max_iter: 0, until the nets are known, where max_epoch alone is given.
        max_epoch: 0 where it is not given.
        early_stop, plateau: what to watch, or None.
        warnings: what is odd or without effect, placed in the file.
        notes: what was filled in.
    """

    train_net: NetSource
    test_nets: tuple[TestNet, ...]
    train_state: Any
    test_interval: int
    test_offset: int
    test_initialization: bool
    test_compute_loss: bool
    eval_type: str
    ap_version: str
    show_per_class_result: bool
    base_lr: float
    lr_policy: str
    gamma: float
    power: float
    stepsize: int
    stepvalue: tuple[int, ...]
    plateau: Watched | None
    rampup_interval: int
    rampup_lr: float
    min_lr: float
    stagelr: tuple[float, ...]
    stageiter: tuple[int, ...]
    warmup_iter: int
    warmup_start_lr: float
    larc: bool
    larc_policy: str
    larc_eta: float
    local_lr_auto: bool
    local_gw_ratio: float
    type: str
    momentum: float
    momentum_policy: str
    max_momentum: float
    momentum_power: float
    momentum2: float
    rms_decay: float
    delta: float
    history_size: int
    max_evaluations: int
    weight_decay: float
    regularization_type: str
    clip_gradients: float
    iter_size: int
    max_iter: int
    max_epoch: float
    early_stop: Watched | None
    display: int
    average_loss: int
    debug_info: bool
    snapshot: int
    snapshot_prefix: str
    snapshot_diff: bool
    snapshot_format: int
    snapshot_after_train: bool
    random_seed: int
    solver_mode: int
    device_id: int
    precision: int
    weights: tuple[str, ...]
    warnings: tuple[Fault, ...] = ()
    notes: tuple[Fault, ...] = ()

    @classmethod
    def from_message(
        cls, message: Any, places: Places = nowhere, file: str | os.PathLike[str] | None = None
    ) -> Settings:
        """Settings from a SolverParameter of today's form (its old spellings upgraded).

        Args:
            message: the SolverParameter; it is not changed.
            places: finds its fields in the file.
            file: the solver file, from which snapshot_prefix has its default.

        Raises:
            SettingsError: with every fault found.
        """
        return cls.from_examined(*examined(message, places, file))

    @classmethod
    def from_examined(cls, full: Any, checks: Checks, notes: Sequence[Fault]) -> Settings:
        """Settings from what :func:`examined` found.

        Raises:
            SettingsError: with every fault found.
        """
        if checks.faults:
            raise SettingsError(checks.faults)
        plain = {
            field.name: getattr(full, field.name)
            for field in fields(cls)
            if field.name in full.DESCRIPTOR.fields_by_name and field.name not in _MADE
        }
        return cls(
            **plain,
            train_net=_train_net(full),
            test_nets=tuple(_test_nets(full)),
            train_state=full.train_state if full.HasField("train_state") else None,
            early_stop=Watched.of(full.early_stop) if full.HasField("early_stop") else None,
            stepvalue=tuple(full.stepvalue),
            stagelr=tuple(full.stagelr),
            stageiter=tuple(full.stageiter),
            plateau=Watched.of(full.plateau) if full.lr_policy == "plateau" else None,
            weights=tuple(path for entry in full.weights for path in split_paths(entry)),
            warnings=tuple(checks.warnings),
            notes=tuple(notes),
        )


def examined(
    message: Any, places: Places = nowhere, file: str | os.PathLike[str] | None = None
) -> tuple[Any, Checks, list[Fault]]:
    """What :meth:`Settings.from_examined` goes by: the SolverParameter with its snapshot_prefix completed, what is
    wrong or odd about it, and notes of what was completed."""
    full = SolverParameter()
    full.CopyFrom(message)
    notes = _complete_prefix(full, os.fspath(file) if file is not None else None)
    return full, check(full, places), notes


_MADE = frozenset({"train_net", "train_state", "early_stop", "stepvalue", "stagelr", "stageiter", "plateau", "weights"})


def _complete_prefix(message: Any, file: str | None) -> list[Fault]:
    """`UpgradeSnapshotPrefixProperty`, `src/caffe/util/upgrade_proto.cpp`."""
    if file is None:
        return []
    stem = os.path.splitext(file)[0]
    if not message.HasField("snapshot_prefix"):
        message.snapshot_prefix, why = stem, "was not specified and is set"
    elif os.path.isdir(message.snapshot_prefix):
        message.snapshot_prefix = os.path.join(message.snapshot_prefix, os.path.basename(stem))
        why = "was a directory and is replaced"
    else:
        return []
    return [Fault(f"snapshot_prefix {why} to {message.snapshot_prefix}", severity="note", code="CL525")]


def _source(message: Any, kind: str, index: int | None = None) -> NetSource:
    value = getattr(message, kind)
    if index is not None:
        value = value[index]
    if not isinstance(value, str):
        copy = NetParameter()
        copy.CopyFrom(value)
        value = copy
    return NetSource(kind, value)


def _train_net(message: Any) -> NetSource:
    return next(_source(message, kind) for kind in TRAIN_NETS if message.HasField(kind))


def _test_nets(message: Any) -> list[TestNet]:
    """The order of `Solver::InitTestNets`, `src/caffe/solver.cpp`."""
    sources = [_source(message, "test_net_param", index) for index in range(len(message.test_net_param))]
    sources += [_source(message, "test_net", index) for index in range(len(message.test_net))]
    while len(sources) < len(message.test_iter):
        sources.append(_train_net(message))
    states = list(message.test_state) or [None] * len(sources)
    return [
        TestNet(source.kind, source.value, state, batches)
        for source, state, batches in zip(sources, states, message.test_iter, strict=True)
    ]
