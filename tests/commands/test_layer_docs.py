"""docs/layers.md: it is current, whole, and made without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from caffelite.commands import _layer_docs
from caffelite.layerkit import layers
from caffelite.proto import LayerParameter

REPO = Path(__file__).parents[2]
PROTO = (REPO / "protos" / "caffe.proto").read_text(encoding="utf-8")
PAGE = (REPO / "docs" / "layers.md").read_text(encoding="utf-8")


def section(kind: str) -> str:
    return PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]


def test_it_is_current() -> None:
    assert _layer_docs.text(PROTO) == PAGE, "make docs writes it anew"


def test_every_type_has_a_section_with_an_example() -> None:
    kinds = sorted((layers[name] for name in layers), key=lambda kind: _layer_docs.title(kind).lower())
    assert re.findall(r"(?m)^## (.*)$", PAGE) == [_layer_docs.title(kind) for kind in kinds]
    assert len({_layer_docs.anchor(kind) for kind in kinds}) == len(kinds)
    for kind in kinds:
        title = _layer_docs.title(kind)
        assert PAGE.count(f"[{title}](#{_layer_docs.anchor(kind)})") == 1
        assert f'type: "{kind.type}"' in section(title).split("```prototxt\n")[1]


def test_links_lead_to_the_messages() -> None:
    lines = PROTO.split("\n")
    links = re.findall(r"\[`(\w+)_param`\]\(\.\./protos/caffe\.proto#L(\d+)\)", PAGE)
    assert len(links) > 60
    for field, line in links:
        message = LayerParameter.DESCRIPTOR.fields_by_name[f"{field}_param"].message_type.name
        assert lines[int(line) - 1] == f"message {message} {{"


def test_facts_and_text_are_markdown() -> None:
    assert "2 bottoms · 1 to 3 tops · a loss · settings:" in section("SoftmaxWithLoss")
    assert "no bottoms · 1 or more tops · settings:" in section("Input")
    assert "- `DataError`: the list or an image is missing" in section("ImageData")
    assert "\n\\+ σ(i)·tanh(g)" in section("LSTM")
    assert '"\\<file_name>.unfinished"' in section("HDF5Output")


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from caffelite.commands import _layer_docs;"
        "_layer_docs.text(Path('protos/caffe.proto').read_text('utf-8')); print('torch._C' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    assert done.stdout == "False\n"
