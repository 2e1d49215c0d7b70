"""Layer types that mean different things in different forks: whose meaning a file's layers have.

A layer says it by `dialect`, or by fields that only one fork has.  One that does not takes the meaning of the file's
other layers of that type, or else the only one that fits the number of its weights and blobs.  A doubt that remains is
an error that shows every meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import dialects
from ..errors import Fault, Places, did_you_mean
from .step import Step


def name_dialects(message: Any, places: Places) -> Step | None:
    """Give every layer of such a type its `dialect`."""
    layers = [(index, layer) for index, layer in enumerate(message.layer) if layer.type in dialects.ambiguous()]
    if not layers:
        return None
    step = Step(type(message)())
    step.message.CopyFrom(message)
    for kind in {layer.type: None for _, layer in layers}:
        _name(kind, [(index, layer) for index, layer in layers if layer.type == kind], step, places)
    return step


def _name(kind: str, layers: Sequence[tuple[int, Any]], step: Step, places: Places) -> None:
    readings = dialects.readings(kind)
    said = {index: _said(layer, readings) for index, layer in layers}
    agreed = {forks[0] for forks in said.values() if len(forks) == 1}
    for index, layer in layers:
        forks, contradicts = said[index], len(said[index]) > 1
        if not forks:
            fitting = _fitting(layer, readings)
            forks = [fork for fork in fitting if {fork} == agreed] or fitting
        if len(forks) == 1 and any(forks[0] == reading.fork for reading in readings):
            step.message.layer[index].dialect = forks[0]
        else:
            step.faults.append(_doubt(layer, readings, forks, contradicts, places, f"layer[{index}]"))


def _said(layer: Any, readings: Sequence[dialects.Reading]) -> list[str]:
    """The fork that the layer names, or those that its fields tell of: one if it has all of them, several in a
    contradiction, none where nothing is told."""
    if layer.dialect:
        return [layer.dialect]
    told = {path for reading in readings for path in reading.signs + reading.shares if _given(layer, path)}
    signed = [reading for reading in readings if told & set(reading.signs)]
    whole = [reading for reading in signed if told <= {*reading.signs, *reading.shares}]
    return [reading.fork for reading in whole or signed]


def _fitting(layer: Any, readings: Sequence[dialects.Reading]) -> list[str]:
    """The forks whose layer may have so many weights and has so many blobs."""
    return [
        reading.fork
        for reading in readings
        if len(layer.param) <= (len(layer.param) if reading.params is None else reading.params)
        and reading.bottoms in (None, len(layer.bottom))
        and reading.tops in (None, len(layer.top))
    ]


def _given(layer: Any, path: str) -> bool:
    for name in path.split("."):
        if name not in layer.DESCRIPTOR.fields_by_name:
            return False
        repeated = hasattr(getattr(layer, name), "append")
        if not (len(getattr(layer, name)) if repeated else layer.HasField(name)):
            return False
        layer = getattr(layer, name)
    return True


def _doubt(
    layer: Any, readings: Sequence[dialects.Reading], forks: Sequence[str], contradicts: bool, places: Places, path: str
) -> Fault:
    names = [reading.fork for reading in readings]
    if len(forks) == 1:
        what = f'no fork is known by the name "{forks[0]}" that has a layer type {layer.type}'
        return Fault(
            what, places(f"{path}.dialect"), did_you_mean(forks[0], names) or f"known: {', '.join(names)}",
            layer.name, layer.type, code="CL104",
        )  # fmt: skip
    meanings = "; ".join(f"{reading.fork}: {reading.meaning}" for reading in readings)
    what = f"{layer.type} means different things in different forks, and nothing here tells which: {meanings}"
    if contradicts:
        what = f"has settings of different forks ({', '.join(forks)}): {meanings}"
    help = f'write dialect: "{(forks or names)[0]}" (or {", ".join((forks or names)[1:])}) in the layer'
    return Fault(what, places(f"{path}.type"), help, layer.name, layer.type, code="CL104")
