"""`draw`: which net of which file, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from caffelite.commands import perform
from tests.conftest import REPO

LENET = REPO / "models" / "mnist" / "lenet_train_test.prototxt"
SOLVER = REPO / "models" / "mnist" / "lenet_solver.prototxt"


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The picture to write; nets' paths hold from a folder like the repository, but without data."""
    (tmp_path / "models").symlink_to(REPO / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "net.svg"


def texts(path: Path) -> list[str]:
    """What is written in a picture, title first where there is one."""
    root = ElementTree.parse(path).getroot()
    found = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    return [root.get("aria-label") or "", *found]


def test_a_net(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["draw", str(LENET), "-o", str(out), "--input", "data=64x1x28x28", "--input", "label=64"]) == 0
    assert capsys.readouterr().out == f"drawn: {out}\n"
    seen = texts(out)
    assert seen[0] == "LeNet"
    assert {"conv1", "ReLU · relu1", "kernel 5x5, num_output 20", "64x20x24x24", "data 64x1x28x28"} <= set(seen)
    assert sum("only TRAIN" in line for line in seen) == 1


def test_as_the_original_is_called(out: Path) -> None:
    line = [str(LENET), str(out), "--rankdir", "LR", "--phase", "TEST", "--display_lrm"]
    assert perform(["draw", *line]) == 0
    seen = texts(out)
    assert seen[0] == "LeNet · TEST"
    assert "lr_mult 1 2" in seen
    assert "accuracy" in seen
    size = ElementTree.parse(out).getroot()
    assert float(size.get("width", 0)) > 3 * float(size.get("height", 0))


@pytest.mark.parametrize(
    ("phase", "title", "boxes"),
    [
        ("ALL", "LeNet", {"loss", "accuracy"}),
        ("TRAIN", "LeNet · TRAIN", {"loss"}),
        ("TEST", "LeNet · TEST", {"accuracy"}),
    ],
)
def test_a_solver(out: Path, phase: str, title: str, boxes: set[str]) -> None:
    assert perform(["draw", str(SOLVER), str(out), "--phase", phase]) == 0
    seen = texts(out)
    assert seen[0] == title
    assert boxes <= set(seen)


def test_a_solver_with_nets_of_their_own(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = 'include { stage: "fine" }'
    for name in ("train", "test"):
        (tmp_path / f"{name}.prototxt").write_text(
            f'layer {{ name: "{name}" type: "Input" top: "x" }}\n'
            f'layer {{ name: "fine" type: "Power" bottom: "x" top: "f" {rule} }}'
        )
    solver = tmp_path / "solver.prototxt"
    text = f'train_net: "{tmp_path}/train.prototxt" base_lr: 1 lr_policy: "fixed" max_iter: 1 '
    tested = f'test_net: "{tmp_path}/test.prototxt" test_iter: 1 test_interval: 1 test_state {{ stage: "fine" }}'
    solver.write_text(text + tested)
    assert perform(["draw", str(solver), str(out)]) == 0
    assert "train" in texts(out)
    assert "fine" not in texts(out)
    assert perform(["draw", str(solver), str(out), "--stage", "fine"]) == 0
    assert "fine" in texts(out)
    assert perform(["draw", str(solver), str(out), "--phase", "TEST"]) == 0
    assert {"test", "fine"} <= set(texts(out))
    solver.write_text(text)
    assert perform(["draw", str(solver), str(out), "--phase", "TEST"]) == 2
    assert "no test net" in capsys.readouterr().err


def test_levels_stages_and_values(out: Path, tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "x" type: "Input" top: "x" }\n'
        'layer { name: "deep" type: "Power" bottom: "x" top: "deep" include { min_level: 2 } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 } }\n'
    )
    assert perform(["draw", str(net), str(out)]) == 0
    assert {"deep", "only level >= 2"} <= set(texts(out))
    assert perform(["draw", str(net), str(out), "--level", "1"]) == 0
    assert "deep" not in texts(out)
    assert perform(["draw", str(net), str(out), "--set", "layer[ip].inner_product_param.num_output=7"]) == 0
    assert "num_output 7" in texts(out)


def test_what_is_odd_is_said_once(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["draw", str(LENET), str(out), "--input", "date=1x2"]) == 0
    said = capsys.readouterr().err
    assert said.count("no database") == 2
    assert "did you mean data?" in said
    assert said.splitlines()[-1] == "  help: say the shapes: --input data=… --input label=…"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "there is no picture to write\n  help: caffelite draw NET -o lenet_train_test.svg"),
        (["a.svg", "-o", "b.svg"], 2, "two pictures are named: a.svg and b.svg"),
        (["net.doc"], 2, '".doc" is no picture that can be written\n  help: .svg and .png can'),
        (["net"], 2, "the picture's name has no ending"),
        (["a.svg", "--phase", "DREAM"], 2, '--phase must be TRAIN, TEST or ALL, not "DREAM"'),
        (["a.svg", "--rankdir", "UP"], 2, 'rankdir must be TB, BT, LR or RL, not "UP"'),
        (["/no/such/folder/a.svg"], 1, "create the folder /no/such/folder first"),
    ],
)
def test_what_cannot_be_done(
    arguments: list[str], status: int, message: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perform(["draw", str(LENET), *arguments]) == status
    assert message.replace("NET", str(LENET)) in capsys.readouterr().err
    assert not out.parent.joinpath("a.svg").exists()


def test_a_net_that_is_not_there(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["draw", "none.prototxt", str(out)]) == 1
    assert capsys.readouterr().err.startswith("none.prototxt: no such file")


def test_it_needs_no_torch(out: Path) -> None:
    code = (
        "import sys, json, caffelite.commands as c; status = c.perform(sys.argv[1:]);"
        "print(json.dumps([name for name in ('torch._C', 'rich') if name in sys.modules])); sys.exit(status)"
    )
    line = [sys.executable, "-c", code, "draw", str(SOLVER), str(out.with_suffix(".png"))]
    done = subprocess.run(line, cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
