from __future__ import annotations

from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools.info import describe, key_format, write_first
from tests.conftest import find_golden

from .databases import write, write_datums


@pytest.mark.parametrize(
    ("name", "how", "shape"),
    [
        ("color", "raw uint8", (3, 12, 10)),
        ("encoded", "encoded PNG", (3, 12, 10)),
        ("gray", "raw uint8", (1, 12, 10)),
        ("float", "float32", (2, 3, 4)),
    ],
)
def test_the_originals_databases_are_described(name: str, how: str, shape: tuple[int, ...]) -> None:
    info = describe(find_golden(f"layers/Data/_src/{name}_lmdb"))
    assert list(info.kinds) == [(how, shape)]
    assert f"LMDB, {info.kinds.total()} records" in info.what
    assert info.bytes == 12288 and not info.damaged


def test_labels_keys_and_sizes_are_counted(tmp_path: Path) -> None:
    datums = [Datum(channels=1, height=2, width=2, data=bytes(4), label=label) for label in (3, 3, 3, -1)]
    unlabelled = Datum(channels=2, height=1, width=1, data=bytes(2))
    info = describe(write_datums(tmp_path / "db", *datums, unlabelled))
    assert (info.labels.counts, info.labels.missing) == ({3: 3, -1: 1}, 1)
    assert info.kinds == {("raw uint8", (1, 2, 2)): 4, ("raw uint8", (2, 1, 1)): 1}
    text = "\n".join(info.lines())
    size = sum(len(datum.SerializeToString()) for datum in (*datums, unlabelled))
    assert "LMDB, 5 records" in text and "00000000 … 00000004 (%08d)" in text and f"values   {size} bytes" in text
    assert "2 different, -1 … 3" in text and "without a label: 1;" in text and "60.0 %" in text


def test_many_classes_are_summed_up(tmp_path: Path) -> None:
    labels = [*range(50), 7]
    datums = [Datum(channels=1, height=1, width=1, data=b"x", label=label) for label in labels]
    text = "\n".join(describe(write_datums(tmp_path / "db", *datums)).lines())
    assert "50 different, 0 … 49" in text and "most frequent 7 (2)" in text


@pytest.mark.parametrize(
    ("key", "form"),
    [
        ("00000012", "%08d"),
        ("00012", "%05d"),
        ("00000012_a/b.png", "%08d_name"),
        ("cat", "not numbered"),
        ("", "not numbered"),
    ],
)
def test_key_formats(key: str, form: str) -> None:
    assert key_format(key) == form


def test_damaged_records_are_told_with_their_keys(tmp_path: Path) -> None:
    good = Datum(channels=1, height=1, width=1, data=b"x").SerializeToString()
    short = Datum(channels=1, height=2, width=2, data=b"x").SerializeToString()
    text = Datum(data=b"no image", encoded=True).SerializeToString()
    bitmap = BytesIO()
    Image.new("L", (1, 1)).save(bitmap, "BMP")
    vast = bitmap.getvalue()[:18] + b"\xff\xff\xff\x0f" * 2 + bitmap.getvalue()[26:]
    huge = Datum(data=vast, encoded=True).SerializeToString()
    path = write(tmp_path / "db", [(b"a", good), (b"b", b"\xff"), (b"c", short), (b"d", text), (b"e", huge)])
    messages = [fault.message for fault in describe(path).damaged]
    assert [message.split('"')[1] for message in messages] == ["b", "c", "d", "e"]
    assert "is not a Datum" in messages[0] and "1×2×2, but holds 1 values" in messages[1]
    many = write(tmp_path / "many", [(b"%04d" % index, b"\xff") for index in range(30)])
    assert "and 20 more" in describe(many).damaged[-1].message


def test_the_first_records_are_drawn_in_their_colours(tmp_path: Path) -> None:
    red = Datum(channels=3, height=32, width=32, data=bytes(2048) + b"\xff" * 1024, label=1)
    gray = Datum(channels=1, height=64, width=64, data=b"\x40" * 4096)
    path = write_datums(tmp_path / "db", red, gray, gray)
    assert write_first(path, tmp_path / "two.png", 2) == (0, 255)
    with Image.open(tmp_path / "two.png") as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
        assert picture.getpixel((10, 10)) == (255, 0, 0) and (64, 64, 64) in colours
    write_first(path, tmp_path / "rgb.png", 1, rgb=True)
    with Image.open(tmp_path / "rgb.png") as picture:
        assert picture.getpixel((10, 10)) == (0, 0, 255)


def test_floats_are_drawn_from_their_least_to_their_greatest(tmp_path: Path) -> None:
    values = np.array([-2, 0, 2, np.nan], np.float32)
    datum = Datum(channels=1, height=1, width=4, float_data=values.tolist())
    assert write_first(write_datums(tmp_path / "db", datum), tmp_path / "it.png") == (-2, 2)
    with Image.open(tmp_path / "it.png") as picture:
        assert [picture.getpixel((2 + 16 * index + 8, 8))[0] for index in range(3)] == [0, 128, 255]


def test_a_picture_needs_a_format(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"docx"'):
        write_first(find_golden("mean/gray_lmdb"), tmp_path / "x.docx")


def told(path: Path) -> str:
    """The report."""
    return "\n".join(describe(path).lines())


def test_a_leveldb_is_described(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    text = told(find_golden("layers/Data/_src/color_leveldb"))
    assert "LevelDB, 6 records" in text and "6 of 3×12×10 (channels×height×width), raw uint8" in text


def test_an_hdf5_file_is_described(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3)
        file["label"] = np.array([0.5, 0.5, 0.1, 2], np.float32)
        file["more/odd"] = np.array([1, np.nan, np.inf, 3])
        file["name"] = np.array([b"a", b"b", b"c", b"d"])
    lines = list(describe(tmp_path / "x.h5").lines())
    assert lines[0].startswith(f"{tmp_path / 'x.h5'}: HDF5 file, 4 rows, ")
    assert lines[1:6] == [
        "data     4×1×2×3 of uint8, 0 … 23",
        "label    4 of float32, 0.1 … 2",
        "more/odd 4 of float64, 1 … 3, 2 not finite",
        "name     4 of |S1",
        "labels   3 different, 0.1 … 2",
    ]
    assert [line.split()[:2] for line in lines[6:]] == [["0.1", "1"], ["0.5", "2"], ["2", "1"]]


def test_several_labels_a_row_are_told_by_their_ranges(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["label"] = np.array([[0.25, 3], [-1, 5], [0, 4]])
        file["data"] = np.zeros((2, 1))
    text = told(tmp_path / "x.h5")
    assert "2 data sets of different lengths" in text
    assert "labels   2 numbers a record\n      0  -1 … 0.25\n      1  3 … 5" in text


def test_a_damaged_hdf5_file_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.zeros((4000, 100))
    (tmp_path / "x.h5").write_bytes((tmp_path / "x.h5").read_bytes()[:100000])
    with pytest.raises(DataError, match=r'x\.h5" cannot be read as an HDF5 file'):
        describe(tmp_path / "x.h5")


def test_folders_of_images_are_described_and_drawn(tmp_path: Path) -> None:
    for name, mode in (("b/1.png", "L"), ("a/2.jpg", "RGB"), ("a/3.png", "RGBA")):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (5, 4)).save(tmp_path / "tree" / name)
    text = told(tmp_path / "tree")
    assert "3 in 2 classes" in text and "files    a/2.jpg … b/1.png" in text
    for line in ("1 of 3×4×5 (channels×height×width), JPEG", "1 of 1×4×5", "1 of 4×4×5", "    0 a        2   66.7 %"):
        assert line in text
    assert write_first(tmp_path / "tree", tmp_path / "it.png") == (0, 255)
    (tmp_path / "tree" / "list.txt").write_text("b/1.png 0.5\ngone.png 1\nlist.txt 2\n")
    info = describe(tmp_path / "tree")
    assert "3 in list.txt" in info.what and info.kinds == {("PNG", (1, 4, 5)): 1}
    assert [fault.message for fault in info.damaged] == [
        'image "gone.png" cannot be read: No such file or directory',
        'image "list.txt" is in no format that can be decoded',
    ]


def test_many_sizes_are_summed_up(tmp_path: Path) -> None:
    datums = [Datum(channels=1, height=height, width=7, data=bytes(7 * height)) for height in range(3, 16)]
    text = told(write_datums(tmp_path / "db", *datums, Datum(channels=1, height=1, width=1, float_data=[1])))
    assert "images   13 of 1 channels, height 3 … 15, width 7 … 7, raw uint8" in text
    assert "images   1 of 1 channels, height 1 … 1, width 1 … 1, float32" in text


def test_keys_are_shown_in_characters_that_can_be_printed(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [(b"\x1b[2J", Datum(channels=1, height=1, width=1, data=b"x").SerializeToString())])
    assert "\ufffd[2J" in told(path) and "\x1b" not in told(path)


def test_what_is_no_data_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, said in (("gone", "does not exist"), ("text", "is no LMDB"), ("empty", "is a folder without a database")):
        with pytest.raises(DataError, match=said):
            describe(tmp_path / name)
    with pytest.raises(DataError, match="is a folder without an LMDB or a LevelDB"):
        describe(tmp_path / "empty", "lmdb")
