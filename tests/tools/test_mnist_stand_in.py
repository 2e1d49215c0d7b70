from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools import digits

from .databases import contents


def records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    datums = [Datum.FromString(value) for _, value in contents(path)]
    images = [
        np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width) for datum in datums
    ]
    return np.stack(images), np.array([datum.label for datum in datums])


def test_scikit_learns_digits_become_two_databases(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunch = datasets.load_digits()
    made = digits.build(tmp_path)["databases"]
    assert {name: found["records"] for name, found in made.items()} == {
        "digits_train_lmdb": 1497,
        "digits_test_lmdb": 300,
    }
    images, labels = records(tmp_path / "digits_train_lmdb")
    more = records(tmp_path / "digits_test_lmdb")
    images, labels = np.concatenate([images, more[0]]), np.concatenate([labels, more[1]])
    np.testing.assert_array_equal(labels, bunch.target)
    assert images.shape == (1797, 1, 28, 28) and images.dtype == np.uint8
    small = images[:, 0, 2:-2, 2:-2].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4))
    assert np.corrcoef(small.ravel(), bunch.images.ravel())[0, 1] > 0.9, "the same pictures, larger"
    assert images.max() == 255 and images.min() == 0


def test_they_are_the_same_every_time_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("sklearn.datasets")
    digits.build(tmp_path)
    before = (tmp_path / "digits_test_lmdb" / "data.mdb").read_bytes()
    assert all(found["kept"] for found in digits.build(tmp_path)["databases"].values())
    assert not any(found["kept"] for found in digits.build(tmp_path, force=True)["databases"].values())
    assert (tmp_path / "digits_test_lmdb" / "data.mdb").read_bytes() == before


def test_leveldbs_are_called_so(tmp_path: Path) -> None:
    pytest.importorskip("sklearn.datasets")
    pytest.importorskip("plyvel")
    assert list(digits.build(tmp_path, backend="leveldb")["databases"]) == [
        "digits_train_leveldb",
        "digits_test_leveldb",
    ]
    assert all(found["kept"] for found in digits.build(tmp_path, backend="leveldb")["databases"].values())
    assert len(contents(tmp_path / "digits_test_leveldb")) == 300


def test_without_scikit_learn_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="scikit-learn, which is not installed") as caught:
        digits.build(tmp_path)
    assert "caffelite[digits]" in str(caught.value)
