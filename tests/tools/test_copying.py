from __future__ import annotations

import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from caffelite.data.image_files import read_labelled
from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools import copying, hdf5_tables
from caffelite.tools.copying import FORMS, Copied, copy, form_of
from tests.conftest import find_golden

from .databases import contents, write, write_datums
from .killing import kill


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
    assert copy(database, tmp_path / "x.h5", "hdf5") == Copied(300)
    assert copy(tmp_path / "x.h5", tmp_path / "images", "images") == Copied(300)
    assert copy(tmp_path / "images", tmp_path / "back_lmdb", "lmdb") == Copied(300)
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


@pytest.mark.parametrize("form", ["hdf5", "images"])
def test_encoded_images_become_pixels_where_records_are_none(form: str, tmp_path: Path) -> None:
    raw, encoded = (find_golden(f"layers/Data/_src/{name}_lmdb") for name in ("color", "encoded"))
    copy(encoded, tmp_path / "between", form)
    copy(tmp_path / "between", tmp_path / "x_lmdb", "lmdb")
    assert same(datums(tmp_path / "x_lmdb"), datums(raw))


@pytest.mark.parametrize("name", ["color", "encoded", "float", "gray"])
def test_from_database_to_database_every_byte_is_kept(name: str, tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    source = find_golden(f"layers/Data/_src/{name}_lmdb")
    count = len(contents(source))
    assert copy(source, tmp_path / "x_leveldb", "leveldb") == Copied(count)
    assert copy(tmp_path / "x_leveldb", tmp_path / "x_lmdb", "lmdb") == Copied(count)
    assert copy(tmp_path / "x_lmdb", tmp_path / "again_lmdb", "lmdb") == Copied(count)
    assert contents(tmp_path / "x_leveldb") == contents(tmp_path / "again_lmdb") == contents(source)


def test_keys_and_values_may_be_any_bytes(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    odd = [b"\x00", b"\\xff", b"a", b"a\x00", b"a\n", b"\xc3\xa4", b"\xff", b"\xff" * 511]
    records = [*((key, key[::-1] * 3) for key in odd[:-1]), (odd[-1], b"")]
    copy(write(tmp_path / "db", records), tmp_path / "x_leveldb", "leveldb")
    copy(tmp_path / "x_leveldb", tmp_path / "x_lmdb", "lmdb")
    assert contents(tmp_path / "x_leveldb") == contents(tmp_path / "x_lmdb") == records
    many = [(b"%d" % index, b"x" * (index % 7)) for index in range(3000)]
    copy(write(tmp_path / "many", many), tmp_path / "many_leveldb", "leveldb")
    copy(tmp_path / "many_leveldb", tmp_path / "many_lmdb", "lmdb")
    assert contents(tmp_path / "many_lmdb") == sorted(many)


@pytest.mark.parametrize("name", ["color", "fresh"])
def test_the_originals_leveldbs_are_read(name: str, tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    source = find_golden(f"layers/Data/_src/{name}_leveldb")
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    copy(source, tmp_path / "x_lmdb", "lmdb")
    assert [datum.label for datum in datums(tmp_path / "x_lmdb")][:3] == [0, 3, 6]
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before


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


@pytest.mark.parametrize("to", FORMS)
def test_what_lies_there_is_only_replaced_by_force_and_if_it_is_alike(to: str, database: Path, tmp_path: Path) -> None:
    if to == "leveldb":
        pytest.importorskip("plyvel")
    target = tmp_path / "target"
    copy(database, target, to)
    with pytest.raises(DataError, match="exists") as caught:
        copy(database, target, to)
    assert "--force" in str(caught.value)
    assert copy(database, target, to, force=True) == Copied(300)
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
        (
            {"data": np.zeros((2, 3)), "label": np.zeros((2, 2))},
            "row 0 has the label 0,0; a record of a database has one",
        ),
        ({"data": np.zeros((2, 3)), "label": np.zeros(3)}, "must be 2 or 2×K, one row for each image, got 3"),
        ({"data": np.zeros((0, 3)), "label": np.zeros(0)}, r"it has: data \(0×3 of float64\), label \(0 of"),
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
    with pytest.raises(DataError, match="is no LMDB, no LevelDB, no HDF5 file"):
        copy(tmp_path / "text", tmp_path / "db", "lmdb")


def test_unequal_records_do_not_fit_into_hdf5(tmp_path: Path) -> None:
    made = [Datum(channels=1, height=1, width=width, data=bytes(width)) for width in (1, 2)]
    with pytest.raises(DataError, match='record "00000001" is 1×1×2 of uint8, the first 1×1×1'):
        copy(write_datums(tmp_path / "db", *made), tmp_path / "x.h5", "hdf5")
    assert not (tmp_path / "x.h5").exists()


def test_names_say_what_a_target_is_to_be() -> None:
    names = ("a.h5", "b.HDF5", "train_lmdb", "x.mdb", "train_leveldb", "images")
    assert [form_of(Path(name)) for name in names] == ["hdf5", "hdf5", "lmdb", "lmdb", "leveldb", None]


def test_labels_need_not_be_whole_numbers(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 4), dtype=np.uint8)
    labels = np.array([0.1, -2, 1e-10, 3], np.float32)
    copy(hdf5(tmp_path / "x.h5", data=images, label=labels), tmp_path / "images", "images")
    lines = (tmp_path / "images" / "list.txt").read_text().splitlines()
    assert lines == ["00000000.png 0.1", "00000001.png -2", "00000002.png 1e-10", "00000003.png 3"]
    copy(tmp_path / "images", tmp_path / "back.h5", "hdf5")
    with h5py.File(tmp_path / "back.h5") as file:
        np.testing.assert_array_equal(file["data"][...], images)
        np.testing.assert_array_equal(file["label"][...], labels)
        assert file["label"].dtype == np.float32
    labelled = read_labelled(str(tmp_path / "images" / "list.txt"), f"{tmp_path / 'images'}/", None)
    np.testing.assert_array_equal(labelled.labels, labels)


@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 1, 1)])
def test_there_may_be_several_labels(shape: tuple[int, ...], tmp_path: Path) -> None:
    labels = np.array([[0, 1], [0.5, 2], [7, -0.25]])
    source = hdf5(tmp_path / "x.h5", data=np.zeros((3, 1, 2, 2), np.uint8), label=labels.reshape(shape))
    copy(source, tmp_path / "images", "images")
    lines = (tmp_path / "images" / "list.txt").read_text().splitlines()
    assert lines == ["00000000.png 0,1", "00000001.png 0.5,2", "00000002.png 7,-0.25"]
    copy(tmp_path / "images", tmp_path / "back.h5", "hdf5")
    with h5py.File(tmp_path / "back.h5") as file:
        np.testing.assert_array_equal(file["label"][...], labels)


def test_large_labels_are_exact_or_refused(tmp_path: Path) -> None:
    large = 2**24 + 1
    source = write_datums(tmp_path / "db", Datum(channels=1, height=1, width=1, data=b"x", label=large))
    copy(source, tmp_path / "x.h5", "hdf5")
    copy(tmp_path / "x.h5", tmp_path / "back_lmdb", "lmdb")
    assert datums(tmp_path / "back_lmdb")[0].label == large
    copy(source, tmp_path / "images", "images")
    assert (tmp_path / "images" / "list.txt").read_text() == f"{large}/00000000.png {large}\n"
    with pytest.raises(DataError, match="above 16777215 they would be rounded"):
        copy(tmp_path / "images", tmp_path / "x_lmdb", "lmdb")
    beyond = hdf5(tmp_path / "y.h5", data=np.zeros((1, 1)), label=[2**31])
    with pytest.raises(DataError, match="one whole number of 32 bits"):
        copy(beyond, tmp_path / "y_lmdb", "lmdb")


def test_labels_that_no_list_can_hold_are_told(tmp_path: Path) -> None:
    source = hdf5(tmp_path / "x.h5", data=np.zeros((2, 1, 2, 2), np.uint8), label=[0, np.inf])
    with pytest.raises(DataError, match="row 1 has the label inf, which no list can hold"):
        copy(source, tmp_path / "images", "images")
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5"]


def test_data_sets_that_do_not_come_along_are_told(tmp_path: Path) -> None:
    source = hdf5(tmp_path / "x.h5", data=np.zeros((2, 1)), label=[0, 1], clip=[1, 1])
    assert copy(source, tmp_path / "db", "lmdb") == Copied(2, ('data set "clip"',))


def test_links_in_an_hdf5_file_are_followed(tmp_path: Path) -> None:
    source = hdf5(tmp_path / "x.h5", data=np.zeros((2, 1)), fine=[3, 4])
    with h5py.File(source, "a") as file:
        file["label"] = h5py.SoftLink("/fine")
        file["nowhere"] = h5py.SoftLink("/gone")
    assert copy(source, tmp_path / "db", "lmdb") == Copied(2, ('data set "fine"',))
    assert [datum.label for datum in datums(tmp_path / "db")] == [3, 4]


def test_large_images_are_copied_in_small_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (copying, hdf5_tables):
        monkeypatch.setattr(module, "_BYTES_AT_ONCE", 32 << 10)
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 100, 50), dtype=np.uint8)
    told: list[int] = []
    source = hdf5(tmp_path / "x.h5", data=images, label=np.arange(5))
    copy(source, tmp_path / "y.h5", "hdf5", progress=lambda what, done, total: told.append(done))
    assert told == [3, 5]
    with h5py.File(tmp_path / "y.h5") as file:
        np.testing.assert_array_equal(file["data"][...], images)


def test_names_of_classes_do_not_come_along(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        Image.new("L", (2, 2)).save(tmp_path / "tree" / name / "x.png")
    assert copy(tmp_path / "tree", tmp_path / "db", "lmdb").left_out == ("the names of classes 0 … 1",)


def test_a_folder_with_other_pictures_is_not_replaced(tmp_path: Path) -> None:
    source = hdf5(tmp_path / "x.h5", data=np.zeros((2, 1, 2, 2), np.uint8), label=[0, 1])
    copy(source, tmp_path / "images", "images")
    copy(source, tmp_path / "images", "images", force=True)
    (tmp_path / "images" / "0" / "mine.png").write_text("mine")
    with pytest.raises(DataError, match="left alone"):
        copy(source, tmp_path / "images", "images", force=True)
    (tmp_path / "images" / "list.txt").write_text("bread\nbutter\n")
    with pytest.raises(DataError, match="left alone"):
        copy(source, tmp_path / "images", "images", force=True)
    assert (tmp_path / "images" / "0" / "mine.png").read_text() == "mine"


KILLED = """
import sys, time
from pathlib import Path
from caffelite.tools.copying import copy

def slowly(what, done, total):
    print(done, flush=True)
    time.sleep(60)

copy(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], progress=slowly)
"""


@pytest.mark.parametrize("to", FORMS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_copy_leaves_nothing_under_the_name(to: str, number: int, database: Path, tmp_path: Path) -> None:
    if to == "leveldb":
        pytest.importorskip("plyvel")
    assert kill(number, KILLED, database, tmp_path / "copy", to) in (b"256\n", b"300\n")
    left = [file.name for file in tmp_path.iterdir() if file != database]
    assert len(left) == (number == signal.SIGKILL) and "copy" not in left
