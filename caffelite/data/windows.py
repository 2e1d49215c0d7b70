"""Windows in images: the text file that lists them, and how one is cut out.

Source: `src/caffe/layers/window_data_layer.cpp`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault, Place
from .image_files import ImageFiles, read_lines

_CHANNELS = 3
_FIELDS = 6
_FORM = "a block is: # index, path, channels, height, width, number of windows (a line each), then the windows"


@dataclass(frozen=True, slots=True)
class Windows:
    """Some of the windows of a file, a row each: which image, its label, and x1, y1, x2, y2 (both ends included)."""

    images: NDArray[np.int64]
    labels: NDArray[np.float32]
    boxes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True)
class WindowFile:
    """The images of a window file, the windows that show objects, and those that show background (label 0)."""

    files: ImageFiles
    foreground: Windows
    background: Windows


class _Lines:
    """The lines of a window file one after the other, and where it stands."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.numbered: Iterator[tuple[int, str]] = (
            (number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()
        )
        self.number = 0

    def next(self) -> str | None:
        """The next line that is not empty; None at the end."""
        self.number, line = next(self.numbered, (self.number, None))
        return line

    def fault(self, message: str, number: int | None = None) -> DataError:
        return DataError(Fault(message, Place(str(self.path), number or self.number), _FORM, code="CL404"))

    def whole_number(self, what: str) -> int:
        line = self.next()
        if line is None or not line.isascii() or not line.isdigit():
            raise self.fault(f"expected {what}, got {line or 'the end of the file'}")
        return int(line)

    def windows(self, count: int) -> NDArray[np.float64]:
        """The next `count` windows: label, overlap, x1, y1, x2, y2."""
        taken = list(islice(self.numbered, count))
        if len(taken) < count:
            raise self.fault(f"expected {count} windows, got {len(taken)} lines before the end of the file")
        rows = [line.split() for _, line in taken]
        odd = next((at for at, row in enumerate(rows) if len(row) != _FIELDS), None)
        if odd is not None:
            raise self.fault(f'expected a window (label overlap x1 y1 x2 y2), got "{taken[odd][1]}"', taken[odd][0])
        self.number = taken[-1][0] if taken else self.number
        try:
            values = np.array(rows, np.float64).reshape(-1, _FIELDS)
        except ValueError as error:
            raise self.fault(f"expected six numbers in a window: {error}", taken[0][0] if taken else None) from error
        broken = np.flatnonzero((values[:, [0, 2, 3, 4, 5]] % 1 != 0).any(axis=1))
        if len(broken):
            raise self.fault("label, x1, y1, x2 and y2 must be whole numbers", taken[broken[0]][0])
        return values


def read_windows(source: str, root: str, beside: Path | None, least: float, below: float) -> WindowFile:
    """The images and windows of the text file `source`.

    Args:
        root, beside: as in :func:`caffelite.data.image_files.read_labelled`.
        least: overlap from which on a window shows an object (fg_threshold).
        below: overlap below which it shows background (bg_threshold); what shows neither is left out.

    Raises:
        DataError: the file cannot be read, or its form is another; names the line.
    """
    path, text = read_lines(source, beside)
    lines = _Lines(path, text)
    names, numbers, blocks = list[str](), list[int](), list[NDArray[np.float64]]()
    while (head := lines.next()) is not None:
        if head.split() != ["#", str(len(names))]:
            raise lines.fault(f'expected "# {len(names)}" (images are counted from 0), got "{head}"')
        name = lines.next()
        if name is None:
            raise lines.fault("expected the path of an image, got the end of the file")
        names.append(name)
        numbers.append(lines.number)
        if lines.whole_number("the number of channels") != _CHANNELS:
            raise lines.fault(f"the number of channels must be {_CHANNELS}: images are read in colour")
        lines.whole_number("the height of the image")
        lines.whole_number("the width of the image")
        blocks.append(lines.windows(lines.whole_number("the number of windows")))
    if not names:
        raise DataError(f'the window file "{source}" is empty', code="CL404")
    files = ImageFiles.of(path, names, numbers, root, beside)
    return _split(files, blocks, least, below)


def _split(files: ImageFiles, blocks: list[NDArray[np.float64]], least: float, below: float) -> WindowFile:
    values, images = np.concatenate(blocks), np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    overlap = values[:, 1].astype(np.float32)
    shows = overlap >= np.float32(least)
    wrong = np.flatnonzero(shows & (values[:, 0] < 1))
    if len(wrong):
        message = f"has an object window of class {values[wrong[0], 0]:.0f}, but classes count from 1"
        raise DataError(files.fault(int(images[wrong[0]]), message, "0 is the background"))

    def part(chosen: NDArray[np.bool_], labels: NDArray[np.float64]) -> Windows:
        boxes = values[chosen][:, 2:].astype(np.int64)
        return Windows(images[chosen], labels[chosen].astype(np.float32), boxes)

    background = ~shows & (overlap < np.float32(below))
    return WindowFile(files, part(shows, values[:, 0]), part(background, np.zeros(len(values))))


# -- cutting out ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cut:
    """What is taken from an image (x1 … x2, y1 … y2, both ends included), the size it is resized to, and where that
    stands in the square that the net sees, in pixels from its upper left corner."""

    x1: int
    y1: int
    x2: int
    y2: int
    height: int
    width: int
    top: int
    left: int


def _round(value: np.float32) -> int:
    """To the nearest whole number, halves away from zero (C's `round`)."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), float(value)))


class _Side:
    """One axis of a window with its surroundings: the part inside the image, and the padding that stands for the rest.

    The arithmetic is in float32, step by step as in the original, so that halves round as they did there.
    """

    def __init__(self, centre: np.float32, reach: np.float32, size: int, crop: int) -> None:
        first, last = _round(centre - reach), _round(centre + reach)
        before, after = max(0, -first), max(0, last - size + 1)
        scale = np.float32(crop) / np.float32(last - first + 1)
        self.first, self.last = first + before, last - after
        self.length = _round(np.float32(self.last - self.first + 1) * scale)
        self.before, self.after = _round(np.float32(before) * scale), _round(np.float32(after) * scale)


def cut_of(
    box: tuple[int, int, int, int], image: tuple[int, int], crop: int, context: int, square: bool, mirrored: bool
) -> Cut:
    """How a window becomes a crop×crop square.

    Args:
        box: x1, y1, x2, y2.
        image: height and width.
        context: pixels of the square on each side that show the window's surroundings.
        square: widen the window to a square first.
        mirrored: whether the result will be mirrored; then the padding on the left stands on the right.
    """
    x1, y1, x2, y2 = box
    if not context and not square:
        return Cut(x1, y1, x2, y2, crop, crop, 0, 0)
    scale = np.float32(crop) / np.float32(crop - 2 * context)
    half_height, half_width = np.float32(y2 - y1 + 1) / np.float32(2), np.float32(x2 - x1 + 1) / np.float32(2)
    centre_x, centre_y = np.float32(x1) + half_width, np.float32(y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    across = _Side(centre_x, half_width * scale, image[1], crop)
    down = _Side(centre_y, half_height * scale, image[0], crop)
    left = across.after if mirrored else across.before
    height, width = min(down.length, crop - down.before), min(across.length, crop - left)
    return Cut(across.first, down.first, across.last, down.last, height, width, down.before, left)


def lies_inside(cut: Cut, image: tuple[int, int]) -> bool:
    """Whether there is something to take, and all of it is in an image of this height and width."""
    return 0 <= cut.x1 <= cut.x2 < image[1] and 0 <= cut.y1 <= cut.y2 < image[0] and cut.height > 0 and cut.width > 0
