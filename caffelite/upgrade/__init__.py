"""Old nets and solvers, brought to today's form: message → message.

A net passes through small ordered passes, each in a file of its own; a pass either has nothing to do or returns a new
message together with where its fields came from.  So a field of the upgraded net still finds its place in the old
text.  The facts are those of `src/caffe/util/upgrade_proto.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import Fault, Places, UpgradeError, nowhere
from .aliases import plain_types
from .aligned_crop import align_crops
from .batch_norm import fix_batch_norm
from .batch_norm_intel import spread_batch_norm
from .dialect import name_dialects
from .inputs import inputs_to_layer
from .solver_type import name_solver_type
from .step import Pass, moved, old_path
from .transform import ignored_transforms, move_transforms
from .v0 import refuse_mixed_v0, v0_to_v1
from .v0_padding import fold_padding
from .v1 import refuse_mixed, v1_to_layer

__all__ = ["Upgraded", "upgrade_net", "upgrade_solver"]

NET_PASSES: tuple[Pass, ...] = (
    refuse_mixed,
    refuse_mixed_v0,
    fold_padding,
    v0_to_v1,
    move_transforms,
    v1_to_layer,
    inputs_to_layer,
    plain_types,
    fix_batch_norm,
    spread_batch_norm,
    name_dialects,
    align_crops,
    ignored_transforms,
)
SOLVER_PASSES: tuple[Pass, ...] = (name_solver_type,)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A message of today's form, what was done to get there, and where its fields stand in the old text: their
    places, and (`origin`) the path each had in the old message."""

    message: Any
    notes: list[Fault]
    places: Places
    origin: Callable[[str], str]


def _apply(passes: Iterable[Pass], message: Any, places: Places) -> Upgraded:
    faults: list[Fault] = []
    renamings: list[dict[str, str]] = []
    for step_of in passes:
        step = step_of(message, places)
        if step is not None:
            message, places = step.message, moved(places, step.renamed)
            faults += step.faults
            renamings.append(step.renamed)
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        raise UpgradeError(errors)

    def origin(path: str) -> str:
        for renamed in reversed(renamings):
            path = old_path(path, renamed)
        return path

    return Upgraded(message, faults, places, origin)


def upgrade_net(message: Any, places: Places = nowhere, *, dialects: bool = True) -> Upgraded:
    """A NetParameter of any age and fork as today's: V0 and V1 `layers`, old transform fields, `input`, old BatchNorm;
    second names of layer types, intel's BatchNorm, types that mean different things in different forks, longjon's Crop.

    The message given is left as it was; where there is nothing to do it is returned itself.  Settings that the
    original drops on the way are dropped here too, each with a warning among the notes.  Without `dialects`, types that
    mean different things are left as they are.

    Raises:
        UpgradeError: with every fault of the net that leaves no single reading (`layer` mixed with `layers` where no
            text tells their order or `layers` are V0, unknown V0 types, padding layers in front of something else than
            conv and pool, inputs without a size, a dialect in doubt, a Crop that cannot be aligned).
    """
    passes = NET_PASSES if dialects else tuple(step for step in NET_PASSES if step is not name_dialects)
    return _apply(passes, message, places)


def upgrade_solver(message: Any, places: Places = nowhere) -> Upgraded:
    """A SolverParameter of any age as today's: the enum `solver_type` becomes the name `type`.

    Raises:
        UpgradeError: both `solver_type` and `type` are given.
    """
    return _apply(SOLVER_PASSES, message, places)
