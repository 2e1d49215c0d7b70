"""Nets for the tests of the graph room, as text."""

from __future__ import annotations

from google.protobuf import text_format

from caffelite import graph
from caffelite.errors import Fault, GraphError, nowhere
from caffelite.layerkit import layers
from caffelite.proto import TRAIN, NetParameter


def factory(param, phase, places):
    """The layer of a LayerParameter, as assembly makes it."""
    kind = layers.get(param.type)
    if kind is None:
        raise GraphError(Fault(f'unknown layer type "{param.type}"', places("type"), None, param.name))
    return kind(param, phase, places)


def parse(text):
    """A NetParameter from text."""
    return text_format.Parse(text, NetParameter())


def build(text, phase=TRAIN, level=0, stages=(), **options):
    """The graph of a net given as text."""
    net = parse(text)
    return graph.build(net, graph.state_of(net, phase, level, stages), factory, nowhere, **options)


INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
LABELS = (
    'layer { name: "in" type: "Input" top: "x" top: "label"'
    " input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }\n"
)


def ip(name, bottom, top, num_output=4, more=""):
    """An InnerProduct layer as text."""
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"inner_product_param {{ num_output: {num_output} }} {more} }}\n"
    )
