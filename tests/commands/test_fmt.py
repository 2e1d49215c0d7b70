"""`caffelite fmt`."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.commands import perform

UGLY, NEAT = "net:'a'  // x\nbase_lr : .1", 'net: "a"  # x\nbase_lr: .1\n'


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    ugly, neat = tmp_path / "ugly.prototxt", tmp_path / "neat.prototxt"
    ugly.write_text(UGLY)
    neat.write_text(NEAT)
    return ugly, neat


def test_one_file_goes_to_stdout(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["fmt", str(files[0])]) == 0
    assert capsys.readouterr().out == NEAT
    assert files[0].read_text() == UGLY


def test_files_are_written_where_they_change(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old = files[1].stat().st_ino
    assert perform(["fmt", "-i", *map(str, files)]) == 0
    assert capsys.readouterr().out == f"written: {files[0]}\n"
    assert [file.read_text() for file in files] == [NEAT, NEAT]
    assert files[1].stat().st_ino == old


def test_checking_writes_nothing(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["fmt", "--check", *map(str, files)]) == 1
    assert capsys.readouterr().out == f"would change: {files[0]}\n"
    assert files[0].read_text() == UGLY
    assert perform(["fmt", "--check", str(files[1])]) == 0


def test_what_cannot_be_is_told(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["fmt", *map(str, files)]) == 2
    assert "several files cannot go to stdout" in capsys.readouterr().err
    assert perform(["fmt", "-i", "--check", str(files[0])]) == 2
    files[0].write_text("layer {")
    assert perform(["fmt", "-i", *map(str, files)]) == 1
    assert f'{files[0]}:1:7: "{{" of layer is never closed' in capsys.readouterr().err
    assert files[0].read_text() == "layer {"


def test_bytes_that_are_no_utf8_stay(tmp_path: Path) -> None:
    path = tmp_path / "old.prototxt"
    path.write_bytes(b'name: "x" # caf\xe9\n')
    assert perform(["fmt", "-i", str(path)]) == 0
    assert path.read_bytes() == b'name: "x"  # caf\xe9\n'


def test_the_nets_of_the_repository_are_laid_out(capsys: pytest.CaptureFixture[str]) -> None:
    models = Path(__file__).parents[2] / "models"
    status = perform(["fmt", "--check", *map(str, sorted(models.rglob("*.prototxt")))])
    assert (status, capsys.readouterr().out) == (0, "")
