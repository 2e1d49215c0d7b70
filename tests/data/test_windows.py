"""Window files, and where a window lands in its square."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.data.windows import Cut, WindowFile, cut_of, lies_inside, read_windows
from caffelite.errors import DataError

TWO = """# 0
a b.png
3
24
20
3
3 0.9 2 3 13 18
7 0.5 0 0 5 5
0 0.3 1 1 4 4

# 1
b.png
3
18
30
2
2 0.1 5 2 20 12
5 0.49 5 2 20 12
"""


def read(folder: Path, text: str, least: float = 0.5, below: float = 0.5) -> WindowFile:
    path = folder / "windows.txt"
    path.write_text(text)
    return read_windows(str(path), "", None, least, below)


def test_windows_are_objects_background_or_neither(tmp_path: Path) -> None:
    found = read(tmp_path, TWO)
    assert found.files.names == ["a b.png", "b.png"]
    assert found.foreground.images.tolist() == [0, 0]
    assert found.foreground.labels.tolist() == [3, 7]
    assert found.foreground.boxes.tolist() == [[2, 3, 13, 18], [0, 0, 5, 5]]
    assert found.background.images.tolist() == [0, 1, 1]
    assert found.background.labels.tolist() == [0, 0, 0]
    apart = read(tmp_path, TWO, 0.6, 0.3)
    assert (len(apart.foreground), len(apart.background)) == (1, 1)


def test_an_image_may_have_no_windows(tmp_path: Path) -> None:
    found = read(tmp_path, "# 0\na.png\n3\n4\n4\n0\n# 1\nb.png\n3\n4\n4\n1\n1 1 0 0 3 3\n")
    assert found.foreground.images.tolist() == [1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# 1", "# 2", r'windows.txt:11: expected "# 1" .*got "# 2"'),
        ("# 1", "b.png", r'windows.txt:11: expected "# 1"'),
        ("\n3\n18", "\n1\n18", r"windows.txt:13: the number of channels must be 3"),
        ("\n30\n2", "\n30\ntwo", r"windows.txt:16: expected the number of windows, got two"),
        ("2 0.1 5", "2 0.1", r"windows.txt:17: expected a window .* got \"2 0.1 2 20 12\""),
        ("5 0.49 5 2 20 12\n", "", r"expected 2 windows, got 1 lines"),
        ("0.49", "half", r"windows.txt:17: expected six numbers in a window"),
        ("5 0.49 5 2", "5 0.49 5.5 2", r"windows.txt:18: label, x1, y1, x2 and y2 must be whole numbers"),
        ("3 0.9", "0 0.9", r'windows.txt:2: image "a b.png" has an object window of class 0'),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TWO
    with pytest.raises(DataError, match=said):
        read(tmp_path, TWO.replace(old, new))


def test_a_file_without_windows_or_that_ends_early_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path, "\n")
    for lines in range(1, 7):
        with pytest.raises(DataError, match=r"end of the file|before the end"):
            read(tmp_path, "\n".join(TWO.split("\n")[:lines]))


def test_without_surroundings_a_window_fills_the_square() -> None:
    assert cut_of((2, 3, 13, 18), (24, 20), 8, 0, False, False) == Cut(2, 3, 13, 18, 8, 8, 0, 0)


def test_surroundings_inside_the_image_are_taken_from_it() -> None:
    """A 4×4 window in the middle; of 8 pixels 2 are surroundings on each side, so 8×8 around (6, 6) are taken (and,
    as in the original, one pixel more at the end)."""
    assert cut_of((4, 4, 7, 7), (20, 20), 8, 2, False, False) == Cut(2, 2, 10, 10, 8, 8, 0, 0)


def test_what_lies_outside_is_padding_and_mirrored_with_the_image() -> None:
    """The window 0 … 3 of 6 columns reaches −2 … 6: of 9 columns 2 lie before the image and 1 after it."""
    cut = cut_of((0, 4, 3, 7), (20, 6), 9, 0, True, False)
    assert (cut.x1, cut.x2, cut.left, cut.width) == (0, 4, 0, 9)
    cut = cut_of((0, 4, 3, 7), (20, 6), 8, 2, False, False)
    assert (cut.x1, cut.x2) == (0, 5)
    assert (cut.left, cut.width) == (2, 5)  # 2·8/9 = 1.78 and 6·8/9 = 5.33, rounded
    mirrored = cut_of((0, 4, 3, 7), (20, 6), 8, 2, False, True)
    assert (mirrored.left, mirrored.width) == (1, 5)  # 1·8/9 = 0.89


def test_a_flat_window_is_widened_to_a_square() -> None:
    """16 columns and 4 rows around (18, 12): 16 rows."""
    cut = cut_of((10, 10, 25, 13), (40, 40), 8, 0, True, False)
    assert (cut.y1, cut.y2, cut.x1, cut.x2) == (4, 20, 10, 26)


@pytest.mark.parametrize("box", [(-1, 0, 3, 3), (0, 0, 20, 3), (0, 0, 3, 24), (5, 0, 3, 3)])
def test_a_window_beyond_its_image_does_not_lie_inside(box: tuple[int, int, int, int]) -> None:
    assert not lies_inside(cut_of(box, (24, 20), 8, 0, False, False), (24, 20))
    assert lies_inside(cut_of((0, 0, 19, 23), (24, 20), 8, 0, False, False), (24, 20))
