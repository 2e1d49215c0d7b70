"""What a layer is: the base class, the registry of types, and the spellings several types share."""

from .base import Arity, Layer, Shape, WeightSpec, at_least, between, exactly, kind_of, layer, layers
from .run import Run
from .source import SourceLayer

__all__ = [
    "Arity",
    "Layer",
    "Run",
    "Shape",
    "SourceLayer",
    "WeightSpec",
    "at_least",
    "between",
    "exactly",
    "kind_of",
    "layer",
    "layers",
]
