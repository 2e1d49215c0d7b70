"""`input`, `input_dim` and `input_shape` of a net, as an Input layer."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places, Severity
from .step import Step, plural, put

_AXES = 4
_INPUT_FIELDS = ("input", "input_shape", "input_dim")


def inputs_to_layer(message: Any, places: Places) -> Step | None:
    """Put one Input layer, called "input", in front of the net for all its `input` fields.

    Inputs without any size come from old weight files; they are left out, as in the original.
    """
    if not message.input:
        return None
    step = Step(type(message)(), faults=_size_faults(message, places))
    sized = bool(message.input_shape or message.input_dim)
    if sized:
        _add_input_layer(message, step)
    for field, value in message.ListFields():
        if field.name not in _INPUT_FIELDS:
            put(step.message, field.name, value)
    if sized:
        _shift(message, step)
    what = "read as a layer of type Input" if sized else "without input_dim or input_shape left out"
    text = f"{plural(len(message.input), 'input field')} {what}"
    severity: Severity = "note" if sized else "warning"
    step.faults.append(Fault(text, places("input[0]"), severity=severity, code="CL113" if sized else "CL114"))
    return step


def _add_input_layer(message: Any, step: Step) -> None:
    layer = step.message.layer.add(name="input", type="Input", top=message.input)
    step.renamed["layer[0]"] = "input[0]"
    for index in range(len(message.input)):
        shape = layer.input_param.shape.add()
        path = f"layer[0].input_param.shape[{index}]"
        step.renamed[f"layer[0].top[{index}]"] = f"input[{index}]"
        if message.input_shape:
            for given in message.input_shape[index : index + 1]:
                shape.CopyFrom(given)
            step.renamed[path] = f"input_shape[{index}]"
        else:
            first = _AXES * index
            shape.dim.extend(message.input_dim[first : first + _AXES])
            step.renamed[path] = f"input_dim[{first}]"
            step.renamed |= {f"{path}.dim[{axis}]": f"input_dim[{first + axis}]" for axis in range(_AXES)}


def _shift(message: Any, step: Step) -> None:
    step.renamed |= {f"layer[{index + 1}]": f"layer[{index}]" for index in range(len(message.layer))}


def _size_faults(message: Any, places: Places) -> list[Fault]:
    inputs, shapes, dims = len(message.input), len(message.input_shape), len(message.input_dim)
    name, given, wanted = ("input_shape", shapes, inputs) if shapes else ("input_dim", dims, _AXES * inputs)
    faults = []
    if 0 < given != wanted:
        faults.append(
            Fault(
                f"{plural(inputs, 'input')} need {wanted} {name}, got {given}",
                places(f"{name}[{min(given, wanted + 1) - 1}]"),
                help="four input_dim for each input: num, channels, height, width; or one input_shape for each",
                severity="error" if given < wanted else "warning",
                code="CL114",
            )
        )
    if shapes and dims:
        text = "input_dim has no effect beside input_shape"
        faults.append(Fault(text, places("input_dim[0]"), severity="warning", code="CL114"))
    return faults
