"""What a data layer hands to its net, as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assembly import NetFile, Warn, build_graph, read_net, seed_of_test_net, silent
from ..errors import DataError, Fault, GraphError, did_you_mean
from ..graph import state_of
from ..graph.filtering import included
from ..layerkit import Run, SourceLayer
from ..layerkit import layers as types
from ..proto import TEST, TRAIN, NetParameter, Phase
from .pictures import Shown, caption, write_grid

Array = NDArray[Any]

_MOST_LABELS = 4
"""Values a row beyond which a top holds no labels."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What was drawn: the layer, its tops and their shapes, the values that became black and white."""

    layer: str
    tops: dict[str, tuple[int, ...]]
    range: tuple[float, float]


def preview(
    net: Path,
    picture: Path,
    phase: int = TRAIN,
    batches: int = 1,
    layer: str | None = None,
    stages: Sequence[str] = (),
    level: int = 0,
    seed: int = 1,
    rgb: bool = False,
    allow_python: bool = True,
    warn: Warn = silent,
) -> Preview:
    """Draw the first batches that a layer hands to the net in its first top, transformed, labels under them.

    Args:
        net: a net's prototxt; nothing but the layer in question is built of it.
        layer: its name; None: the first that reads data.
        seed: what `random_seed` would be in training; in phase TEST the batches are those of its first test net.
        rgb: three channels are R, G, B instead of B, G, R.
        allow_python: the layer may be a Python layer.
        warn: told what is odd about the file and the layer.

    Raises:
        CaffeliteError: the net or the layer is wrong, its data cannot be read, or its first top holds no images.
    """
    import torch

    file = read_net(net, allow_python=allow_python)
    for fault in file.warnings:
        warn(fault)
    alone = _alone(file, phase, layer, level, stages)
    graph = build_graph(alone, alone.message.state)
    for fault in graph.warnings:
        warn(fault)
    node = graph.nodes[0]
    seed = seed_of_test_net(seed, 0) if phase == TEST else seed
    with closing(node.layer):
        parts = [
            [top.numpy() for top in node.layer.forward(Run(torch.device("cpu"), seed, number), [], [])]
            for number in range(batches)
        ]
    tops = [np.concatenate(part) for part in zip(*parts, strict=True)]
    shown = Shown.of(list(_images(tops[0], node)))
    write_grid(picture, shown.images, list(_captions(tops)), rgb)
    return Preview(node.name, dict(zip(node.tops, (part.shape for part in parts[0]), strict=False)), shown.range)


def _alone(file: NetFile, phase: int, name: str | None, level: int, stages: Sequence[str]) -> NetFile:
    """A net of nothing but the layer in question; faults still point to where it stands in its file."""
    state = state_of(file.message, phase, level, ["", *stages])
    here = [index for index, layer in enumerate(file.message.layer) if included(layer, state)]
    reading = [index for index in here if _reads(file.message.layer[index])]
    index = next((at for at in reading if name in (None, file.message.layer[at].name)), None)
    if index is None:
        known = [file.message.layer[at].name for at in reading]
        what = "there is no layer that reads data" if name is None else f'no layer that reads data is called "{name}"'
        help = did_you_mean(name or "", known) or (f"there are: {', '.join(known)}" if known else None)
        raise GraphError(Fault(f"{file.path}: {what} in phase {Phase.Name(phase)}", help=help))
    alone = NetParameter(name=file.message.name, state=state)
    alone.layer.append(file.message.layer[index])
    places = lambda path: file.places(path.replace("layer[0]", f"layer[{index}]", 1))  # noqa: E731
    return replace(file, message=alone, places=places, warnings=[], strict=False)


def _reads(layer: Any) -> bool:
    """Whether it is a layer that brings data; one of a user's own may be, where it has no bottoms."""
    kind = types.get(layer.type)
    return kind is not None and (issubclass(kind, SourceLayer) or not (layer.bottom or kind.code(layer) is None))


def _images(values: Array, node: Any) -> Iterator[Array]:
    """The rows of a top as C×H×W images; a row of H×W is gray."""
    if values.ndim not in (3, 4):
        by = "×".join(map(str, values.shape))
        raise DataError(f'layer "{node.name}": its first top, "{node.tops[0]}", is {by}; images have 4 axes')
    return iter(values if values.ndim == 4 else values[:, np.newaxis])


def _captions(tops: Sequence[Array]) -> Iterator[str]:
    """For each image its label, or labels: what the next top holds that has but a few values a row."""
    count = len(tops[0])
    few = (top for top in tops[1:] if len(top) == count and top.size <= _MOST_LABELS * count)
    for row in next(few, np.empty((count, 0))).reshape(count, -1):
        yield caption(row)
