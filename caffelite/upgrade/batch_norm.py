"""BatchNorm layers from the time when their three statistics were spelt out as untrained weights."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places
from .step import Step

_STATISTICS = 3


def _is_old(layer: Any) -> bool:
    return bool(layer.type == "BatchNorm" and len(layer.param) == _STATISTICS)


def fix_batch_norm(message: Any, places: Places) -> Step | None:
    """Set lr_mult and decay_mult of a BatchNorm layer's three `param` to 0: statistics are not learnt."""
    if not any(map(_is_old, message.layer)):
        return None
    new = type(message)()
    new.CopyFrom(message)
    step = Step(new)
    for index, layer in enumerate(new.layer):
        if _is_old(layer):
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
            if layer != message.layer[index]:
                text = "the three param of its statistics were given lr_mult: 0 and decay_mult: 0"
                place = places(f"layer[{index}].param[0]")
                note = Fault(text, place, layer=layer.name, layer_type=layer.type, severity="note", code="CL117")
                step.faults.append(note)
    return step if step.faults else None
