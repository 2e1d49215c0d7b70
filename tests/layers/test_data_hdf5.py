from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffelite.errors import DataError, LayerError

from ..conftest import find_golden
from ..data.by_hand import TEST, batch, first_layer_of, layer_from, opened


@pytest.mark.parametrize(("case", "forwards"), [("three_files", 4), ("extra_top", 4), ("batch_larger_than_all", 1)])
def test_recorded_case(case: str, forwards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    prototxt = find_golden(f"layers/HDF5Data/{case}.prototxt")
    monkeypatch.chdir(prototxt.parent)
    with opened(first_layer_of(prototxt, TEST)) as layer, np.load(prototxt.with_suffix(".npz")) as recorded:
        shapes = layer.shapes([])
        for step in range(forwards):
            out = "out/" if not step else f"out@{step}/"
            for name, shape, top in zip(layer.param.top, shapes, batch(layer), strict=True):
                assert shape == top.shape
                np.testing.assert_array_equal(top, recorded[out + name])


ROWS = {"a": [0, 1, 2, 3, 4], "b": [10, 11], "c": [20, 21, 22]}
ALL = [row for rows in ROWS.values() for row in rows]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Three files; row r of "data" is (r, −r), of "label" r."""
    for name, rows in ROWS.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"] = np.array([[row, -row] for row in rows], np.float64)
            file["label"] = np.array(rows, np.int32)
    (tmp_path / "list.txt").write_text("a.h5\nb.h5\n\nc.h5\n")
    return tmp_path / "list.txt"


def rows_layer(listed: Path, batch_size: int = 4, text: str = "", tops: str = 'top: "data" top: "label"') -> str:
    return (
        f'name: "rows" type: "HDF5Data" {tops} hdf5_data_param {{ source: "{listed}" batch_size: {batch_size} {text} }}'
    )


def taken(layer_text: str, batches: int, seed: int = 1, consumed: int = 0) -> list[int]:
    with opened(layer_from(layer_text)) as layer:
        layer.consumed = consumed
        tops = [batch(layer, seed) for _ in range(batches)]
    for data, label in tops:
        np.testing.assert_array_equal(data, np.stack([label, -label], axis=1))
        assert data.dtype == label.dtype == np.float32
    return [int(row) for _, label in tops for row in label]


def test_rows_go_on_over_files_and_wrap_around(listed: Path) -> None:
    assert taken(rows_layer(listed), 8) == (ALL * 4)[:32]


def test_files_lie_beside_the_list_where_nothing_else_lies_there(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(listed.parent)
    assert taken(rows_layer(Path("list.txt")), 1) == [0, 1, 2, 3]
    monkeypatch.chdir("/")
    assert taken(rows_layer(listed), 1) == [0, 1, 2, 3]


def test_shuffle_takes_every_row_once_an_epoch_and_file_after_file(listed: Path) -> None:
    rows = taken(rows_layer(listed, 5, "shuffle: true"), 40)
    epochs = [rows[start : start + 10] for start in range(0, 200, 10)]
    assert all(sorted(epoch) == ALL for epoch in epochs)
    of_files = [[row // 10 for row in epoch] for epoch in epochs]
    assert all(sum(a != b for a, b in pairwise(files)) == 2 for files in of_files), "files mixed"
    assert len({tuple(files) for files in of_files}) > 1, "files in one order"
    assert len({tuple(row for row in epoch if row < 10) for epoch in epochs}) > 1, "rows in one order"


@pytest.mark.parametrize("text", ["", "shuffle: true"])
@pytest.mark.parametrize("consumed", [3, 10, 27, 104])
def test_a_resumed_run_sees_what_the_whole_run_saw(listed: Path, text: str, consumed: int) -> None:
    whole = taken(rows_layer(listed, 1, text), 130)
    assert taken(rows_layer(listed, 5, text), 5, consumed=consumed) == whole[consumed : consumed + 25]


def test_shuffle_follows_the_seed(listed: Path) -> None:
    text = rows_layer(listed, 10, "shuffle: true")
    assert taken(text, 3, seed=1) == taken(text, 3, seed=1)
    assert taken(text, 3, seed=1) != taken(text, 3, seed=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": np.zeros((2, 3)), "label": np.zeros(2)}, r'rows of "data" must have one shape: \(2,\) in .*a.h5'),
        ({"data": np.zeros((2, 2)), "label": np.zeros(3)}, 'equally many rows, got "data" 2, "label" 3'),
        ({"data": np.zeros((2, 2))}, 'has no data set "label"'),
        ({"data": np.zeros((0, 2)), "label": np.zeros(0)}, "have no rows"),
        ({"data": np.float32(1), "label": np.zeros(2)}, "at least 1 axis"),
        ({"data": np.array([b"x", b"y"]), "label": np.zeros(2)}, "must hold numbers"),
        ({"data": h5py.SoftLink("/nowhere"), "label": np.zeros(2)}, "a link that leads nowhere"),
        ({"data": h5py.ExternalLink("no.h5", "/data"), "label": np.zeros(2)}, "a link that leads nowhere"),
    ],
)
def test_a_file_that_does_not_fit_is_named(listed: Path, change: dict[str, np.ndarray], said: str) -> None:
    with h5py.File(listed.parent / "b.h5", "w") as file:
        for name, values in change.items():
            file[name] = values
    with pytest.raises(DataError, match=said) as caught:
        taken(rows_layer(listed), 1)
    assert 'layer "rows" (HDF5Data)' in str(caught.value)
    assert "b.h5" in str(caught.value)


def test_an_hdf5_file_damaged_anywhere_is_told_as_such(listed: Path) -> None:
    """Every byte of the structure in turn; what is damaged in the values alone goes unnoticed, as it must."""
    path = listed.parent / "a.h5"
    whole, refused = path.read_bytes(), 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            with opened(layer_from(rows_layer(listed))) as layer:
                batch(layer)
        except DataError as error:
            assert "a.h5" in str(error) and 'layer "rows" (HDF5Data)' in str(error)
            refused += 1
    assert refused > 20


def test_a_damaged_chunk_is_found_when_it_is_read(listed: Path) -> None:
    path = listed.parent / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=np.arange(2000.0).reshape(1000, 2), chunks=(1000, 2), compression="gzip")
        file["label"] = np.zeros(1000)
        chunk = file["data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'"[^"]*a.h5" is damaged, or cut off'):
        taken(rows_layer(listed), 1)


def test_a_wrong_size_is_no_reason_to_take_all_memory(listed: Path) -> None:
    with h5py.File(listed.parent / "a.h5", "w") as file:
        for name, shape in {"data": (2**40, 2), "label": (2**40,)}.items():
            file.create_dataset(name, shape, "f4", chunks=(1000, *shape[1:]))[0] = 0
    with pytest.raises(DataError, match=r'1099511628 chunks of data set "data" of ".*a.h5", only 1 were ever writ'):
        layer_from(rows_layer(listed)).shapes([])


@pytest.mark.filterwarnings("error")
def test_numbers_too_large_for_the_net_are_infinite(listed: Path) -> None:
    with h5py.File(listed.parent / "a.h5", "w") as file:
        file["data"], file["label"] = np.full((5, 2), 1e300), np.zeros(5)
    with opened(layer_from(rows_layer(listed))) as layer:
        assert np.isinf(batch(layer)[0]).all()


@pytest.mark.parametrize("form", ["\ufeffa.h5\nb.h5\n", "a.h5\r\nb.h5\r\n\r\n", "\n\na.h5\tb.h5"])
def test_a_list_may_come_from_any_editor(listed: Path, form: str) -> None:
    listed.write_bytes(form.encode())
    assert taken(rows_layer(listed, 7), 1) == ROWS["a"] + ROWS["b"]


def test_names_that_no_file_can_have_are_refused(listed: Path) -> None:
    for name in ("a\\000b", "x" * 5000):
        with pytest.raises(DataError, match="cannot be read"):
            layer_from(rows_layer(Path(name))).shapes([])
    listed.write_bytes(b"a.h5\0b.h5\n")
    with pytest.raises(DataError, match="not a text file"):
        layer_from(rows_layer(listed)).shapes([])
    listed.write_text("x" * 5000)
    with pytest.raises(DataError, match="cannot be opened"):
        layer_from(rows_layer(listed)).shapes([])


def test_the_data_sets_there_are_listed(listed: Path) -> None:
    with pytest.raises(DataError, match='has no data set "lable"') as caught:
        layer_from(rows_layer(listed, tops='top: "data" top: "lable"')).shapes([])
    assert "this file has: data, label" in str(caught.value)


def test_a_list_that_is_none_is_explained(listed: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a text file") as caught:
        layer_from(rows_layer(listed.parent / "a.h5")).shapes([])
    assert "not an HDF5 file itself" in str(caught.value)
    (tmp_path / "empty.txt").write_text("\n")
    for name, said in {"gone.txt": "No such file", "empty.txt": "names no file"}.items():
        with pytest.raises(DataError, match=said):
            layer_from(rows_layer(tmp_path / name)).shapes([])
    (tmp_path / "wrong.txt").write_text("list.txt missing.h5")
    with pytest.raises(DataError, match="cannot be opened as an HDF5 file"):
        layer_from(rows_layer(tmp_path / "wrong.txt")).shapes([])
    (tmp_path / "later.txt").write_text("a.h5 missing.h5")
    with pytest.raises(DataError, match=r'later.txt:1: layer "rows" \(HDF5Data\): no file ".*missing.h5"') as caught:
        taken(rows_layer(tmp_path / "later.txt"), 1)
    assert f"looked in {Path.cwd()} and in {tmp_path}; a name ends at white space" in str(caught.value)


def test_settings_are_checked_before_anything_is_opened() -> None:
    with pytest.raises(LayerError) as caught:
        layer_from('name: "d" type: "HDF5Data" top: "data"')
    assert [fault.message.split(",")[0] for fault in caught.value.faults] == [
        "batch_size must be positive",
        "source must name a text file that lists HDF5 files",
    ]


def test_a_transformation_is_warned_of(listed: Path) -> None:
    text = rows_layer(listed) + " transform_param { scale: 2 }"
    assert taken(text, 1) == [0, 1, 2, 3]
    (fault,) = layer_from(text).warnings()
    assert str(fault) == (
        'warning: layer "rows" (HDF5Data): transform_param has no effect: rows are taken as they are\n'
        "  help: leave it out, and write the files with the values the net is to see"
    )
