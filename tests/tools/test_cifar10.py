from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools import cifar10

from .databases import contents

NAMES = [name for files in cifar10.TARGETS.values() for name in files]


def files(each: int = 4) -> dict[str, bytes]:
    """The six files with random images."""
    chance = np.random.default_rng(0)
    made = {}
    for name in NAMES:
        rows = chance.integers(0, 256, (each, 3073), dtype=np.uint8)
        rows[:, 0] %= 10
        made[name] = rows.tobytes()
    return made


def archive(made: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in (made | {"readme.html": b"x"}).items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def put(folder: Path, made: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return folder


def check(folder: Path, made: dict[str, bytes], backend: str = "lmdb") -> None:
    for name, names in cifar10.TARGETS.items():
        target = f"{name}_{backend}"
        whole = b"".join(made[name] for name in names)
        rows = [whole[start : start + 3073] for start in range(0, len(whole), 3073)]
        found = contents(folder / target)
        assert [key for key, _ in found] == [b"%05d" % index for index in range(len(rows))]
        for (_, value), row in zip(found, rows, strict=True):
            assert Datum.FromString(value) == Datum(channels=3, height=32, width=32, label=row[0], data=row[1:])


def test_leveldbs_hold_the_same(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    made = files()
    built = cifar10.build(tmp_path / "out", put(tmp_path / "from", made), verify=False, backend="leveldb")
    assert list(built["databases"]) == ["cifar10_train_leveldb", "cifar10_test_leveldb"]
    check(tmp_path / "out", made, "leveldb")


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_databases_hold_the_images_in_the_originals_form(tmp_path: Path, below: str) -> None:
    made = files()
    put(tmp_path / "from" / below, made)
    built = cifar10.build(tmp_path / "out", tmp_path / "from", verify=False)
    assert [found["records"] for found in built["databases"].values()] == [20, 4]
    check(tmp_path / "out", made)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cifar10_test_lmdb", "cifar10_train_lmdb"]
    again = cifar10.build(tmp_path / "out", tmp_path / "gone", verify=False)
    assert again["source"] is None and all(found["kept"] for found in again["databases"].values())


def test_the_archive_is_read_where_its_checksum_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = files()
    packed = archive(made)
    put(tmp_path / "from", {cifar10.ARCHIVE: packed})
    with pytest.raises(DataError, match=f"must have the MD5 sum {cifar10.MD5}"):
        cifar10.build(tmp_path / "out", tmp_path / "from")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(packed).hexdigest())
    monkeypatch.setattr(cifar10, "IN_A_FILE", 4)
    monkeypatch.setenv("CAFFELITE_DATASETS", str(tmp_path))
    (tmp_path / "from").rename(tmp_path / "cifar10")
    built = cifar10.build(tmp_path / "out")
    assert built["source"] == tmp_path / "cifar10" / cifar10.ARCHIVE
    check(tmp_path / "out", made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-1], r"must have a multiple of 3073 bytes, got 12291"),
        (lambda content: b"", "got 0"),
        (lambda content: b"\x0a" + content[1:], "labels must be below 10, image 0 has 10"),
    ],
)
def test_damaged_files_are_told_apart(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    made = files()
    made["data_batch_3.bin"] = change(made["data_batch_3.bin"])
    with pytest.raises(DataError, match=f'"data_batch_3.bin".*{said}'):
        cifar10.build(tmp_path / "out", put(tmp_path / "from", made), verify=False)
    assert not (tmp_path / "out" / "cifar10_train_lmdb").exists()


def test_real_files_have_ten_thousand_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must have 10000 × 3073 bytes"):
        cifar10.build(tmp_path / "out", put(tmp_path / "from", files()))


def test_damaged_archives_are_told(tmp_path: Path) -> None:
    packed = archive(files())
    for number, (content, said) in enumerate(
        ((packed[: len(packed) // 2], "cannot be read"), (b"<html>", "cannot be read"), (archive({}), "has no data_b"))
    ):
        folder = put(tmp_path / str(number), {cifar10.ARCHIVE: content})
        with pytest.raises(DataError, match=said):
            cifar10.build(tmp_path / "out", folder, verify=False)


def test_lacking_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has neither cifar-10-binary\.tar\.gz nor data_batch_1\.bin"):
        cifar10.build(tmp_path / "out", put(tmp_path / "from", {}))
    with pytest.raises(DataError, match="is not a folder"):
        cifar10.build(tmp_path / "out", tmp_path / "gone")


def test_without_a_network_the_ways_out_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CIFAR-10 could not be downloaded") as caught:
        cifar10.download(tmp_path, mirrors=["http://127.0.0.1:1/"])
    assert "--from FOLDER" in str(caught.value) and "http://127.0.0.1:1/cifar-10-binary.tar.gz" in str(caught.value)


def test_a_download_is_made_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(files())
    put(tmp_path / "served", {cifar10.ARCHIVE: packed})
    mirror = f"{(tmp_path / 'served').as_uri()}/"
    with pytest.raises(DataError, match="MD5"):
        cifar10.download(tmp_path / "cache", [mirror])
    assert not list((tmp_path / "cache").iterdir())
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(packed).hexdigest())
    found = cifar10.download(tmp_path / "cache", [mirror])
    assert found.read_bytes() == packed
    assert cifar10.download(tmp_path / "cache", ["http://127.0.0.1:1/"]) == found
