from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffelite.data import block_order, hdf5, hdf5_file
from caffelite.data.hdf5 import Hdf5Rows, Listed, measured, read_list
from caffelite.errors import DataError, Place

ROWS = {"a": 100, "b": 7, "c": 301}
TOTAL = sum(ROWS.values())
BY = (1, "rows")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Listed]:
    """Blocks of 20 to 25 rows, 120 rows shuffled together: c is large.  Row r of "x" is (r, −r), of "y" r; rows of a
    begin at 0, of b at 1000, of c at 2000."""
    monkeypatch.setattr(hdf5_file, "BLOCK_BYTES", 300)
    monkeypatch.setattr(block_order, "SHUFFLED_BYTES", 120 * 12)
    for index, (name, count) in enumerate(ROWS.items()):
        rows = np.arange(count) + 1000 * index
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            chunks = (min(10, count), 1) if name != "a" else None
            file.create_dataset("x", data=np.stack([rows, -rows], axis=1), chunks=chunks, compression=chunks and "gzip")
            file["y"] = rows
    return [Listed(tmp_path / f"{name}.h5", Place("list.txt", line)) for line, name in enumerate(ROWS, 1)]


def rows_of(files: list[Listed], by: tuple[int, str] | None = None) -> Hdf5Rows:
    return Hdf5Rows(measured(files, ["x", "y"]), ["x", "y"], by)


def taken(rows: Hdf5Rows, position: int, count: int) -> list[int]:
    x, y = rows.read(position, count)
    np.testing.assert_array_equal(x, np.stack([y, -y], axis=1))
    return [int(row) for row in y]


def test_a_stream_of_blocks_is_the_files_as_they_stand(files: list[Listed]) -> None:
    rows = rows_of(files)
    epoch = [row + 1000 * index for index, count in enumerate(ROWS.values()) for row in range(count)]
    assert len(rows) == TOTAL
    assert taken(rows, 0, 1000) == (epoch * 3)[:1000]


@pytest.mark.parametrize("by", [None, BY])
def test_any_position_can_be_read_whatever_was_read_before(files: list[Listed], by: tuple[int, str] | None) -> None:
    whole = taken(rows_of(files, by), 0, 3 * TOTAL)
    rows, draws = rows_of(files, by), np.random.default_rng(0)
    for _ in range(60):
        start, count = int(draws.integers(3 * TOTAL - 150)), int(draws.integers(1, 150))
        assert taken(rows, start, count) == whole[start : start + count]


def test_shuffled_every_row_comes_once_an_epoch(files: list[Listed]) -> None:
    rows = rows_of(files, BY)
    epochs = [taken(rows, epoch * TOTAL, TOTAL) for epoch in range(3)]
    assert all(sorted(epoch) == taken(rows_of(files), 0, TOTAL) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(("by", "most"), [(None, 25), (BY, 120)])
def test_a_few_blocks_are_in_memory_and_each_is_read_once_an_epoch(
    files: list[Listed], by: tuple[int, str] | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = list[tuple[str, Sequence[int]]](), hdf5.load

    def counted(path: Path, names: Sequence[str], table: Any, blocks: Sequence[int]) -> Any:
        loads.append((path.name, blocks))
        assert table.blocks.rows_of(blocks) <= most
        return load(path, names, table, blocks)

    monkeypatch.setattr(hdf5, "load", counted)
    rows = rows_of(files, by)
    for position in range(0, TOTAL, 6):
        rows.read(position, min(6, TOTAL - position))
    read = [(name, block) for name, blocks in loads for block in blocks]
    assert sorted(read) == [("a.h5", block) for block in range(4)] + [("b.h5", 0)] + [
        ("c.h5", block) for block in range(16)
    ]


def test_a_file_larger_than_memory_is_read(files: list[Listed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_file, "free_bytes", lambda: 300)
    assert len(taken(rows_of(files), 0, TOTAL)) == TOTAL


def test_everything_wrong_with_the_files_is_told_at_once(files: list[Listed]) -> None:
    folder = files[0].path.parent
    (folder / "b.h5").write_bytes(b"something else")
    with h5py.File(folder / "c.h5", "w") as file:
        file["x"], file["y"] = np.ones((5, 3)), np.ones(5)
    missing = [Listed(folder / f"{index}.h5", Place("list.txt", 4 + index), "look there") for index in range(11)]
    with pytest.raises(DataError) as caught:
        measured(files + missing, ["x", "y"])
    said = [str(fault) for fault in caught.value.faults]
    assert len(said) == 11
    assert said[0].startswith(f'list.txt:2: "{folder}/b.h5" cannot be opened as an HDF5 file')
    assert said[1].startswith('list.txt:3: rows of "x" must have one shape: (2,) in "')
    assert said[2] == f'list.txt:4: no file "{folder}/0.h5"\n  help: look there'
    assert said[10] == "list.txt: 3 more files cannot be used"


def test_the_line_that_names_a_file_is_told_when_it_breaks_later(files: list[Listed]) -> None:
    rows = rows_of(files)
    assert taken(rows, 0, 1) == [0]
    files[1].path.unlink()
    with pytest.raises(DataError, match=r'^list.txt:2: no file "\S*b.h5"'):
        rows.read(100, 1)


def test_a_name_ends_at_white_space(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("a.h5 \t sub/b.h5\r\n\r\n\x0b\u00fc\u00a0.h5".encode() + b"\n\xff.h5")
    files = read_list(str(tmp_path / "list.txt"), None)
    names = [file.path.relative_to(Path.cwd()).as_posix() for file in files]
    assert names == ["a.h5", "sub/b.h5", "\u00fc\u00a0.h5", "\udcff.h5"]
    assert [file.place.line for file in files] == [1, 1, 3, 4]


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("nets", "lists"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lists" / "here.h5").touch()
    (tmp_path / "lists" / "list.txt").write_text("here.h5\nmy rows.h5\n/no/rows.h5")
    here, my, rows, absolute = read_list("lists/list.txt", tmp_path / "nets")
    assert (here.path, here.help) == (tmp_path / "lists" / "here.h5", None)
    looked = f"looked in {tmp_path} and in {tmp_path}/nets and in {tmp_path}/lists"
    assert my.help == rows.help == f"{looked}; a name ends at white space, so this line names several files"
    assert absolute.help == "the path is absolute: does it come from another machine?"


def test_a_list_that_names_nothing_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r'the list "\S*list.txt" names no file\n  help: write the path of one HDF5'):
        read_list(str(tmp_path / "list.txt"), None)
