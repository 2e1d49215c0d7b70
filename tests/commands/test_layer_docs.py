"""docs/layers.md: it is current, whole, and made without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from caffelite.commands import _layer_docs
from caffelite.layerkit import layers

REPO = Path(__file__).parents[2]
PROTO = (REPO / "protos" / "caffe.proto").read_text(encoding="utf-8")
PAGE = (REPO / "docs" / "layers.md").read_text(encoding="utf-8")


def section(kind: str) -> str:
    return PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]


def test_it_is_current() -> None:
    assert _layer_docs.text(PROTO) == PAGE, "make docs writes it anew"


def test_every_type_has_a_section_with_an_example() -> None:
    kinds = re.findall(r"(?m)^## (.*)$", PAGE)
    assert kinds == sorted(layers, key=str.lower)
    for kind in kinds:
        assert PAGE.count(f"[{kind}](#{kind.lower()})") == 1
        assert f'type: "{kind}"' in section(kind).split("```prototxt\n")[1]


def test_links_lead_to_the_messages() -> None:
    lines = PROTO.split("\n")
    links = re.findall(r"\[`(\w+)_param`\]\(\.\./protos/caffe\.proto#L(\d+)\)", PAGE)
    assert len(links) > 60
    for field, line in links:
        message = {"transform": "Transformation"}.get(field, field.replace("_", ""))
        assert lines[int(line) - 1].lower() == f"message {message}parameter {{".lower()


def test_facts_and_text_are_markdown() -> None:
    assert "2 bottoms · 1 to 2 tops · a loss · settings:" in section("SoftmaxWithLoss")
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
