from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools import download, idx, mnist

from .databases import contents
from .idx_files import packed, write_small_mnist

REPO = Path(__file__).parents[2]
REAL = Path(os.environ.get("CAFFELITE_DATASETS", REPO.parent / "shared")) / "mnist"


def test_databases_hold_the_digits_in_the_originals_form(tmp_path: Path) -> None:
    digits = write_small_mnist(tmp_path / "idx")
    made = mnist.build(tmp_path / "out", tmp_path / "idx", verify=False)
    assert made["source"] == tmp_path / "idx"
    for name, part in (("mnist_train_lmdb", "train"), ("mnist_test_lmdb", "t10k")):
        images, labels = digits[part]
        assert made["databases"][name] == {"path": tmp_path / "out" / name, "records": len(labels), "kept": False}
        found = contents(tmp_path / "out" / name)
        assert [key for key, _ in found] == [b"%08d" % index for index in range(len(labels))]
        for (_, value), image, label in zip(found, images, labels, strict=True):
            wanted = Datum(channels=1, height=28, width=28, data=image.tobytes(), label=int(label))
            assert Datum.FromString(value) == wanted
            assert Datum.FromString(value).HasField("label")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["mnist_test_lmdb", "mnist_train_lmdb"]


def test_real_mnist_is_converted_and_verified(tmp_path: Path) -> None:
    if len(mnist.find_idx(REAL)) < 4:
        pytest.skip(f"MNIST's files are not in {REAL} (CAFFELITE_DATASETS names the folder above)")
    made = mnist.build(tmp_path, REAL)
    assert [found["records"] for found in made["databases"].values()] == [60000, 10000]
    first = [Datum.FromString(value) for _, value in contents(tmp_path / "mnist_test_lmdb")[:10]]
    assert [digit.label for digit in first] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    again = mnist.build(tmp_path, REAL)
    assert all(found["kept"] for found in again["databases"].values()) and again["source"] is None


def test_leveldbs_are_called_so_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    write_small_mnist(tmp_path / "idx")
    made = mnist.build(tmp_path / "out", tmp_path / "idx", verify=False, backend="leveldb")
    assert list(made["databases"]) == ["mnist_train_leveldb", "mnist_test_leveldb"]
    again = mnist.build(tmp_path / "out", tmp_path / "idx", verify=False, backend="leveldb")
    assert all(found["kept"] for found in again["databases"].values())
    as_lmdb = mnist.build(tmp_path / "out", tmp_path / "idx", verify=False)
    assert not any(found["kept"] for found in as_lmdb["databases"].values())
    for name in ("mnist_train", "mnist_test"):
        assert contents(tmp_path / "out" / f"{name}_leveldb") == contents(tmp_path / "out" / f"{name}_lmdb")


def test_a_whole_database_is_kept_unless_forced(tmp_path: Path) -> None:
    write_small_mnist(tmp_path / "idx")
    mnist.build(tmp_path, tmp_path / "idx", verify=False)
    before = contents(tmp_path / "mnist_train_lmdb")
    write_small_mnist(tmp_path / "idx", train=30)
    kept = mnist.build(tmp_path, tmp_path / "idx", verify=False)["databases"]["mnist_train_lmdb"]
    assert kept["kept"] and contents(tmp_path / "mnist_train_lmdb") == before
    anew = mnist.build(tmp_path, tmp_path / "idx", force=True, verify=False)["databases"]["mnist_train_lmdb"]
    assert not anew["kept"] and anew["records"] == 30 == len(contents(tmp_path / "mnist_train_lmdb"))


def test_what_lies_under_the_name_is_not_lost(tmp_path: Path) -> None:
    write_small_mnist(tmp_path / "idx")
    mnist.build(tmp_path, tmp_path / "idx", verify=False)
    with pytest.raises(DataError, match="exists and holds 25 records instead of 60000") as caught:
        mnist.build(tmp_path, tmp_path / "idx")
    assert "--force" in str(caught.value)
    (tmp_path / "other" / "mnist_train_lmdb").mkdir(parents=True)
    (tmp_path / "other" / "mnist_train_lmdb" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not a folder with a database and nothing else; it is left alone"):
        mnist.build(tmp_path / "other", tmp_path / "idx", force=True, verify=False)
    assert (tmp_path / "other" / "mnist_train_lmdb" / "thesis.txt").read_text() == "mine"


def test_files_are_found_by_all_their_usual_names(tmp_path: Path) -> None:
    assert mnist.find_idx(tmp_path) == {}
    for name in ("train-images.idx3-ubyte", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(b"")
    assert {name: path.name for name, path in mnist.find_idx(tmp_path).items()} == {
        "train-images-idx3-ubyte": "train-images.idx3-ubyte",
        "train-labels-idx1-ubyte": "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte": "t10k-images-idx3-ubyte",
    }


def test_lacking_files_are_named(tmp_path: Path) -> None:
    write_small_mnist(tmp_path / "idx")
    (tmp_path / "idx" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has no t10k-labels-idx1-ubyte\n"):
        mnist.build(tmp_path / "out", tmp_path / "idx")
    with pytest.raises(DataError, match="is not a folder"):
        mnist.build(tmp_path / "out", tmp_path / "gone")
    assert not (tmp_path / "out").exists()


def test_the_data_sets_folder_is_looked_in_before_downloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_mnist(tmp_path / "mnist")
    monkeypatch.setenv("CAFFELITE_DATASETS", str(tmp_path))
    assert mnist.build(tmp_path / "out", verify=False)["source"] == tmp_path / "mnist"


def test_other_digits_than_mnists_are_refused_by_their_checksum(tmp_path: Path) -> None:
    write_small_mnist(tmp_path / "idx")
    with pytest.raises(DataError, match="must have the MD5 sum 6bbc9ace898e44ae57da46a324031adb, got"):
        mnist.build(tmp_path / "out", tmp_path / "idx")
    assert not (tmp_path / "out" / "mnist_train_lmdb").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda whole: whole[:-5], "= 5488 bytes after its header, got 5483"),
        (lambda whole: whole + b"x", "= 5488 bytes after its header, got 5489"),
        (lambda whole: b"\x00\x00\x08\x01" + whole[4:], "magic number 2051, got 2049"),
        (lambda whole: b"<html>" + whole, "magic number 2051"),
        (lambda whole: whole[:9], "ends inside its header"),
        (lambda whole: b"", "magic number 2051, got 0"),
        (lambda whole: b"\x1f\x8b" + whole, "cannot be uncompressed"),
    ],
)
def test_damaged_idx_files_are_told_apart(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    write_small_mnist(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=said) as caught:
        idx.parse(idx.read(path), 3, str(path))
    assert path.name in str(caught.value)


def test_a_small_file_that_unpacks_without_end_is_refused() -> None:
    bomb = 16 * gzip.compress(bytes(16 << 20), 1) + gzip.compress(b"x")
    with pytest.raises(DataError, match="holds more than 256 MiB"):
        idx.unpack(bomb, "labels.gz")


def test_idx_round_trip() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(idx.parse(packed(array), 3, "x"), array)


def test_images_and_labels_must_be_equally_many(tmp_path: Path) -> None:
    write_small_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(packed(np.zeros(6, np.uint8)))
    with pytest.raises(DataError, match="7 t10k images, but 6 labels"):
        mnist.read_digits(mnist.find_idx(tmp_path), "t10k", verify=False)


def test_checksums_are_of_the_uncompressed_content(tmp_path: Path) -> None:
    content = packed(np.zeros((1, 2, 2), np.uint8))
    download.check_md5(content, hashlib.md5(content).hexdigest(), "x")
    with pytest.raises(DataError, match='"x" must have the MD5 sum'):
        download.check_md5(content + b"y", hashlib.md5(content).hexdigest(), "x")
