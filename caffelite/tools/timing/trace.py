"""A few iterations of a net as a trace, which Perfetto (ui.perfetto.dev) and chrome://tracing show."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from ...graph import Node
from ...net import Net
from ...snapshot.atomic import write_atomic
from .whole import iterate

ITERATIONS = 3
"""How many are traced layer by layer, and how many as a run goes through the net."""

_RANGE = re.compile(r"layer (\d+) (forward|backward)")
"""What a layer is called while it is recorded: the profiler takes names in ASCII only."""


def write_trace(net: Net, path: Path, training: bool) -> None:
    """Trace a few iterations layer by layer, each layer's forward and backward under its name, and then a few whole
    ones.

    Args:
        training: whole iterations go backward, too.
        path: where it goes, replacing what is there; compressed if it ends in .gz.

    Raises:
        SnapshotError: it cannot be written.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells stderr when it begins and ends
    activities = [ProfilerActivity.CPU]
    if net.run.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, record_shapes=True) as profiler:
        _layer_by_layer(net)
        for _ in range(ITERATIONS):
            with record_function("whole iteration"):
                iterate(net, training)
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(raw))
        trace = json.loads(raw.read_bytes())
    trace["traceName"] = path.name
    for event in trace["traceEvents"]:
        _name(event, net.graph.nodes)
    data = json.dumps(trace).encode()
    packed = gzip.compress(data) if path.suffix == ".gz" else data
    write_atomic(path, lambda file: file.write(packed))


def _layer_by_layer(net: Net) -> None:
    ranges: list[record_function] = []

    def enter(way: str) -> Callable[[int], None]:
        def told(layer: int) -> None:
            if way == "forward" or net.graph.nodes[layer].needs_backward:
                ranges.append(record_function(f"layer {layer} {way}"))
                ranges[-1].__enter__()

        return told

    def leave(layer: int) -> None:
        if ranges:
            ranges.pop().__exit__(None, None, None)

    usual = net.callbacks
    net.callbacks = {"before_forward": [enter("forward")], "before_backward": [enter("backward")]}
    net.callbacks |= {"after_forward": [leave], "after_backward": [leave]}
    try:
        for _ in range(ITERATIONS):
            with record_function("iteration layer by layer"):
                iterate(net, training=True)
    finally:
        net.callbacks = usual


def _name(event: dict[str, Any], nodes: tuple[Node, ...]) -> None:
    """Call the range of a layer after it."""
    found = _RANGE.fullmatch(event.get("name", ""))
    if found:
        node, way = nodes[int(found[1])], found[2]
        event["name"] = f"{node.name} {way}"
        event["args"] = {**event.get("args", {}), "layer": node.name, "type": node.type, "pass": way}
