from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools.copying import copy, form_of
from tests.conftest import find_golden

from .databases import contents, write_datums


def datums(path: Path) -> list[Datum]:
    return [Datum.FromString(value) for _, value in contents(path)]


def same(first: list[Datum], second: list[Datum]) -> bool:
    def content(datum: Datum) -> tuple[object, ...]:
        return datum.channels, datum.height, datum.width, datum.label, datum.data, tuple(datum.float_data)

    return list(map(content, first)) == list(map(content, second))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """300 colour images with labels up to 11."""
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 5, 4), dtype=np.uint8)
    made = (
        Datum(channels=3, height=5, width=4, data=image.tobytes(), label=index % 12)
        for index, image in enumerate(images)
    )
    return write_datums(tmp_path / "source_lmdb", *made)


def test_there_and_back_nothing_is_lost(database: Path, tmp_path: Path) -> None:
    assert copy(database, tmp_path / "x.h5", "hdf5") == 300
    assert copy(tmp_path / "x.h5", tmp_path / "images", "images") == 300
    assert copy(tmp_path / "images", tmp_path / "back_lmdb", "lmdb") == 300
    assert same(datums(tmp_path / "back_lmdb"), datums(database))
    assert [key for key, _ in contents(tmp_path / "back_lmdb")] == [b"%08d" % index for index in range(300)]
    assert not list(tmp_path.glob(".*"))


def test_an_hdf5_file_is_what_an_hdf5data_layer_reads(database: Path, tmp_path: Path) -> None:
    copy(database, tmp_path / "x.h5", "hdf5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["data"].shape == (300, 3, 5, 4) and file["data"].dtype == np.uint8
        np.testing.assert_array_equal(file["label"][...], np.arange(300) % 12)
        assert file["data"][299].tobytes() == datums(database)[299].data


def test_floats_stay_floats(tmp_path: Path) -> None:
    source = find_golden("layers/Data/_src/float_lmdb")
    copy(source, tmp_path / "x.h5", "hdf5")
    copy(tmp_path / "x.h5", tmp_path / "back_lmdb", "lmdb")
    assert same(datums(tmp_path / "back_lmdb"), datums(source))
    with pytest.raises(DataError, match="pictures have 1, 3 or 4 channels of uint8"):
        copy(source, tmp_path / "images", "images")
    assert not (tmp_path / "images").exists()


def test_encoded_images_become_pixels(tmp_path: Path) -> None:
    raw, encoded = (find_golden(f"layers/Data/_src/{name}_lmdb") for name in ("color", "encoded"))
    copy(encoded, tmp_path / "x_lmdb", "lmdb")
    assert same(datums(tmp_path / "x_lmdb"), datums(raw))


@pytest.mark.parametrize("name", ["color", "fresh"])
def test_a_leveldb_is_read(name: str, tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    copy(find_golden(f"layers/Data/_src/{name}_leveldb"), tmp_path / "x_lmdb", "lmdb")
    assert [datum.label for datum in datums(tmp_path / "x_lmdb")][:3] == [0, 3, 6]


def test_pictures_have_their_colours_and_their_list(tmp_path: Path) -> None:
    colour = Datum(channels=3, height=1, width=1, data=bytes([50, 100, 200]), label=10)
    gray = Datum(channels=1, height=1, width=2, data=bytes([7, 9]), label=2)
    copy(write_datums(tmp_path / "db", colour, gray), tmp_path / "images", "images")
    assert (tmp_path / "images" / "list.txt").read_text() == "10/00000000.png 10\n2/00000001.png 2\n"
    with Image.open(tmp_path / "images" / "10" / "00000000.png") as picture:
        assert picture.getpixel((0, 0)) == (200, 100, 50)
    with Image.open(tmp_path / "images" / "2" / "00000001.png") as picture:
        assert [picture.mode, *picture.tobytes()] == ["L", 7, 9]


def test_folders_without_a_list_are_classes(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        Image.new("L", (2, 2), ord(name)).save(tmp_path / "tree" / name / "x.png")
    copy(tmp_path / "tree", tmp_path / "db", "lmdb")
    assert [(datum.label, datum.data) for datum in datums(tmp_path / "db")] == [(0, b"aaaa"), (1, b"bbbb")]
    (tmp_path / "tree" / "b" / "y.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"y\.png"):
        copy(tmp_path / "tree", tmp_path / "db", "lmdb", force=True)
    assert len(datums(tmp_path / "db")) == 2


@pytest.mark.parametrize("to", ["lmdb", "hdf5", "images"])
def test_what_lies_there_is_only_replaced_by_force_and_if_it_is_alike(to: str, database: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy(database, target, to)
    with pytest.raises(DataError, match="exists") as caught:
        copy(database, target, to)
    assert "--force" in str(caught.value)
    assert copy(database, target, to, force=True) == 300
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="left alone"):
        copy(database, other, to, force=True)
    assert (other / "thesis.txt").read_text() == "mine"
    with pytest.raises(DataError, match="onto itself"):
        copy(target, target, to, force=True)


def hdf5(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        ({"data": np.zeros((2, 3))}, 'called "data" and "label"; it has: data'),
        ({"data": np.zeros((2, 3)), "label": np.zeros((2, 2))}, "2 rows of one label, got 2×2"),
        ({"data": np.zeros((2, 3)), "label": np.zeros(3)}, "2 rows of one label, got 3"),
        ({"data": np.zeros((0, 3)), "label": np.zeros(0)}, "got 0×3"),
        ({"data": np.zeros((2, 1, 1, 1, 1)), "label": np.zeros(2)}, "got 2×1×1×1×1"),
        ({"data": np.zeros((2, 3)), "label": [0, 0.5]}, "row 1 has the label 0.5"),
    ],
)
def test_hdf5_files_that_do_not_fit_are_told(datasets: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        copy(hdf5(tmp_path / "x.h5", **datasets), tmp_path / "db", "lmdb")
    assert not (tmp_path / "db").exists()


def test_damaged_and_missing_sources_are_told(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "x.h5", data=np.zeros((500, 30, 10)), label=np.zeros(500))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read as an HDF5 file"):
        copy(path, tmp_path / "db", "lmdb")
    with pytest.raises(DataError, match="does not exist"):
        copy(tmp_path / "gone", tmp_path / "db", "lmdb")
    (tmp_path / "text").write_text("x")
    with pytest.raises(DataError, match="is no LMDB and no HDF5 file"):
        copy(tmp_path / "text", tmp_path / "db", "lmdb")


def test_unequal_records_do_not_fit_into_hdf5(tmp_path: Path) -> None:
    made = [Datum(channels=1, height=1, width=width, data=bytes(width)) for width in (1, 2)]
    with pytest.raises(DataError, match='record "00000001" is 1×1×2 of uint8, the first 1×1×1'):
        copy(write_datums(tmp_path / "db", *made), tmp_path / "x.h5", "hdf5")
    assert not (tmp_path / "x.h5").exists()


def test_names_say_what_a_target_is_to_be() -> None:
    names = ("a.h5", "b.HDF5", "train_lmdb", "x.mdb", "images")
    assert [form_of(Path(name)) for name in names] == ["hdf5", "hdf5", "lmdb", "lmdb", None]
