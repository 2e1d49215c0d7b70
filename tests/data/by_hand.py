"""A data layer run by hand, without a net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

from caffelite.errors import Place
from caffelite.layerkit import Run, layers
from caffelite.proto import LayerParameter, NetParameter

TRAIN, TEST = 0, 1


def layer_from(text: str, phase: int = TRAIN, file: str | None = None) -> Any:
    """The layer that the body of a `layer { … }` describes, set up."""
    param = text_format.Parse(text, LayerParameter())
    made = layers[param.type](param, phase, lambda field: Place(file) if file else None)
    made.setup([])
    made.raise_faults()
    return made


def first_layer_of(prototxt: Path, phase: int = TRAIN) -> Any:
    """The first layer of a net file."""
    net = text_format.Parse(prototxt.read_text(), NetParameter())
    return layer_from(text_format.MessageToString(net.layer[0]), phase)


def batch(layer: Any, seed: int = 1) -> list[np.ndarray]:
    """One forward; the tops as arrays."""
    return [top.numpy() for top in layer.forward(Run(torch.device("cpu"), seed), [], [])]


@contextmanager
def opened(layer: Any) -> Iterator[Any]:
    """Closes the layer at the end."""
    try:
        yield layer
    finally:
        layer.close()
