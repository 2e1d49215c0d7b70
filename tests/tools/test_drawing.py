"""Pictures of nets: what is drawn, and that all of it can be seen."""

from __future__ import annotations

import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caffelite.assembly import read_net
from caffelite.errors import CaffeliteError, Fault, PrototxtError, SnapshotError, UsageError
from caffelite.layerkit import layers
from caffelite.proto import TEST, TRAIN, NetParameter, SolverParameter
from caffelite.tools import drawing
from caffelite.tools.drawing import kinds
from caffelite.tools.drawing.diagram import Diagram, Part
from caffelite.tools.drawing.layout import layout
from tests.conftest import CARRIED, REPO
from tests.nets import graph_of

from .drawn import check, track

SVG = "{http://www.w3.org/2000/svg}"
NETS = sorted(path for path in (REPO / "models").rglob("*.prototxt") if "solver" not in path.name)
LENET = REPO / "models" / "mnist" / "lenet_train_test.prototxt"


def net_of(text: str) -> Any:
    return text_format.Parse(text, NetParameter())


def parts(diagram: Diagram) -> list[Part]:
    """Every layer of a diagram."""
    return [part for box in diagram.boxes for part in box.parts if part.kind is not kinds.MISSING]


def edges(diagram: Diagram) -> set[tuple[str, str]]:
    """The edges by the names of the first layers of their boxes."""
    names = [box.parts[0].name for box in diagram.boxes]
    return {(names[edge.source], names[edge.target]) for edge in diagram.edges}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# -- whole nets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NETS, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_models(path: Path, direction: str) -> None:
    file = read_net(path)
    drawn = drawing.diagram_of(file)
    assert sorted(part.name for part in parts(drawn)) == sorted(layer.name for layer in file.message.layer)
    check(layout(drawn, direction), drawn, direction)


def test_every_recorded_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those the original refuses as well: who looks for the fault in a net wants to see it."""
    count = 0
    for path in sorted(CARRIED.rglob("*.prototxt")):
        if "solver" in path.name:
            continue
        monkeypatch.chdir(path.parent)
        try:
            file = read_net(path)
        except PrototxtError:
            continue
        count += 1
        drawn = drawing.diagram_of(file)
        wanted = sorted(layer.name for layer in file.message.layer if layer.type != "Split")
        assert sorted(part.name for part in parts(drawn)) == wanted, path
        check(layout(drawn, "TB"), drawn, "TB")
    assert count > 350


@pytest.mark.parametrize("path", NETS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_same_net_gives_the_same_bytes(path: Path) -> None:
    svg = drawing.draw(path)
    ElementTree.fromstring(svg)
    assert drawing.draw(path) == svg
    assert len(svg) < 300_000


def test_the_order_of_hashes_does_not_show() -> None:
    code = f"import sys; from caffelite.tools import drawing; sys.stdout.write(drawing.draw({str(NETS[0])!r}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPO,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_drawing_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys; from caffelite.tools import drawing; drawing.draw_to_file(sys.argv[1], sys.argv[2]);"
    code += "print([name for name in ('torch._C', 'click', 'rich') if name in sys.modules])"
    command = [sys.executable, "-c", code, str(LENET), str(tmp_path / "net.png")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- random nets -------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["conv1", "a" * 200, '<&">', "内积"])


@st.composite
def random_nets(draw: st.DrawFn) -> Any:
    """Any layers that read some of the blobs before them, or one that is not there, a few in place."""
    net = NetParameter(name=draw(NAMES))
    blobs = ["nowhere"]
    for index in range(draw(st.integers(0, 14))):
        layer = net.layer.add(name=draw(NAMES), type=draw(st.sampled_from(["Power", "Slice", "Convolution", "Foo"])))
        layer.bottom.extend(draw(st.lists(st.sampled_from(blobs), max_size=4)))
        if layer.bottom and draw(st.integers(0, 3)) == 0:
            del layer.bottom[1:]
            layer.top.extend(layer.bottom)
            continue
        layer.top.extend(f"{index}.{number}" for number in range(draw(st.integers(0, 3))))
        blobs += layer.top
    return net


@settings(max_examples=150)
@given(random_nets(), st.sampled_from(drawing.DIRECTIONS))
def test_random_nets(net: Any, direction: str) -> None:
    drawn = drawing.diagram_of(net)
    assert len(parts(drawn)) == len(net.layer)
    check(layout(drawn, direction), drawn, direction)
    ElementTree.fromstring(drawing.draw(net, direction))


def test_a_chain_is_straight() -> None:
    rows = [
        f'layer {{ name: "{n}" type: "{"Power" * (n % 3 + 1)}" bottom: "{n - 1}" top: "{n}" }}' for n in range(1, 9)
    ]
    drawn = drawing.diagram_of(net_of('layer { name: "0" type: "Input" top: "0" }' + "".join(rows)))
    assert len({round(point.x, 6) for wire in layout(drawn, "TB").wires for point in wire.points}) == 1


def test_a_long_line_is_straight_between_its_ends() -> None:
    rng = random.Random(3)
    text = 'layer { name: "0" type: "Input" top: "0" }'
    for n in range(1, 40):
        more = f'bottom: "{rng.randrange(n)}"' if rng.random() < 0.4 else ""
        text += f'layer {{ name: "{n}" type: "Eltwise" bottom: "{n - 1}" {more} top: "{n}" }}'
    for wire in layout(drawing.diagram_of(net_of(text)), "TB").wires:
        turns = {round(point.x, 1) for point in wire.points[2:-1]}
        assert len(turns) <= 2


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_layers_in_place_stand_in_the_box_of_their_blob() -> None:
    drawn = drawing.diagram_of(
        net_of("""
        layer { name: "x" type: "Input" top: "x" top: "label" }
        layer { name: "scaled" type: "Power" bottom: "x" top: "x" }
        layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 2 } }
        layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
        layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" }
        layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
        layer { name: "gate" type: "Sigmoid" bottom: "conv" top: "gate" }
        layer { name: "gated" type: "Scale" bottom: "conv" bottom: "gate" top: "conv" }
        layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "label" top: "sum" }
        """)
    )
    boxes = [[part.name for part in box.parts] for box in drawn.boxes]
    assert boxes == [["x"], ["scaled"], ["conv", "bn", "scale", "relu"], ["gate"], ["gated"], ["sum"]]
    assert edges(drawn) == {
        ("x", "scaled"), ("scaled", "conv"), ("conv", "gate"), ("conv", "gated"), ("gate", "gated"), ("gated", "sum"),
        ("x", "sum"),
    }  # fmt: skip


def test_what_others_read_before_it_is_not_hidden_in_a_box() -> None:
    """Caffe refuses this net; the picture shows why."""
    drawn = drawing.diagram_of(
        net_of("""
        layer { name: "x" type: "Input" top: "x" }
        layer { name: "before" type: "Power" bottom: "x" top: "before" }
        layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
        layer { name: "after" type: "Power" bottom: "x" top: "after" }
        """)
    )
    assert edges(drawn) == {("x", "before"), ("x", "relu"), ("relu", "after")}


PHASES = """
layer { name: "train" type: "Input" top: "x" include { phase: TRAIN } }
layer { name: "test" type: "Input" top: "x" include { phase: TEST } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" include { phase: TRAIN } }
layer { name: "out" type: "Softmax" bottom: "ip" top: "out" }
layer { name: "extra" type: "Power" bottom: "out" top: "extra" exclude { not_stage: "more" } }
"""


def test_one_phase() -> None:
    drawn = drawing.diagram_of(net_of(PHASES), phase=TRAIN)
    assert [[part.name for part in box.parts] for box in drawn.boxes] == [["train"], ["ip", "drop"], ["out"]]
    drawn = drawing.diagram_of(net_of(PHASES), phase=TEST, stages=["more"])
    assert [part.name for part in parts(drawn)] == ["test", "ip", "out", "extra"]


def test_all_phases() -> None:
    drawn = drawing.diagram_of(net_of(PHASES))
    assert edges(drawn) == {("train", "ip"), ("test", "ip"), ("ip", "out"), ("out", "extra")}
    told = {part.name: part.settings[-1] for part in parts(drawn) if part.settings}
    assert told["train"] == "only TRAIN"
    assert told["drop"] == "only TRAIN"
    assert told["extra"] == "not without stage more"
    assert told["ip"] == "num_output 3"
    assert {part.name for part in parts(drawing.diagram_of(net_of(PHASES), level=0))} == {
        "train", "test", "ip", "drop", "out",
    }  # fmt: skip


def test_rules_that_never_hold() -> None:
    never = 'layer { name: "n" type: "Power" bottom: "out" top: "n" include { stage: "a" not_stage: "a" } }'
    assert ("out", "n") in edges(drawing.diagram_of(net_of(PHASES + never)))


def test_splits_are_seen_through() -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "s" type: "Split" bottom: "x" top: "a" top: "b" }
    layer { name: "one" type: "InnerProduct" bottom: "a" top: "one" inner_product_param { num_output: 4 } }
    layer { name: "two" type: "Power" bottom: "b" top: "two" }
    layer { name: "three" type: "Power" bottom: "b" top: "three" }
    """
    of_message = drawing.diagram_of(net_of(text), phase=TEST)
    of_graph = drawing.diagram_of(graph_of(text, TEST))
    assert edges(of_graph) == edges(of_message) == {("x", "one"), ("x", "two"), ("x", "three")}
    assert [box.ports for box in of_graph.boxes] == [box.ports for box in of_message.boxes]
    assert [[part.name for part in box.parts] for box in of_graph.boxes] == [["x"], ["one"], ["two"], ["three"]]
    assert 'bottom: "x"' in of_graph.boxes[2].parts[0].tip
    assert "split" not in drawing.draw(graph_of(text, TEST))


def test_shapes_stand_where_they_change() -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
    layer { name: "same" type: "Convolution" bottom: "x" top: "same"
            convolution_param { num_output: 3 kernel_size: 3 pad: 1 } }
    layer { name: "less" type: "Pooling" bottom: "same" top: "half" pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "ip" type: "InnerProduct" bottom: "half" top: "ip" inner_product_param { num_output: 5 } }
    """
    drawn = drawing.diagram_of(net_of(text))
    assert [box.ports[0] for box in drawn.boxes] == ["2x3x8x8", "", "half 2x3x4x4", "2x5"]


def test_batches_that_differ_are_n() -> None:
    text = """
    layer { name: "a" type: "Input" top: "x" include { phase: TRAIN } input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "b" type: "Input" top: "x" include { phase: TEST } input_param { shape { dim: 9 dim: 3 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 5 } }
    """
    assert [box.ports[0] for box in drawing.diagram_of(net_of(text)).boxes] == ["x 2x3", "x 9x3", "Nx5"]


def test_without_data_it_says_what_is_missing_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[Fault] = []
    drawn = drawing.diagram_of(LENET, phase=TRAIN, warn=told.append)
    assert [box.ports[0] for box in drawn.boxes if box.ports][:2] == ["data", ""]
    assert [fault.severity for fault in told] == ["warning", "note"]
    assert "no database" in told[0].message
    assert told[1].help == "say the shapes: --input data=… --input label=…"
    told.clear()
    shapes = {"data": (64, 1, 28, 28), "label": (64,), "date": (1,)}
    drawn = drawing.diagram_of(LENET, phase=TRAIN, given=shapes, warn=told.append)
    assert list(drawn.boxes[0].ports) == ["data 64x1x28x28", "label 64"]
    assert [box.ports[0] for box in drawn.boxes[1:3]] == ["64x20x24x24", "64x20x12x12"]
    assert told[0].help == "did you mean data?"


def test_code_that_a_net_names_does_not_run() -> None:
    text = 'layer { name: "p" type: "Python" top: "p" python_param { module: "os" layer: "abort" } }'
    told: list[Fault] = []
    drawn = drawing.diagram_of(net_of(text), warn=told.append)
    assert "would run Python code" in told[0].message
    assert parts(drawn)[0].kind is kinds.PYTHON


SETTINGS = {
    "Convolution": ("convolution_param { num_output: 8 kernel_size: 5 stride: 2 pad: 1 pad: 0 group: 2 }",
                    ["kernel 5x5", "stride 2", "pad 1x0", "num_output 8", "group 2"]),
    "Deconvolution": ("convolution_param { kernel_h: 3 kernel_w: 1 dilation: 2 weight_filler { type: 'xavier' } }",
                      ["kernel 3x1", "dilation 2"]),
    "Pooling": ("pooling_param { kernel_size: 3 stride: 1 pad: 0 }", ["kernel 3x3", "MAX"]),
    "InnerProduct": ("inner_product_param { num_output: 10 } loss_weight: 0.5", ["num_output 10", "loss_weight 0.5"]),
    "Eltwise": ("", ["SUM"]),
    "Dropout": ("", ["dropout_ratio 0.5"]),
    "Slice": ("slice_param { axis: 2 slice_point: [1, 2, 3, 4, 5, 6, 7] }", ["axis 2", "slice_point 1 2 3 4 5 6 …"]),
    "Data": ("data_param { source: 'a/b_lmdb/' batch_size: 4 backend: LMDB } transform_param { mirror: true }",
             ["mirror", "source b_lmdb", "batch_size 4"]),
    "Reshape": ("reshape_param { shape { dim: 0 dim: -1 } }", ["shape 0x-1"]),
    "Pooled": ("pooling_param { pool: AVE global_pooling: true }", ["pool AVE", "global_pooling"]),
}  # fmt: skip


@pytest.mark.parametrize("type", SETTINGS)
def test_settings_that_matter(type: str) -> None:
    text, wanted = SETTINGS[type]
    (part,) = parts(drawing.diagram_of(net_of(f'layer {{ name: "l" type: "{type}" {text} }}')))
    assert list(part.settings) == wanted


def test_rates_and_shared_weights() -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" lr_mult: 3 } }
    layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" } param { name: "mine" lr_mult: 0 } }
    """
    told = {part.name: part.settings for part in parts(drawing.diagram_of(net_of(text), display_lrm=True))}
    assert told == {"x": (), "a": ("lr_mult 3 1", "shares w"), "b": ("lr_mult 1 0", "shares w")}


def test_types_that_have_a_colour_exist() -> None:
    known = {type for types in kinds._TYPES.values() for type in types.split()}
    assert known <= set(layers.names())
    assert kinds.kind_of("SmoothL1Loss") is kinds.LOSS
    assert kinds.kind_of("PriorBox") is kinds.OTHER


def test_old_nets() -> None:
    old = net_of('input: "x" input_dim: [1, 2, 3, 4] layers { name: "r" type: RELU bottom: "x" top: "y" }')
    before = old.SerializeToString()
    assert edges(drawing.diagram_of(old)) == {("input", "r")}
    assert old.SerializeToString() == before


# -- files -------------------------------------------------------------------------------------------------------------


def test_names_are_escaped() -> None:
    name = "<b> & \"q\" 'p' ёж 卷积\n\x01"
    net = NetParameter(name=name)
    net.layer.add(name=name, type=name, top=["&amp;"])
    net.layer.add(name="z", type="Power", bottom=["&amp;"], top=["z"])
    svg = drawing.draw(net)
    seen = name.replace("\n", "\ufffd").replace("\x01", "\ufffd")
    assert texts(svg).count(seen) == 3  # the title, the layer's name and type
    assert "&amp;" in texts(svg)
    _, tip = (element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}title"))
    assert tip == 'name: "z"\ntype: "Power"\nbottom: "&amp;"\ntop: "z"'


def test_tips_hold_the_prototxt_without_learned_values() -> None:
    net = NetParameter()
    layer = net.layer.add(name="ip", type="InnerProduct", top=["ip"])
    layer.inner_product_param.num_output = 3
    layer.blobs.add().data.extend([1, 2, 3])
    (title,) = ElementTree.fromstring(drawing.draw(net)).iter(f"{SVG}title")
    assert title.text == 'name: "ip"\ntype: "InnerProduct"\ntop: "ip"\ninner_product_param {\n  num_output: 3\n}'
    layer.inner_product_param.Clear()
    layer.slice_param.slice_point.extend(range(1000))
    (title,) = ElementTree.fromstring(drawing.draw(net)).iter(f"{SVG}title")
    assert (title.text or "").count("\n") == 60


def test_an_svg_leaves_the_page_around_it_alone() -> None:
    svg = drawing.draw(LENET)
    assert svg.startswith("<svg ")
    assert {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg).iter()} == {
        "svg", "g", "path", "rect", "text", "title",
    }  # fmt: skip
    assert "id=" not in svg
    page = drawing.notebook(LENET)
    assert page.startswith("<div")
    assert svg in page


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "pdf", "svg", "PNG"])
def test_files(tmp_path: Path, ending: str) -> None:
    path = drawing.draw_to_file(LENET, tmp_path / f"net.{ending}")
    beginning = {"png": b"\x89PNG", "jpg": b"\xff\xd8", "jpeg": b"\xff\xd8", "pdf": b"%PDF", "svg": b"<svg"}
    assert path.read_bytes().startswith(beginning[ending.lower()])
    assert list(tmp_path.iterdir()) == [path]


def test_a_png_shows_what_the_svg_shows() -> None:
    drawn = drawing.diagram_of(LENET, phase=TEST)
    sheet = layout(drawn, "TB")
    image = Image.open(BytesIO(drawing.encoded(LENET, "png", phase=TEST))).convert("RGB")
    scale = image.width / sheet.width
    assert abs(scale - image.height / sheet.height) < 0.01
    for box in sheet.boxes:
        for card in box:
            corner = image.getpixel(
                (round((card.rect.x + 4) * scale), round((card.rect.y + card.rect.height - 4) * scale))
            )
            assert "#{:02x}{:02x}{:02x}".format(*corner) == card.fill
            dark = image.crop([round(scale * side) for side in _corners(card.words[0])]).convert("L").getextrema()[0]
            assert dark < 90
    for wire in sheet.wires:
        for x, y in track(wire, upright=True)[1:-1]:
            dot = image.crop((int(x * scale) - 1, int(y * scale) - 1, int(x * scale) + 2, int(y * scale) + 2))
            assert dot.convert("L").getextrema()[0] < 200
    assert image.getpixel((1, 1)) == (255, 255, 255)


def _corners(words: Any) -> tuple[float, float, float, float]:
    return words.x - 10, words.y - words.size, words.x + 10, words.y


def test_large_images_have_fewer_pixels_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    from caffelite.tools.drawing import raster

    sheet = layout(drawing.diagram_of(LENET), "TB")
    assert raster.image(sheet).height == round(2 * sheet.height)
    monkeypatch.setattr(raster, "_LONGEST", 1000)
    assert raster.image(sheet).height == 1000
    monkeypatch.setattr(raster, "_LARGEST", 400)
    with pytest.raises(UsageError, match=r"pixels.*\n.*\.svg"):
        raster.image(sheet)


def test_an_empty_net() -> None:
    assert ElementTree.fromstring(drawing.draw(NetParameter())) is not None
    assert drawing.encoded(NetParameter(), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drawing.draw(LENET, "XY"), 'rankdir must be TB, BT, LR or RL, not "XY"'),
        (lambda: drawing.encoded(LENET, "gif"), r"(?s)\"gif\" is no picture.*\.svg and \.png"),
        (lambda: drawing.draw_to_file(LENET, "net"), "no ending"),
        (lambda: drawing.draw(SolverParameter()), "SolverParameter"),
        (lambda: drawing.draw(3), "not a int"),
    ],
)
def test_what_cannot_be_drawn(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="create the folder"):
        drawing.draw_to_file(LENET, tmp_path / "none" / "net.svg")
    target = tmp_path / "net.svg"
    target.write_text("old")
    with pytest.raises(CaffeliteError):
        drawing.draw_to_file(LENET, target, "XY")
    assert target.read_text() == "old"
