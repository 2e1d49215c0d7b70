"""Pictures of nets: boxes for layers, in rows from the data to the losses.

A net becomes a diagram (what is drawn), the diagram a sheet (where), the sheet a file or the SVG of a page; each step
is a file of this package.  Nothing is computed, and no data is needed: shapes are told as far as they are known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from ...assembly import NetFile, Warn, read_net, silent
from ...errors import UsageError
from ...graph import Graph, Shape
from ...proto import Phase
from ...snapshot.atomic import write_atomic
from . import raster, svg
from .diagram import Diagram, diagram
from .layout import DIRECTIONS, layout
from .shapes import shapes_of, shapes_of_graph
from .sheet import Sheet
from .wiring import states_of, wire

__all__ = ["DIRECTIONS", "FORMATS", "diagram_of", "draw", "draw_to_file", "encoded", "notebook"]

FORMATS = ("svg", *raster.FORMATS)
"""Endings of files that can be written."""


def diagram_of(
    net: Any,
    *,
    phase: int | None = None,
    level: int | None = None,
    stages: Iterable[str] = (),
    states: Iterable[Any] | None = None,
    given: Mapping[str, Shape] | None = None,
    display_lrm: bool = False,
    warn: Warn = silent,
) -> Diagram:
    """What is drawn of a net.

    Args:
        net: a Graph; or a NetParameter of any age, which is left as it is, or its file, by path or as read already.
        phase, level, stages: as when a net is built; without a phase everything is drawn: with neither level nor
            stages every layer of the file, with them the layers of both phases.
        states: the NetStates to draw instead.
        given: shapes of data blobs whose source is not at hand.
        display_lrm: tell the `lr_mult` of layers that learn.
        warn: told what is odd about the net, and why shapes are not known.

    Raises:
        PrototxtError, UpgradeError: with every fault of the file.
        UsageError: `net` is no net.
    """
    if isinstance(net, Graph):
        wiring, title = wire(net.message, [net.message.state], False), _title(net.message, net.phase)
        return diagram(net.message, wiring, shapes_of_graph(net), title=title, display_lrm=display_lrm)
    file = net if isinstance(net, NetFile) else _read(net)
    for fault in file.warnings:
        warn(fault)
    stages = list(stages)
    everything = states is None and phase is None and level is None and not stages
    states = list(states) if states is not None else states_of(file.message, phase, level, stages)
    shapes = shapes_of(file, states, given or {}, warn)
    phases = {state.phase for state in states}
    title = _title(file.message, phases.pop() if len(phases) == 1 else None)
    return diagram(
        file.message, wire(file.message, states, everything), shapes,
        title=title, conditions=len(states) > 1, display_lrm=display_lrm,
    )  # fmt: skip


def _read(net: Any) -> NetFile:
    """A net that is no Graph; code that its layers name does not run."""
    if not isinstance(net, Message | str | os.PathLike):
        raise UsageError(f"what can be drawn is a NetParameter, a Graph or a prototxt file, not a {type(net).__name__}")
    return read_net(net, allow_python=False)


def _title(net: Any, phase: int | None) -> str:
    return " · ".join(filter(None, (net.name, Phase.Name(phase) if phase is not None else "")))


def draw(net: Any, rankdir: str = "TB", **options: Any) -> str:
    """A net as an <svg> element, for a file or a page.

    Args:
        net, options: see :func:`diagram_of`.
        rankdir: where edges lead, one of :data:`DIRECTIONS`.

    Raises:
        UsageError: there is no such direction, or `net` is no net.
        PrototxtError, UpgradeError: with every fault of the file.
    """
    return svg.write(_sheet(net, rankdir, options))


def encoded(net: Any, ending: str, rankdir: str = "TB", **options: Any) -> bytes:
    """A net as the bytes of a file with this ending, one of :data:`FORMATS`; the rest as in :func:`draw`.

    Raises:
        UsageError: there is no such format or direction, `net` is no net, or the image would be too large.
    """
    format = _format(ending)
    sheet = _sheet(net, rankdir, options)
    return svg.write(sheet).encode() if format == "svg" else raster.encoded(sheet, format)


def draw_to_file(net: Any, path: str | os.PathLike[str], rankdir: str = "TB", **options: Any) -> Path:
    """Write a net as the picture that the path's ending asks for; the rest as in :func:`draw`.

    Returns:
        The path.

    Raises:
        UsageError: as :func:`encoded`.
        SnapshotError: the file cannot be written; what was there before is still there.
    """
    path = Path(path)
    data = encoded(net, path.suffix, rankdir, **options)
    write_atomic(path, lambda file: file.write(data))
    return path


def notebook(net: Any, rankdir: str = "TB", **options: Any) -> str:
    """A net as HTML for the output of a notebook's cell, which scrolls where the net is long; as :func:`draw`."""
    return f'<div style="max-height: 45em; overflow: auto">\n{draw(net, rankdir, **options)}</div>'


def _sheet(net: Any, rankdir: str, options: Mapping[str, Any]) -> Sheet:
    if rankdir not in DIRECTIONS:
        known = "TB from top to bottom, BT from bottom to top, LR from left to right, RL from right to left"
        raise UsageError(
            f'rankdir must be {", ".join(DIRECTIONS[:-1])} or {DIRECTIONS[-1]}, not "{rankdir}"', help=known
        )
    return layout(diagram_of(net, **options), rankdir)


def _format(ending: str) -> str:
    """The format that an ending, with or without its dot, stands for."""
    name = ending.lower().removeprefix(".")
    if name not in FORMATS:
        what = f'"{ending}" is no picture that can be written' if ending else "the picture's name has no ending"
        raise UsageError(what, help=f".svg and .png can, and also {', '.join(f'.{known}' for known in FORMATS[2:])}")
    return name
