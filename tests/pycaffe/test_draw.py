"""The original's names for pictures of nets.

What labels and colours are comes from reading `python/caffe/draw.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import text_format

from caffelite.errors import CaffeliteError, LayerError, SnapshotError, UsageError
from caffelite.proto import TEST, TRAIN, NetParameter
from caffelite.pycaffe import draw
from tests.conftest import REPO

NETS = sorted(path for path in (REPO / "models").rglob("*.prototxt") if "solver" not in path.name)


def net_of(text: str) -> Any:
    return text_format.Parse(text, NetParameter())


def layer_of(text: str) -> Any:
    return net_of(f"layer {{ {text} }}").layer[0]


@pytest.mark.parametrize("path", NETS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_net_is_drawn_and_left_as_it_was(path: Path) -> None:
    """V1 nets and those of mixed phases among them; no data is there."""
    net = net_of(path.read_text())
    before = net.SerializeToString()
    assert draw.draw_net(net, "LR", "svg").startswith(b"<svg")
    assert draw.draw_net(net, "TB", "svg", phase=TEST, display_lrm=True).startswith(b"<svg")
    assert net.SerializeToString() == before


MIXED = net_of("""
name: "mixed"
layers { name: "a" type: DUMMY_DATA top: "x" include { phase: TRAIN } }
layers { name: "b" type: DUMMY_DATA top: "x" include { phase: TEST } }
layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "ip" inner_product_param { num_output: 3 } }
""")


def test_phases() -> None:
    def names(phase: int | None) -> set[str]:
        svg = draw.draw_net(MIXED, "TB", "svg", phase).decode()
        return {name for name in ("a", "b", "ip") if f">{name}</text>" in svg}

    assert (names(None), names(TRAIN), names(TEST)) == ({"a", "b", "ip"}, {"a", "ip"}, {"b", "ip"})


@pytest.mark.parametrize(
    ("ext", "magic"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("jpg", b"\xff\xd8"), ("pdf", b"%PDF")]
)
def test_formats(ext: str, magic: bytes, tmp_path: Path) -> None:
    assert draw.draw_net(MIXED, "LR", ext).startswith(magic)
    draw.draw_net_to_file(MIXED, str(tmp_path / f"net.{ext}"))
    assert (tmp_path / f"net.{ext}").read_bytes().startswith(magic)


def test_the_default_is_a_png_and_leads_to_the_right(tmp_path: Path) -> None:
    assert draw.draw_net(MIXED, "TB").startswith(b"\x89PNG")
    draw.draw_net_to_file(MIXED, str(tmp_path / "net.svg"))
    assert (tmp_path / "net.svg").read_bytes() == draw.draw_net(MIXED, "LR", "svg") != draw.draw_net(MIXED, "TB", "svg")


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svg and \.png"):
        draw.draw_net(MIXED, "LR", "gif")
    with pytest.raises(UsageError, match="no ending"):
        draw.draw_net_to_file(MIXED, str(tmp_path / "net"))
    with pytest.raises(UsageError, match="rankdir"):
        draw.draw_net(MIXED, "", "svg")
    with pytest.raises(SnapshotError, match="create the folder"):
        draw.draw_net_to_file(MIXED, str(tmp_path / "none" / "net.svg"))


# -- labels ------------------------------------------------------------------------------------------------------------

CONV = 'name: "c" type: "Convolution" convolution_param { num_output: 7 kernel_size: 5 stride: 2 }'
POOL = 'name: "p" type: "Pooling" pooling_param { pool: AVE kernel_size: 3 pad: 1 }'


@pytest.mark.parametrize(
    ("text", "rankdir", "label"),
    [
        (CONV, "TB", '"c (Convolution) kernel size: 5 stride: 2 pad: 0"'),
        (CONV, "LR", r'"c\n(Convolution)\nkernel size: 5\nstride: 2\npad: 0"'),
        (POOL, "BT", '"p (Pooling AVE) kernel size: 3 stride: 1 pad: 1"'),
        ('name: "d" type: "Deconvolution"', "TB", '"d (Deconvolution) kernel size: 1 stride: 1 pad: 0"'),
        (
            'name: "h" type: "Convolution" convolution_param { kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 1 }',
            "TB",
            '"h (Convolution) kernel size: 3x1 stride: 1 pad: 1"',
        ),
        ('name: "r" type: "ReLU"', "LR", r'"r\n(ReLU)"'),
        ('name: "say \\"hi\\"" type: "ReLU"', "TB", r'"say \"hi\" (ReLU)"'),
    ],
)
def test_layer_labels(text: str, rankdir: str, label: str) -> None:
    assert draw.get_layer_label(layer_of(text), rankdir) == label


@pytest.mark.parametrize(
    ("params", "rates", "told"),
    [
        ("", (1, 1), " lr mult: 1.0, 1.0"),
        ("param { lr_mult: 3 }", (3, 1), " lr mult: 3.0, 1.0"),
        ("param { lr_mult: 0.5 } param { lr_mult: 2 }", (0.5, 2), " lr mult: 0.5, 2.0"),
        ("param { lr_mult: 0 } param { lr_mult: 0 }", (0, 0), ""),
    ],
)
def test_rates(params: str, rates: tuple[float, float], told: str) -> None:
    layer = layer_of(f'name: "i" type: "InnerProduct" {params}')
    assert draw.get_layer_lr_mult(layer) == rates
    assert draw.get_layer_label(layer, "TB", display_lrm=True) == f'"i (InnerProduct){told}"'


def test_layers_without_rates() -> None:
    with pytest.raises(LayerError, match=r'layer "p" \(Pooling\): has no learning rate'):
        draw.get_layer_lr_mult(layer_of(POOL))
    with pytest.raises(LayerError, match="3 param entries"):
        draw.get_layer_lr_mult(layer_of(CONV + " param {} param {} param {}"))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('type: "Data" data_param { batch_size: 32 }', "Batch 32"),
        (CONV, "7"),
        ('type: "InnerProduct" inner_product_param { num_output: 10 }', "10"),
        (POOL, '""'),
    ],
)
def test_edge_labels(text: str, label: str) -> None:
    assert draw.get_edge_label(layer_of(text)) == label


def test_colours_and_pooling_types() -> None:
    types = ("Convolution", "Deconvolution", "Pooling", "InnerProduct", "ReLU")
    colours = ["#FF5050", "#FF5050", "#FF9900", "#CC33FF", "#6495ED"]
    assert [draw.choose_color_by_layertype(type) for type in types] == colours
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC", 5160: "AVE_EXC_PAD"}


# -- graphs for Graphviz -----------------------------------------------------------------------------------------------


class _Graph:
    """What the code asks of pydot's Dot, Node and Edge, written down."""

    def __init__(self, *names: str, **attributes: str) -> None:
        self.names, self.attributes = names, attributes
        self.nodes: list[_Graph] = []
        self.edges: list[_Graph] = []

    def add_node(self, node: _Graph) -> None:
        self.nodes.append(node)

    def add_edge(self, edge: _Graph) -> None:
        self.edges.append(edge)

    def to_string(self) -> str:
        return f"digraph {self.names[0]} {{}}"


@pytest.fixture
def pydot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydotplus", None)
    monkeypatch.setitem(sys.modules, "pydot", SimpleNamespace(Dot=_Graph, Node=_Graph, Edge=_Graph))  # type: ignore[misc]


def test_a_graph_of_pydot(pydot: None) -> None:
    relu = 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" include { phase: TEST } }'
    net = net_of(f'name: "n" layer {{ bottom: "x" top: "y" {CONV} }} {relu}')
    graph = draw.get_pydot_graph(net, "TB")
    assert (graph.names, graph.attributes) == (('"n"',), {"graph_type": "digraph", "rankdir": "TB"})
    styles = {node.names[0]: (node.attributes["label"], node.attributes["fillcolor"]) for node in graph.nodes}
    assert styles == {
        '"c_Convolution"': ('"c (Convolution) kernel size: 5 stride: 2 pad: 0"', "#FF5050"),
        '"x_blob"': ('"x"', "#E0E0E0"),
        '"y_blob"': ('"y"', "#E0E0E0"),
        '"r_ReLU"': ('"r (ReLU)"', "#90EE90"),
    }
    assert [(edge.names, edge.attributes["label"]) for edge in graph.edges] == [
        (('"x_blob"', '"c_Convolution"'), '""'),
        (('"c_Convolution"', '"y_blob"'), "7"),
        (('"y_blob"', '"r_ReLU"'), '""'),
        (('"r_ReLU"', '"y_blob"'), '""'),
    ]
    alone = draw.get_pydot_graph(net, "TB", label_edges=False, phase=TRAIN)
    assert len(alone.nodes) == 3
    assert {edge.attributes["label"] for edge in alone.edges} == {'""'}
    assert draw.draw_net(net, "TB", "raw") == b'digraph "n" {}'


def test_without_pydot_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydotplus", "pydot"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CaffeliteError, match="pip install pydot"):
        draw.get_pydot_graph(MIXED, "LR")
