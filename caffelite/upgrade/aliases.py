"""Second names of layer types, which forks gave to other codes that compute the same."""

from __future__ import annotations

from typing import Any

from .. import dialects
from ..errors import Fault, Places
from .step import Step


def plain_types(message: Any, places: Places) -> Step | None:
    """Give layers whose type is an alias the plain type."""
    found = [(index, known) for index, layer in enumerate(message.layer) if (known := dialects.alias(layer.type))]
    if not found:
        return None
    step = Step(type(message)())
    step.message.CopyFrom(message)
    for index, (plain, told_of) in found:
        layer, path = step.message.layer[index], f"layer[{index}].type"
        text = f'type "{layer.type}" is read as {plain}: the same, {told_of.meaning}'
        layer.type = plain
        told = {"layer": layer.name, "layer_type": plain}
        step.faults.append(Fault(text, places(path), severity="note", code="CL120", **told))
    return step
