"""A layer by itself, without a net."""

from __future__ import annotations

from typing import Any

import torch
from google.protobuf import text_format

from caffelite.layerkit import Layer, Run, kind_of, layers
from caffelite.proto import TEST, LayerParameter


def settings(text: str) -> Any:
    """A LayerParameter from its text."""
    return text_format.Parse(text, LayerParameter())


def build(text: str, *bottoms: tuple[int, ...], phase: int = TEST) -> tuple[Layer, list[tuple[int, ...]]]:
    """A layer set up for bottoms of these shapes, and the shapes of its tops; faults are raised as a net does."""
    param = settings(text)
    layer = (kind_of(param) or layers[param.type])(param, phase)
    layer.setup(bottoms)
    layer.raise_faults()
    tops = [tuple(shape) for shape in layer.shapes(bottoms)]
    layer.raise_faults()
    return layer, tops


def run_at(position: int = 0, seed: int = 1) -> Run:
    """A CPU run."""
    return Run(torch.device("cpu"), seed, position)
