from __future__ import annotations

import os
import signal
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools import image_lists
from caffelite.tools.convert_imageset import Options, convert
from tests.conftest import find_golden

from .databases import contents
from .killing import kill

CASES = {
    "color": ("list.txt", Options()),
    "gray": ("glist.txt", Options(colour="gray")),
    "encoded": ("list.txt", Options(encoded=True)),
    "resized": ("list.txt", Options(resize=(8, 6))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_originals_databases_come_out_byte_for_byte(name: str, tmp_path: Path) -> None:
    source = find_golden(f"layers/Data/_src/{name}_lmdb").parent
    file, options = CASES[name]
    made = convert(source / "img", source / file, tmp_path / "db", options)
    assert made.records == 6 and not made.bad
    assert contents(tmp_path / "db") == contents(source / f"{name}_lmdb")


def picture(path: Path, colour: tuple[int, int, int] | int = (200, 100, 50), size: tuple[int, int] = (5, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("zebra/1.png", "ape/2.png", "ape/deep/1.png", "Bear/x.jpeg"):
        picture(root / name)
    for name in ("ape/notes.txt", "ape/.hidden.png", ".git/1.png", "readme.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("not an image")
    return root


def datums(path: Path) -> dict[str, Datum]:
    return {key.decode(): Datum.FromString(value) for key, value in contents(path)}


def test_folders_are_classes_in_the_order_of_their_names(tree: Path, tmp_path: Path) -> None:
    made = convert(tree, None, tmp_path / "out" / "db")
    labels = {key: datum.label for key, datum in datums(tmp_path / "out" / "db").items()}
    assert labels == {
        "00000000_Bear/x.jpeg": 0,
        "00000001_ape/2.png": 1,
        "00000002_ape/deep/1.png": 1,
        "00000003_zebra/1.png": 2,
    }
    assert made.classes == ["Bear", "ape", "zebra"]
    assert (tmp_path / "out" / "labels.txt").read_text() == "Bear\nape\nzebra\n"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["db", "labels.txt"]


def test_other_classes_beside_it_are_refused(tree: Path, tmp_path: Path) -> None:
    convert(tree, None, tmp_path / "train")
    convert(tree, None, tmp_path / "test")
    (tree / "cat").mkdir()
    with pytest.raises(DataError, match="names other classes"):
        convert(tree, None, tmp_path / "more")
    assert not (tmp_path / "more").exists()
    convert(tree, None, tmp_path / "more", force=True)
    assert (tmp_path / "labels.txt").read_text() == "Bear\nape\ncat\nzebra\n"


def test_a_tree_must_have_folders_with_images(tmp_path: Path) -> None:
    picture(tmp_path / "root" / "a.png")
    with pytest.raises(DataError, match="has no folders") as caught:
        convert(tmp_path / "root", None, tmp_path / "db")
    assert "LISTFILE" in str(caught.value)
    (tmp_path / "root" / "class").mkdir()
    with pytest.raises(DataError, match="hold no images"):
        convert(tmp_path / "root", None, tmp_path / "db")
    with pytest.raises(DataError, match="is not a folder"):
        convert(tmp_path / "gone", None, tmp_path / "db")


def test_lists_may_have_spaces_tabs_and_any_line_ends(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbfa b.png 3\r\n\r\n/c.png\t-1\nd\xff.png 2147483647")
    entries = image_lists.read_list(tmp_path / "list")
    assert [(os.fsencode(entry.name), entry.label) for entry in entries] == [
        (b"a b.png", 3),
        (b"/c.png", -1),
        (b"d\xff.png", 2147483647),
    ]


def test_every_bad_line_of_a_list_is_told(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("a.png 1\nb.png\nc.png 0.5\nd.png 2147483648\n 7\n")
    with pytest.raises(DataError) as caught:
        image_lists.read_list(path)
    assert [fault.place and fault.place.line for fault in caught.value.faults] == [2, 3, 4, 5]
    assert 'got "c.png 0.5"' in str(caught.value)
    path.write_text("x\n" * 100)
    with pytest.raises(DataError, match="and 80 lines more"):
        image_lists.read_list(path)
    path.write_text("\n\n")
    with pytest.raises(DataError, match="names no images"):
        image_lists.read_list(path)
    with pytest.raises(DataError, match="cannot be read"):
        image_lists.read_list(tmp_path / "gone")


def listed(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path / "list.txt"


def damaged(tmp_path: Path) -> Path:
    """A list of a good image, and four that cannot be read."""
    root = tmp_path / "img"
    whole = picture(root / "good.jpg", size=(64, 64)).read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "text.png").write_text("no image")
    (root / "folder.png").mkdir()
    return listed(tmp_path, "gone.png 0", "cut.jpg 1", "good.jpg 7", "text.png 2", "folder.png 3")


def test_unreadable_images_are_all_told_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        convert(tmp_path / "img", damaged(tmp_path), tmp_path / "db", max_bad=3)
    *bad, head = caught.value.faults
    assert [fault.message.split('"')[1] for fault in bad] == ["gone.png", "cut.jpg", "text.png", "folder.png"]
    assert "No such file" in bad[0].message
    assert "4 of 5 images cannot be read; nothing was written" in head.message
    assert not (tmp_path / "db").exists() and not list(tmp_path.glob(".*"))


def test_names_that_are_no_utf8_are_read_and_told(tmp_path: Path) -> None:
    root = tmp_path / "img"
    picture(root / os.fsdecode(b"\xe4.png"))
    (tmp_path / "list").write_bytes(b"\xe4.png 1\n\xf6.png 2\n")
    made = convert(root, tmp_path / "list", tmp_path / "db", max_bad=1)
    assert [key for key, _ in contents(tmp_path / "db")] == [b"00000000_\xe4.png"]
    assert made.bad[0].message.startswith('"\\xf6.png": No such file')


def test_some_may_be_unreadable_and_keys_count_them(tmp_path: Path) -> None:
    made = convert(tmp_path / "img", damaged(tmp_path), tmp_path / "db", max_bad=4)
    assert made.records == 1 and len(made.bad) == 4
    assert {key: datum.label for key, datum in datums(tmp_path / "db").items()} == {"00000002_good.jpg": 7}
    with pytest.raises(DataError, match="none of the images can be read"):
        convert(tmp_path / "img", listed(tmp_path, "gone.png 1"), tmp_path / "other", max_bad=9)


def test_what_lies_there_is_not_overwritten_unless_forced(tree: Path, tmp_path: Path) -> None:
    convert(tree, None, tmp_path / "db")
    before = contents(tmp_path / "db")
    picture(tree / "ape" / "3.png")
    with pytest.raises(DataError, match="exists and is an LMDB"):
        convert(tree, None, tmp_path / "db")
    assert contents(tmp_path / "db") == before
    picture(tree / "ape" / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        convert(tree, None, tmp_path / "db", force=True)
    assert contents(tmp_path / "db") == before
    assert convert(tree, None, tmp_path / "db", force=True, max_bad=1).records == 5


def test_sizes_are_checked_where_asked(tmp_path: Path) -> None:
    root = tmp_path / "img"
    picture(root / "a.png", size=(5, 4))
    picture(root / "b.png", size=(4, 5))
    names = listed(tmp_path, "a.png 0", "b.png 1")
    convert(root, names, tmp_path / "unequal")
    with pytest.raises(DataError, match=r'"b.png" is 3×5×4, but the first image, "a.png", is 3×4×5'):
        convert(root, names, tmp_path / "db", Options(check_size=True))
    assert not (tmp_path / "db").exists()
    convert(root, names, tmp_path / "db", Options(check_size=True, resize=(3, 3)))
    assert {(datum.height, datum.width) for datum in datums(tmp_path / "db").values()} == {(3, 3)}


def test_shuffling_depends_on_the_seed_alone(tmp_path: Path) -> None:
    root = tmp_path / "img"
    names = [picture(root / f"{index}.png", colour=index).name for index in range(30)]
    lines = listed(tmp_path, *(f"{name} {index}" for index, name in enumerate(names)))

    def order(target: str, seed: int) -> list[int]:
        convert(root, lines, tmp_path / target, shuffled_by=seed)
        found = datums(tmp_path / target)
        assert [key[:8] for key in found] == [f"{index:08d}" for index in range(30)]
        assert all(key == f"{key[:8]}_{datum.label}.png" for key, datum in found.items())
        return [datum.label for datum in found.values()]

    first = order("a", 1)
    assert order("b", 1) == first != order("c", 2)
    assert sorted(first) == list(range(30)) != first


def test_files_are_kept_as_they_are_unless_something_must_change(tmp_path: Path) -> None:
    root = tmp_path / "img"
    noise = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    root.mkdir()
    Image.fromarray(noise).save(root / "a.png")
    Image.fromarray(noise).save(root / "b.JPEG")
    names = listed(tmp_path, "a.png 1", "b.JPEG 2")

    def values(target: str, **options: object) -> list[Datum]:
        convert(root, names, tmp_path / target, Options(**options))  # type: ignore[arg-type]
        return list(datums(tmp_path / target).values())

    as_they_are = values("kept", encoded=True)
    assert [datum.data for datum in as_they_are] == [(root / name).read_bytes() for name in ("a.png", "b.JPEG")]
    assert all(datum.encoded and not datum.HasField("channels") for datum in as_they_are)
    as_jpeg = values("jpg", encode_type="jpg")
    assert as_jpeg[1].data == (root / "b.JPEG").read_bytes()
    assert Image.open(BytesIO(as_jpeg[0].data)).format == "JPEG"
    as_png = values("png", encode_type="png", colour="gray", resize=(4, 3))
    assert all(Image.open(BytesIO(datum.data)).mode == "L" for datum in as_png)
    assert all(Image.open(BytesIO(datum.data)).size == (3, 4) for datum in as_png)
    lossless = values("lossless", encode_type="bmp")
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(lossless[0].data))), noise)
    with pytest.raises(DataError, match='cannot be encoded as "jpgg"') as caught:
        values("never", encode_type="jpgg")
    assert "did you mean jpg?" in str(caught.value)


def test_progress_counts_what_was_looked_at(tmp_path: Path) -> None:
    picture(tmp_path / "img" / "a.png")
    told: list[tuple[str, int, int | None]] = []
    names = listed(tmp_path, *["a.png 1", "gone.png 2"] * 75)
    convert(tmp_path / "img", names, tmp_path / "db", max_bad=75, progress=lambda *now: told.append(now))
    assert told == [("db", 100, 150), ("db", 150, 150)]


def test_pixels_are_in_the_order_b_g_r(tmp_path: Path) -> None:
    picture(tmp_path / "img" / "a.png", (200, 100, 50), (1, 1))
    convert(tmp_path / "img", listed(tmp_path, "a.png 1"), tmp_path / "db")
    assert [datum.data for datum in datums(tmp_path / "db").values()] == [bytes([50, 100, 200])]


def test_a_name_too_long_for_a_key_is_told(tmp_path: Path) -> None:
    name = "/".join(["long" * 40] * 4) + ".png"
    picture(tmp_path / "img" / name)
    with pytest.raises(DataError, match="have 1 to 511 bytes"):
        convert(tmp_path / "img", listed(tmp_path, f"{name} 1"), tmp_path / "db")
    assert not (tmp_path / "db").exists()


KILLED = """
import sys, time
from pathlib import Path
from caffelite.tools.convert_imageset import convert

def slowly(what, done, total):
    print(done, flush=True)
    time.sleep(60)

convert(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), force=True, progress=slowly)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_conversion_leaves_what_was_there(tmp_path: Path, number: int) -> None:
    root, target = tmp_path / "img", tmp_path / "db"
    picture(root / "a.png")
    convert(root, listed(tmp_path, "a.png 5"), target)
    before = contents(target)
    names = listed(tmp_path, *["a.png 1"] * 1100)
    assert kill(number, KILLED, root, names, target) == b"100\n"
    assert contents(target) == before
    if number == signal.SIGINT:
        assert not list(tmp_path.glob(".*"))
