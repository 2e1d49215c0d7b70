"""Pictures of nets, by the names of the original's `python/caffe/draw.py`.

`draw_net` needs neither Graphviz nor pydot, and draws as `caffelite draw` does.  What gives and takes labels of
Graphviz is as it was, for scripts that make graphs of their own.
"""

from __future__ import annotations

import os
from typing import Any

from ..assembly import read_net
from ..errors import CaffeliteError, Fault, LayerError
from ..graph import state_of
from ..graph.filtering import included
from ..proto import PoolingParameter
from ..snapshot.atomic import write_atomic
from ..tools import drawing
from ..tools.drawing.settings import LEARNING, rates, sizes

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLOURS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
_WINDOWS = {"Convolution": "convolution_param", "Deconvolution": "convolution_param", "Pooling": "pooling_param"}
_TEXT = ("raw", "dot")
"""Endings of what Graphviz reads."""


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """A net as a picture.

    Args:
        caffe_net: a NetParameter of any age, which is left as it is.
        rankdir: where edges lead: "LR", "TB", "BT" or "RL".
        ext: "png", "svg", "jpg" or "pdf"; "raw" or "dot" for what Graphviz reads (with pydot).
        phase: TRAIN or TEST; None: all layers.
        display_lrm: tell the `lr_mult` of layers that learn.

    Raises:
        UsageError: there is no such rankdir or ext.
        CaffeliteError: pydot is needed and not installed, or the net leaves no single reading.
    """
    if ext in _TEXT:
        graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
        return bytes(graph.to_string(), "utf-8")
    return drawing.encoded(caffe_net, ext, rankdir, phase=phase, display_lrm=display_lrm)


def draw_net_to_file(
    caffe_net: Any,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write what :func:`draw_net` gives, in the format that the file's ending says.

    Raises:
        SnapshotError: the file cannot be written.
    """
    ending = os.path.splitext(filename)[1].removeprefix(".")
    data = draw_net(caffe_net, rankdir, ending, phase, display_lrm)
    write_atomic(filename, lambda file: file.write(data))


def get_pooling_types_dict() -> dict[int, str]:
    """The names of pooling methods by number."""
    return {value.number: value.name for value in PoolingParameter.PoolMethod.DESCRIPTOR.values}


def get_edge_label(layer: Any) -> str:
    """What is written at the edge to a layer's top: how large a batch, or how many outputs; else an empty pair of
    quotes."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in LEARNING:
        settings = layer.inner_product_param if layer.type == "InnerProduct" else layer.convolution_param
        return str(settings.num_output)
    return '""'


def get_layer_lr_mult(layer: Any) -> tuple[float, float]:
    """The `lr_mult` of a layer's weights and biases.

    Raises:
        LayerError: it is no Convolution, Deconvolution or InnerProduct, or has more `param` entries than two.
    """
    if layer.type not in LEARNING:
        raise LayerError(Fault("has no learning rate multiplier", layer=layer.name, layer_type=layer.type))
    found = rates(layer)
    if len(found) != 2:
        message = f"has {len(found)} param entries; it learns weights and biases"
        raise LayerError(Fault(message, layer=layer.name, layer_type=layer.type))
    return found[0], found[1]


def get_layer_label(layer: Any, rankdir: str, display_lrm: bool = False) -> str:
    """A layer's name, type and window as a quoted label for Graphviz, in lines where the graph leads to a side."""
    method = f" {get_pooling_types_dict()[layer.pooling_param.pool]}" if layer.type == "Pooling" else ""
    words = [layer.name, f"({layer.type}{method})"]
    if layer.type in _WINDOWS:
        settings = getattr(layer, _WINDOWS[layer.type])
        for word, what, usual in (("kernel size", "kernel", 1), ("stride", "stride", 1), ("pad", "pad", 0)):
            given = sizes(settings, what) or [0 if (layer.type, what) == ("Pooling", "kernel") else usual]
            words.append(f"{word}: {given[0] if len(set(given)) == 1 else 'x'.join(map(str, given))}")
    if display_lrm and layer.type in LEARNING:
        weights, biases = get_layer_lr_mult(layer)
        words += [f"lr mult: {weights:.1f}, {biases:.1f}"] if weights or biases else []
    return _quoted((" " if rankdir in ("TB", "BT") else r"\n").join(map(_escaped, words)))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{text}"'


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a type's nodes in a graph for Graphviz."""
    return _COLOURS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: Any, rankdir: str, label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> Any:
    """A net as a graph of pydot (or pydotplus): nodes for layers, and others for blobs.

    Args:
        label_edges: write at edges what :func:`get_edge_label` says.

    Raises:
        CaffeliteError: neither is installed, or the net leaves no single reading.
    """
    pydot = _pydot()
    net = read_net(caffe_net, allow_python=False).message
    state = None if phase is None else state_of(net, phase)
    graph = pydot.Dot(_quoted(_escaped(net.name or "Net")), graph_type="digraph", rankdir=rankdir)
    nodes, edges = dict[str, Any](), list[tuple[str, str, str]]()
    for layer in net.layer:
        if state is not None and not included(layer, state):
            continue
        name = f"{layer.name}_{layer.type}"
        in_place = len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]
        own = LAYER_STYLE_DEFAULT | {"fillcolor": choose_color_by_layertype(layer.type)}
        nodes[name] = get_layer_label(layer, rankdir, display_lrm), NEURON_LAYER_STYLE if in_place else own
        for blob in (*layer.bottom, *layer.top):
            nodes.setdefault(f"{blob}_blob", (_quoted(_escaped(blob)), BLOB_STYLE))
        edges += [(f"{blob}_blob", name, '""') for blob in layer.bottom]
        label = get_edge_label(layer) if label_edges else '""'
        edges += [(name, f"{blob}_blob", label) for blob in layer.top]
    for name, (label, style) in nodes.items():
        graph.add_node(pydot.Node(_quoted(_escaped(name)), label=label, **style))
    for source, target, label in edges:
        graph.add_edge(pydot.Edge(_quoted(_escaped(source)), _quoted(_escaped(target)), label=label))
    return graph


def _pydot() -> Any:
    for name in ("pydotplus", "pydot"):
        try:
            return __import__(name)
        except ImportError:
            continue
    what = "a graph for Graphviz needs pydot, which is not installed"
    raise CaffeliteError(Fault(what, help="pip install pydot; draw_net and `caffelite draw` do without it"))
