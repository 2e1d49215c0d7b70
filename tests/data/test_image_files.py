"""Lists of images: their lines, and where the files are looked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.data.image import pixels_of
from caffelite.data.image_files import Labelled, read_labelled
from caffelite.data.image_table import ImageTable
from caffelite.errors import DataError


def listed(folder: Path, text: str | bytes, root: str = "") -> Labelled:
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labelled(str(path), root, None)


def save(path: Path, level: int, size: tuple[int, int] = (2, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path, "PNG")


@pytest.mark.parametrize(
    ("line", "name", "label"),
    [
        ("a.png 3", "a.png", 3),
        ("photos of 2019/a b.png 7", "photos of 2019/a b.png", 7),
        ("12 34", "12", 34),
        ("a.png\t5", "a.png", 5),
        ("a.png  0", "a.png", 0),
        ("a.png 1 \r", "a.png", 1),
        (" a.png -1", " a.png", -1),
        ("a.png 0.25", "a.png", 0.25),
        ("a.png -1e-2", "a.png", np.float32(-0.01)),
        ("\ufeffa.png +2", "a.png", 2),
    ],
)
def test_a_line_is_a_path_and_a_label(tmp_path: Path, line: str, name: str, label: float) -> None:
    found = listed(tmp_path, f"{line}\n")
    assert found.files.names == [name]
    assert found.labels.dtype == np.float32
    assert found.labels.tolist() == [label]


def test_several_labels_make_a_row(tmp_path: Path) -> None:
    found = listed(tmp_path, "a.png 1,0,0.5\n\nb.png 2,3,4")
    assert found.labels.tolist() == [[1, 0, 0.5], [2, 3, 4]]
    assert list(found.files.line_numbers) == [1, 3]


def test_all_bad_lines_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        listed(tmp_path, "a.png 1\nb.png\nc.png one\nd.png 4\ne.png 1_0\nf.png nan\n 7\n")
    assert [fault.place.line for fault in caught.value.faults if fault.place] == [2, 3, 5, 6, 7]
    assert "expected an image and its label" in caught.value.faults[0].message
    with pytest.raises(DataError, match="15 more lines are wrong"):
        listed(tmp_path, "bad\n" * 25)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "names no image"),
        (b"\n \n", "names no image"),
        (b"\x89HDF\0\0", "is not a text file"),
        (b"a 1\nb 1,2\n", r"list.txt:2: every line must have as many labels as the first: 1, got 2"),
        (b"a 1\nb 1e99\n", r"list.txt:2: .*too large"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        listed(tmp_path, text)


def test_a_missing_list_is_named_with_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r'the list "gone.txt" cannot be read: No such file') as caught:
        read_labelled("gone.txt", "", tmp_path / "nets")
    assert str(tmp_path / "nets") in str(caught.value)


@pytest.mark.parametrize("where", ["here", "nets", "lists"])
def test_paths_are_relative_to_the_working_directory_the_prototxt_or_the_list(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "nets", "lists"):
        (tmp_path / folder).mkdir()
    save(tmp_path / where / "img" / "a.png", 9)
    (tmp_path / "lists" / "list.txt").write_text("a.png 1\n")
    monkeypatch.chdir(tmp_path / "here")
    files = read_labelled("../lists/list.txt", "img/", tmp_path / "nets").files
    monkeypatch.chdir("/")
    assert files.path(0).samefile(tmp_path / where / "img" / "a.png")


def test_a_name_that_is_not_utf_8_is_opened(tmp_path: Path) -> None:
    name = b"caf\xe9.png"
    save(tmp_path / "a.png", 5)
    (tmp_path / "a.png").rename(Path(str(tmp_path)) / name.decode("utf-8", "surrogateescape"))
    table = ImageTable(listed(tmp_path, name + b" 1\n", str(tmp_path) + "/"), "colour")
    assert int(pixels_of(table.first()).max()) == 5


def test_an_unreadable_image_is_named_with_its_line(tmp_path: Path) -> None:
    save(tmp_path / "good.png", 1)
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    table = ImageTable(listed(tmp_path, "good.png 0\n\ncut.png 1\ngone.png 2\n", str(tmp_path) + "/"), "colour")
    with pytest.raises(DataError, match=r'list.txt:3: image ".*/cut.png" cannot be used: the encoded image'):
        list(table.records(np.array([0, 1])).images)
    with pytest.raises(DataError, match=r'list.txt:4: image ".*/gone.png" cannot be read: No such file'):
        list(table.records(np.array([2])).images)


@pytest.mark.parametrize("budget", [None, 0])
def test_images_that_fit_are_decoded_once(tmp_path: Path, budget: int | None) -> None:
    for level in range(4):
        save(tmp_path / f"{level}.png", level)
    table = ImageTable(
        listed(tmp_path, "".join(f"{level}.png {level}\n" for level in range(4)), f"{tmp_path}/"), "gray", None, budget
    )
    first = table.records(np.array([2, 0, 2]))
    assert np.asarray(first.images)[:, 0, 0, 0].tolist() == [2, 0, 2]
    assert first.labels.tolist() == [2, 0, 2]
    for level in range(4):
        (tmp_path / f"{level}.png").unlink()
    if budget is None:
        assert np.asarray(table.records(np.array([0, 2])).images)[:, 0, 0, 0].tolist() == [0, 2]
    else:
        with pytest.raises(DataError):
            list(table.records(np.array([0])).images)
    with pytest.raises(DataError):
        list(table.records(np.array([1])).images)
