"""`data mnist`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caffelite.commands import run
from caffelite.errors import DataError


def unreachable(*_: Any, **__: Any) -> None:
    raise DataError("MNIST could not be downloaded")


def test_digits_stand_in_where_mnist_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.delenv("CAFFELITE_DATASETS", raising=False)
    monkeypatch.setattr("caffelite.tools.mnist.download", unreachable)
    assert run(["data", "mnist", str(tmp_path / "d")]) == 1
    assert "could not be downloaded" in capsys.readouterr().err
    assert run(["data", "mnist", str(tmp_path / "d"), "--or-digits"]) == 0
    shown = capsys.readouterr()
    assert "MNIST CANNOT BE HAD HERE" in shown.err
    assert "digits_train_lmdb: 1497 digits" in shown.out
    assert (tmp_path / "d" / "digits_test_lmdb" / "data.mdb").exists()


def test_a_folder_without_the_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "mnist", str(tmp_path / "d"), "--from", str(tmp_path)]) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
