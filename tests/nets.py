"""Graphs and nets from prototxt text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import text_format

from caffelite import assembly
from caffelite.graph import Graph, state_of
from caffelite.net import Net
from caffelite.proto import TRAIN, NetParameter


def graph_of(
    text: str,
    phase: int = TRAIN,
    level: int | None = None,
    stages: Iterable[str] = (),
    *,
    allow_python: bool = True,
    **options: Any,
) -> Graph:
    """The graph of a net in a state; `options` as for :func:`caffelite.assembly.build_graph`."""
    file = assembly.NetFile(text_format.Parse(text, NetParameter()), allow_python=allow_python)
    return assembly.build_graph(file, state_of(file.message, phase, level, stages), **options)


def net_of(text: str, phase: int = TRAIN, *, seed: int = 1, **options: Any) -> Net:
    """A net; `options` as for :class:`caffelite.net.Net`."""
    return Net(graph_of(text, phase), seed=seed, **options)
