"""The files that examples of the catalogue need beside their prototxt, by the names in `needs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import lmdb
import numpy as np

from caffelite.proto import BlobProto, Datum, NetParameter


def _database(folder: Path, labels: list[int]) -> None:
    environment = lmdb.open(str(folder), map_size=1 << 20)
    with environment.begin(write=True) as transaction:
        for number, label in enumerate(labels):
            datum = Datum(channels=1, height=4, width=4, data=bytes(16), label=label)
            transaction.put(b"%08d" % number, datum.SerializeToString())
    environment.close()


def _weights(path: Path, name: str) -> None:
    net = NetParameter()
    layer = net.layer.add(name=name, type="InnerProduct")
    for shape in ((2, 4), (2,)):
        blob = layer.blobs.add()
        blob.shape.dim.extend(shape)
        blob.data.extend([0.0] * int(np.prod(shape)))
    path.write_bytes(net.SerializeToString())


def _binary(folder: Path) -> None:
    (folder / "net.caffemodel").write_bytes(bytes(range(8)) * 8)


def _deep(folder: Path) -> None:
    (folder / "net.prototxt").write_text("a {" * 101 + "}" * 101)


def _thousand(folder: Path) -> None:
    (folder / "net.prototxt").write_text("unheard_of: 1\n" * 1001)


def _folder(folder: Path) -> None:
    (folder / "folder").mkdir()


def _empty_lmdb(folder: Path) -> None:
    (folder / "empty_lmdb").mkdir()
    (folder / "empty_lmdb" / "data.mdb").touch()


def _bad_list(folder: Path) -> None:
    (folder / "bad_list.txt").write_text("cat.png 0\ndog.png\n")


def _image_list(folder: Path) -> None:
    (folder / "cat.png").write_text("no image")
    (folder / "image_list.txt").write_text("cat.png 0\n")


def _lmdb(folder: Path) -> None:
    _database(folder / "lmdb", [number % 4 for number in range(40)])


def _sorted_lmdb(folder: Path) -> None:
    _database(folder / "lmdb", [number // 20 for number in range(40)])


def _two_sizes(folder: Path) -> None:
    environment = lmdb.open(str(folder / "lmdb"), map_size=1 << 20)
    with environment.begin(write=True) as transaction:
        transaction.put(b"0", Datum(channels=1, height=4, width=4, data=bytes(15)).SerializeToString())
    environment.close()


def _mean(folder: Path) -> None:
    blob = BlobProto(data=[0.0] * 25)
    blob.shape.dim.extend([1, 1, 5, 5])
    (folder / "mean.binaryproto").write_bytes(blob.SerializeToString())


def _hdf5(folder: Path) -> None:
    with h5py.File(folder / "data.h5", "w") as file:
        file["data"] = np.zeros((3, 4), np.float32)
    (folder / "hdf5_list.txt").write_text("data.h5\n")


def _leveldb(folder: Path) -> None:
    (folder / "leveldb").mkdir()
    (folder / "leveldb" / "CURRENT").write_text("MANIFEST-000001\n")


MATERIAL: dict[str, Callable[[Path], None]] = {
    "binary": _binary,
    "deep": _deep,
    "thousand": _thousand,
    "folder": _folder,
    "empty_lmdb": _empty_lmdb,
    "bad_list": _bad_list,
    "image_list": _image_list,
    "lmdb": _lmdb,
    "sorted_lmdb": _sorted_lmdb,
    "two_sizes": _two_sizes,
    "mean": _mean,
    "hdf5": _hdf5,
    "leveldb": _leveldb,
    "ip.caffemodel": lambda folder: _weights(folder / "ip.caffemodel", "ip"),
    "other.caffemodel": lambda folder: _weights(folder / "other.caffemodel", "other"),
}
