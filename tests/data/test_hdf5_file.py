from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffelite.data import hdf5_file
from caffelite.data.hdf5_file import load, measure
from caffelite.errors import DataError

KIB = 1024


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_file, "BLOCK_BYTES", 4 * KIB)


def written(path: Path, **datasets: dict[str, Any]) -> Path:
    """An HDF5 file; each data set is given as the arguments of create_dataset."""
    with h5py.File(path / "rows.h5", "w") as file:
        for name, arguments in datasets.items():
            file.create_dataset(name, **arguments)
    return path / "rows.h5"


@pytest.mark.parametrize(
    ("width", "chunk", "block"),
    [
        (15, None, 64),  # 4 KiB of 15 values and a label
        (15, 64, 64),
        (15, 10, 60),
        (15, 100, 100),  # a chunk is read as a whole, whatever its size
        (4095, None, 1),
        (9999, None, 1),
        (9999, 3, 3),
        (0, None, 200),  # no values, but a label: 1024 rows would do
    ],
)
def test_a_block_is_whole_chunks_of_the_widest(tmp_path: Path, width: int, chunk: int | None, block: int) -> None:
    chunks = (chunk, width) if chunk else None
    data = {"data": np.ones((200, width)), "chunks": chunks}
    label = {"data": np.zeros(200, "u1"), "chunks": (7,)}
    table = measure(written(tmp_path, data=data, label=label), ["label", "data"])
    assert table.blocks.block == block
    assert table.blocks.row_bytes == (width + 1) * 4
    assert table.row_shapes == [(), (width,)]


@pytest.mark.parametrize("options", [{}, {"chunks": (6, 3)}, {"chunks": (6, 3), "compression": "gzip"}])
@pytest.mark.parametrize("form", ["f4", ">f8", "f2", "i8", "u1"])
def test_blocks_are_loaded_in_the_order_asked_for(tmp_path: Path, options: dict[str, Any], form: str) -> None:
    values = np.random.default_rng(0).uniform(0, 200, (500, 6)).astype(form)
    path = written(tmp_path, data={"data": values, **options})
    table = measure(path, ["data"])
    assert table.blocks.block == 170 - 170 % options.get("chunks", (1,))[0]
    bounds = [table.blocks.bounds(block) for block in (2, 0)]
    (rows,) = load(path, ["data"], table, [2, 0])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.concatenate([values[start:end] for start, end in bounds]).astype(np.float32))


def test_a_block_that_memory_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, data={"data": np.ones((1000, 256)), "chunks": (1000, 1)})
    monkeypatch.setattr(hdf5_file, "free_bytes", lambda: 1000 * KIB)
    assert measure(path, ["data"]).blocks.block == 1000
    monkeypatch.setattr(hdf5_file, "free_bytes", lambda: 999 * KIB)
    with pytest.raises(DataError, match=r'"\S*rows.h5" cannot be read: 1000 rows at once need 0 MiB') as caught:
        measure(path, ["data"])
    assert "fewer rows in a chunk" in str(caught.value)


def test_memory_that_runs_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, data={"data": np.ones((10, 2))})

    def none(*_: Any) -> None:
        raise MemoryError

    table = measure(path, ["data"])
    monkeypatch.setattr(np, "empty", none)
    with pytest.raises(DataError, match=r'10 rows of "\S*rows.h5", to be read at once, do not fit into memory'):
        load(path, ["data"], table, [0])


def test_sizes_that_no_file_has_are_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2**44, 8), "f4")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with pytest.raises(DataError, match=r'"\S*rows.h5" is damaged: no file holds 17592186044416 rows of 32 bytes'):
        measure(tmp_path / "rows.h5", ["data"])


def test_a_file_that_changes_while_it_is_in_use_is_noticed(tmp_path: Path) -> None:
    table = measure(written(tmp_path, data={"data": np.ones((10, 2))}), ["data"])
    path = written(tmp_path, data={"data": np.ones((11, 2))})
    with pytest.raises(DataError, match=r'rows.h5" changed while it was in use: data set "data" was \(10, 2\)'):
        load(path, ["data"], table, [0])
    path.unlink()
    with pytest.raises(DataError, match=r'no file "\S*rows.h5"'):
        load(path, ["data"], table, [0])


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(DataError, match="cannot be opened as an HDF5 file: it is a folder or a device"):
            measure(path, ["data"])


def test_a_data_set_of_another_name_is_not_called_damage(tmp_path: Path) -> None:
    path = written(tmp_path, labels={"data": np.zeros(3)})
    with pytest.raises(DataError) as caught:
        measure(path, ["label"])
    assert str(caught.value).startswith(f'"{path}" has no data set "label"\n')
