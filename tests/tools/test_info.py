from __future__ import annotations

from io import BytesIO
from pathlib import Path

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
    assert dict(info.kinds) == {(how, shape): info.records}
    assert info.bytes == 12288 and not info.damaged


def test_labels_keys_and_sizes_are_counted(tmp_path: Path) -> None:
    datums = [Datum(channels=1, height=2, width=2, data=bytes(4), label=label) for label in (3, 3, 3, -1)]
    unlabelled = Datum(channels=2, height=1, width=1, data=bytes(2))
    info = describe(write_datums(tmp_path / "db", *datums, unlabelled))
    assert info.labels == {3: 3, -1: 1, None: 1}
    assert info.kinds == {("raw uint8", (1, 2, 2)): 4, ("raw uint8", (2, 1, 1)): 1}
    assert (info.first_key, info.last_key) == ("00000000", "00000004")
    assert info.value_bytes == sum(len(datum.SerializeToString()) for datum in (*datums, unlabelled))
    text = "\n".join(info.lines())
    assert "2 different, -1 … 3" in text and "1 records have no label" in text and "60.0 %" in text


def test_many_classes_are_summed_up(tmp_path: Path) -> None:
    labels = [*range(50), 7]
    datums = [Datum(channels=1, height=1, width=1, data=b"x", label=label) for label in labels]
    text = "\n".join(describe(write_datums(tmp_path / "db", *datums)).lines())
    assert "50 different, 0 … 49" in text and "most frequent 7 (2 records)" in text


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
