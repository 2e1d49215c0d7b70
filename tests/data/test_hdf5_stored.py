"""Rows that are not in the file: HDF5 would make them up."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffelite.data.hdf5_file import load, measure
from caffelite.errors import DataError

SHAPE, CHUNKS = (20, 4), (6, 3)
NOISE = np.random.default_rng(0).integers(0, 2**32, SHAPE, np.uint32)
"""What no method makes smaller."""
FILTERS: list[dict[str, Any]] = [
    {},
    {"compression": "gzip"},
    {"compression": "lzf"},
    {"shuffle": True},
    {"fletcher32": True},
    {"shuffle": True, "compression": "gzip", "fletcher32": True},
    {"scaleoffset": 0},
]


def read(path: Path) -> np.ndarray:
    table = measure(path, ["data"])
    return load(path, ["data"], table, range(len(table.blocks)))[0]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("values", [NOISE, NOISE % 3], ids=["noise", "few values"])
def test_every_way_to_store_chunks_is_read(
    tmp_path: Path, filters: dict[str, Any], libver: str, values: np.ndarray
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file.create_dataset("data", data=values, chunks=CHUNKS, **filters)
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), values.astype(np.float32))


def test_a_data_set_that_was_never_written_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", SHAPE, "f4")
    with pytest.raises(DataError, match=r'data set "data" of "\S*a.h5" was never written') as caught:
        measure(tmp_path / "a.h5", ["data"])
    assert "write every row" in str(caught.value)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_rows_that_were_never_written_are_told(tmp_path: Path, filters: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("data", SHAPE, "u4", chunks=CHUNKS, **filters)
        dataset[:8], dataset[19] = 1, 1
    said = r'of the 8 chunks of data set "data" of "\S*a.h5", only 6 were ever written'
    with pytest.raises(DataError, match=said) as caught:
        measure(tmp_path / "a.h5", ["data"])
    assert "write every row" in str(caught.value)


def test_a_chunk_that_the_index_lost_is_damage(tmp_path: Path) -> None:
    """The key of a chunk is its size, its filter mask, and where it begins: here, where another one does."""
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file.create_dataset("data", data=NOISE, chunks=CHUNKS, fletcher32=True)
    content, key = (tmp_path / "a.h5").read_bytes(), struct.pack("<IIQQ", 76, 0, 6, 3)
    assert content.count(key) == 1
    (tmp_path / "a.h5").write_bytes(content.replace(key, struct.pack("<IIQQ", 76, 0, 12, 3)))
    with pytest.raises(DataError, match=r'a.h5" is damaged: rows 6 to 11 of data set "data" cannot be found'):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("filters", "mask", "stored"),
    [
        ({"compression": "gzip"}, 1, b"not the size of a chunk"),
        ({"compression": "gzip"}, 2, bytes(72)),  # there is no second filter
        ({"shuffle": True}, 1, bytes(72)),  # shuffling never fails
        ({"fletcher32": True}, 1, bytes(72)),  # a checksum is never left out
        ({"fletcher32": True}, 0, bytes(3)),  # HDF5 2.0 itself would read beyond these
        ({"compression": "gzip", "fletcher32": True}, 0, bytes(3)),
    ],
)
def test_a_chunk_that_its_filters_cannot_have_left_is_damage(
    tmp_path: Path, filters: dict[str, Any], mask: int, stored: bytes
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("data", data=NOISE, chunks=CHUNKS, **filters)
        dataset.id.write_direct_chunk((6, 3), stored, mask)
    with pytest.raises(
        DataError, match=r'a.h5" is damaged: the chunk of data set "data" at row 6 cannot have \d+ bytes'
    ):
        read(tmp_path / "a.h5")


def test_the_files_behind_a_virtual_data_set_must_be_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file["data"] = NOISE[:10]
    layout = h5py.VirtualLayout(SHAPE, "u4")
    layout[:10] = layout[10:] = h5py.VirtualSource("half.h5", "data", (10, 4))
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    np.testing.assert_array_equal(read(tmp_path / "whole.h5"), np.tile(NOISE[:10].astype(np.float32), (2, 1)))
    with h5py.File(tmp_path / "half.h5", "a") as file:
        del file["data"]
    said = r'data set "data" of "\S*whole.h5" takes rows from data set "data" of "half.h5", which is not there'
    with pytest.raises(DataError, match=said):
        read(tmp_path / "whole.h5")
    (tmp_path / "half.h5").unlink()
    with pytest.raises(DataError, match=said) as caught:
        read(tmp_path / "whole.h5")
    assert "copy the files of a virtual data set together" in str(caught.value)


def test_a_virtual_data_set_may_take_rows_from_its_own_file(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((10, 4), "u4")
    layout[:] = h5py.VirtualSource(".", "part", (10, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["part"] = NOISE[:10]
        file.create_virtual_dataset("data", layout)
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), NOISE[:10].astype(np.float32))
