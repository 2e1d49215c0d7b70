"""Damaged data: what is read is what was written, or what stands there now; else an error says where.

Where a format has checksums (LMDBs that we wrote, PNG, HDF5 with fletcher32) damage must be found.  Where it has none
(a Datum in a foreign LMDB, JPEG, a list of images) the oracle is an independent reading of the damaged bytes: protobuf
and NumPy, Pillow, a few lines of text handling.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from caffelite.data.hdf5 import Hdf5Rows, measured, read_list
from caffelite.data.image import pixels_of
from caffelite.data.image_files import read_labelled
from caffelite.data.record_table import RecordTable
from caffelite.data.sources import acquire, release
from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools.writers import write_images

from .databases import datum, write_values

Outcome = str
PAGE = 4096


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some damage: bits flipped, a page emptied or doubled, a length made huge, the end cut off."""
    damaged = bytearray(data)
    at = chance.randrange(len(data))
    page = slice(at // PAGE * PAGE, at // PAGE * PAGE + PAGE)
    kind = chance.choice(["flip", "flip", "many", "zero", "double", "huge", "cut"])
    if kind in ("flip", "many"):
        for _ in range(1 if kind == "flip" else 20):
            damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "zero":
        damaged[page] = bytes(len(damaged[page]))
    elif kind == "double":
        other = chance.randrange(len(data)) // PAGE * PAGE
        damaged[page] = damaged[other : other + PAGE]
    elif kind == "huge":
        damaged[at : at + 8] = b"\xff" * min(8, len(data) - at)
    else:
        del damaged[at:]
    return bytes(damaged)


def tally(outcomes: Iterator[Outcome]) -> Counter[Outcome]:
    """How often each; nothing but what is allowed."""
    found = Counter(outcomes)
    assert set(found) <= {"same", "error"}
    return found


def outcome(read: Callable[[], object], wanted: object, named: str) -> Outcome:
    """ "same" or "error"; an error must name what is damaged."""
    try:
        got = read()
    except DataError as error:
        assert re.search(named, str(error)), str(error)
        return "error"
    return "same" if got == wanted else f"differs: {got!r} instead of {wanted!r}"[:300]


def all_values(path: Path) -> list[bytes]:
    source = acquire(path, "LMDB")
    try:
        return source.reader().read(0, len(source))
    finally:
        release(source)


@pytest.mark.parametrize("shape", [(1, 10, 10), (3, 40, 40)], ids=["in pages", "on pages of their own"])
def test_an_lmdb_that_we_wrote(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    chance, count = random.Random(1), 100
    images = np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)
    write_images(tmp_path / "db", images, range(count))
    wanted, whole = all_values(tmp_path / "db"), (tmp_path / "db" / "data.mdb").read_bytes()

    def outcomes() -> Iterator[Outcome]:
        for _ in range(45):
            (tmp_path / "db" / "data.mdb").write_bytes(mutated(whole, chance))
            yield outcome(lambda: all_values(tmp_path / "db"), wanted, re.escape(f"{tmp_path}/db"))

    assert tally(outcomes())["error"] > 20
    (tmp_path / "db" / "data.mdb").write_bytes(whole)
    assert all_values(tmp_path / "db") == wanted


def test_checksums_that_do_not_belong_to_an_lmdb(tmp_path: Path) -> None:
    images = np.zeros((3, 1, 2, 2), np.uint8)
    write_images(tmp_path / "db", images, [0, 1, 2])
    file = tmp_path / "db" / "checksums"
    whole = file.read_bytes()
    for content in (b"", whole[:20], whole[:-1], whole[:-1] + b"\0", b"x" * len(whole)):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r'file "checksums" .*without its file "checksums" it is read unchecked'):
            all_values(tmp_path / "db")
    file.write_bytes(whole)
    write_images(tmp_path / "more", np.zeros((4, 1, 2, 2), np.uint8), [0, 1, 2, 3])
    (tmp_path / "more" / "data.mdb").replace(tmp_path / "db" / "data.mdb")
    with pytest.raises(DataError, match="was changed after"):
        all_values(tmp_path / "db")
    file.unlink()
    assert len(all_values(tmp_path / "db")) == 4


def datum_by_hand(value: bytes) -> tuple[list[int], int] | None:
    """The pixels and label of a raw Datum; None where it contradicts itself."""
    try:
        message = Datum.FromString(value)
    except Exception:
        return None
    size = message.channels * message.height * message.width
    if min(message.channels, message.height, message.width) < 1 or message.encoded:
        return None
    values = list(message.data) or list(message.float_data)
    return (values, message.label) if len(values) == size else None


def test_a_datum_in_a_foreign_lmdb(tmp_path: Path) -> None:
    chance = random.Random(2)
    sound = [datum(np.full((1, 4, 4), index, np.uint8), index) for index in range(5)]

    def outcomes() -> Iterator[Outcome]:
        for number in range(40):
            values = [*sound[:3], mutated(sound[3], chance), sound[4]]
            path = write_values(tmp_path / str(number), values)
            table = RecordTable(acquire(path, "LMDB"), budget=0)

            def read(table: RecordTable = table) -> object:
                records = table.records(np.arange(5))
                return [
                    (np.asarray(i).ravel().tolist(), int(n))
                    for i, n in zip(records.images, records.labels, strict=True)
                ]

            yield outcome(read, [datum_by_hand(value) for value in values], 'record "00000003"')
            table.close()

    found = tally(outcomes())
    assert found["error"] > 5 and found["same"] > 5


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_an_image(tmp_path: Path, form: str) -> None:
    chance = random.Random(3)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, form)
    list_file, file = tmp_path / "list.txt", tmp_path / "a.img"
    list_file.write_text(f"\n{file} 1\n")
    files = read_labelled(str(list_file), "", None).files

    def outcomes() -> Iterator[Outcome]:
        for _ in range(30):
            file.write_bytes(mutated(stream.getvalue(), chance))

            def read() -> object:
                return pixels_of(files.decode(0, files.bytes_of(0), "colour")).tolist()

            if form == "PNG":
                wanted: object = pixels[..., ::-1].transpose(2, 0, 1).tolist()
            else:
                try:
                    wanted = np.asarray(Image.open(file).convert("RGB"))[..., ::-1].transpose(2, 0, 1).tolist()
                except Exception:
                    wanted = None
            yield outcome(read, wanted, r'list.txt:2: image ".*a.img" cannot be used')

    assert tally(outcomes())["error"] >= 10


def test_a_list_of_images(tmp_path: Path) -> None:
    chance = random.Random(4)
    text = "".join(f"folder/image {number}.jpg {number % 7}\n" for number in range(12)).encode()

    def by_hand(content: bytes) -> object:
        lines = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        found = []
        for line in lines:
            if line.strip():
                name, _, label = line.rstrip(" \t\r").rpartition(" ")
                found.append((name.rstrip(" \t"), float(label)))
        return found

    def outcomes() -> Iterator[Outcome]:
        for number in range(40):
            path = tmp_path / f"{number}.txt"
            path.write_bytes(mutated(text, chance))

            def read(path: Path = path) -> object:
                found = read_labelled(str(path), "", None)
                return list(zip(found.files.names, found.labels.tolist(), strict=True))

            try:
                wanted = by_hand(path.read_bytes())
            except ValueError:
                wanted = None
            yield outcome(read, wanted, rf"{number}\.txt(:\d+|\")")

    assert tally(outcomes())["error"] > 5


def test_an_hdf5_file_with_checksums(tmp_path: Path) -> None:
    chance = random.Random(5)
    values = np.random.default_rng(0).standard_normal((40, 3, 5)).astype(np.float32)
    with h5py.File(tmp_path / "whole.h5", "w", libver="latest") as file:
        file.create_dataset("data", data=values, chunks=(8, 3, 5), fletcher32=True)
    whole = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "list.txt").write_text("damaged.h5\n")

    def read() -> object:
        rows = Hdf5Rows(measured(read_list(str(tmp_path / "list.txt"), None), ["data"]), ["data"])
        return rows.read(0, 40)[0].tolist()

    def outcomes() -> Iterator[Outcome]:
        for _ in range(30):
            (tmp_path / "damaged.h5").write_bytes(mutated(whole, chance))
            yield outcome(read, values.tolist(), "damaged.h5")

    assert tally(outcomes())["error"] > 5
