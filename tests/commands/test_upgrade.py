"""`caffelite upgrade`."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite import proto
from caffelite.commands import perform
from caffelite.snapshot import read_weights

OLD = 'layers { name: "r" type: RELU bottom: "x" top: "x" }  # r\n'
NEW = 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }  # r\n'
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.prototxt"
    path.write_text(OLD)
    return path


def test_a_text_goes_to_stdout(old: Path, capsys: Capture) -> None:
    assert perform(["upgrade", str(old)]) == 0
    out, err = capsys.readouterr()
    assert (out, old.read_text()) == (NEW, OLD)
    assert "note: 1 layer of the V1 form" in err
    assert err.endswith(f"{old}: upgraded\n")


@pytest.mark.parametrize("form", [["-o"], []], ids=["-o", "as the original's tools"])
def test_a_file_is_written(old: Path, form: list[str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new.prototxt"
    assert perform(["upgrade", str(old), *form, str(out)]) == 0
    assert (out.read_text(), old.read_text()) == (NEW, OLD)
    assert capsys.readouterr().err.endswith(f"{old}: upgraded: written to {out}\n")


def test_the_file_itself_is_written(old: Path, capsys: Capture) -> None:
    assert perform(["upgrade", str(old), "-o", str(old)]) == 0
    assert old.read_text() == NEW
    assert perform(["upgrade", str(old), "-o", str(old)]) == 0
    assert (old.read_text(), capsys.readouterr().err[-30:]) == (NEW, f"{old}: needs no upgrade\n"[-30:])


def test_what_needs_nothing_is_copied_byte_for_byte(tmp_path: Path, capsys: Capture) -> None:
    file, out = tmp_path / "solver.prototxt", tmp_path / "out"
    file.write_bytes(b"\xef\xbb\xbfbase_lr :.1\r\n# caf\xe9")
    assert perform(["upgrade", str(file), "-o", str(out)]) == 0
    assert out.read_bytes() == file.read_bytes()
    assert capsys.readouterr().err == f"{file}: needs no upgrade: copied to {out}\n"


def test_checking_writes_nothing(old: Path, tmp_path: Path, capsys: Capture) -> None:
    assert perform(["upgrade", "--check", str(old)]) == 1
    assert capsys.readouterr().err.endswith(f"{old}: would change\n")
    old.write_text(NEW)
    assert perform(["upgrade", "--check", str(old)]) == 0
    assert list(tmp_path.iterdir()) == [old]


def test_weights(tmp_path: Path, capsys: Capture) -> None:
    net = proto.NetParameter(name="n")
    net.layers.add(name="r", type="RELU").blobs.add(num=1, channels=1, height=1, width=1, data=[3])
    file, out = tmp_path / "a.caffemodel", tmp_path / "b.caffemodel"
    file.write_bytes(net.SerializeToString())
    assert perform(["upgrade", str(file), "-o", str(out)]) == 0
    assert proto.NetParameter.FromString(out.read_bytes()).layer[0].type == "ReLU"
    assert read_weights(out).layers[0].blobs[0] == 3
    assert perform(["upgrade", str(out), "-o", str(file)]) == 0
    assert file.read_bytes() == out.read_bytes()
    capsys.readouterr()
    assert perform(["upgrade", str(out)]) == 2
    assert "weights cannot go to stdout" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["{}", "a", "-o", "b"], 2, "OUT is given twice"),
        (["{}", "--check", "-o", "b"], 2, "--check writes nothing"),
        (["{}.gone"], 1, "no such file"),
        (["{}", "-o", "gone/b"], 1, "create the folder"),
    ],
)
def test_what_cannot_be_is_told(
    old: Path, arguments: list[str], status: int, message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(old.parent)
    assert perform(["upgrade", *(argument.format(old) for argument in arguments)]) == status
    assert message in capsys.readouterr().err


def test_a_fault_is_told_with_its_place(old: Path, capsys: Capture) -> None:
    old.write_text("layers {\n  type: RELUU\n}\n")
    assert perform(["upgrade", str(old), "-o", str(old)]) == 1
    assert f"{old}:2:9: unknown value RELUU" in capsys.readouterr().err
