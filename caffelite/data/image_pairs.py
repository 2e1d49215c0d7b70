"""Images and, for each, a label for every pixel, as text files list them for segmentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault, Place
from .image import Colour, pixels_of
from .image_files import ImageFiles, first_of, read_lines
from .resize import nearest, resize

Pixels = NDArray[np.uint8]
LabelKind = Literal["pixel", "image", "none"]
"""What says the labels of an image: another image, a number for all its pixels, or nothing."""

_BOX = 4
_WHOLE = re.compile(r"[-+]?\d+")


@dataclass(slots=True)
class ImagePairs:
    """Images and their labels by number.

    Attributes:
        images: the image files.
        labels: the files of label images; or a number for each image.
        boxes: N×4, x1, y1, x2, y2 in pixels, both ends included, where a part of each image is meant.
    """

    images: ImageFiles
    labels: ImageFiles | NDArray[np.int64]
    boxes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.images.names)

    def image(self, row: int, colour: Colour, size: tuple[int, int] | None = None) -> Pixels:
        """An image, C×H×W, resized between its pixels.

        Raises:
            DataError: it cannot be read or decoded; names the file and its line.
        """
        pixels = _decoded(self.images, row, colour)
        return pixels if size is None else resize(pixels, *size)

    def label(self, row: int, shape: tuple[int, int], size: tuple[int, int] | None = None) -> Pixels:
        """The labels of an image's pixels, 1×H×W, resized to the nearest.

        Args:
            shape: height and width of the image, which an image of labels must have unless it is resized.
            size: to resize to.

        Raises:
            DataError: the image of labels cannot be read or decoded, or is not as large.
        """
        if not isinstance(self.labels, ImageFiles):
            return np.full((1, *(size or shape)), self.labels[row], np.uint8)
        pixels = _decoded(self.labels, row, "gray")
        if size is not None:
            return nearest(pixels, *size)
        if pixels.shape[1:] != shape:
            here, there = (f"{height}×{width}" for height, width in (pixels.shape[1:], shape))
            raise DataError(self.labels.fault(row, f"is {here}, but the image whose labels it holds is {there}"))
        return pixels


def _decoded(files: ImageFiles, row: int, colour: Colour) -> Pixels:
    return pixels_of(files.decode(row, files.bytes_of(row), colour))


def read_pairs(source: str, root: str, beside: Path | None, labels: LabelKind, ignored: int, boxes: bool) -> ImagePairs:
    """The images of a list: on each line the path of an image, what says its labels, and, with `boxes`, x1 y1 x2 y2,
    with spaces between them.

    Args:
        labels: what says the labels.
        ignored: every label, where nothing does.

    Raises:
        DataError: the list cannot be read, is empty, or has lines of another form (each is named).
    """
    path, lines = read_lines(source, beside)
    names, second, corners, numbers = list[str](), list[str](), list[list[int]](), list[int]()
    faults, wanted = list[Fault](), 1 + (labels != "none") + _BOX * boxes
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        box = words[wanted - _BOX : wanted] if boxes else []
        whole = box if labels != "image" else [*box, *words[1:2]]
        if len(words) < wanted or not all(map(_WHOLE.fullmatch, whole)):
            faults.append(_bad_line(path, number, line.rstrip("\r"), labels, boxes))
            continue
        numbers.append(number)
        names.append(words[0])
        second += words[1:2] if labels != "none" else [str(ignored)]
        corners.append(list(map(int, box)))
    if faults:
        raise DataError(first_of(faults, str(path)))
    if not names:
        raise DataError(f'the list "{source}" names no image', code="CL404")
    images = ImageFiles.of(path, names, numbers, root, beside)
    by_images = labels == "pixel"
    values = ImageFiles.of(path, second, numbers, root, beside) if by_images else _numbers(path, numbers, second)
    return ImagePairs(images, values, np.array(corners, np.int64) if boxes else None)


def _numbers(path: Path, lines: list[int], labels: list[str]) -> NDArray[np.int64]:
    """Labels as numbers that a byte holds."""
    values = list(map(int, labels))
    odd = [row for row, value in enumerate(values) if not 0 <= value <= 255]
    if odd:
        message = f"a label must be from 0 to 255, got {values[odd[0]]}"
        raise DataError(Fault(message, Place(str(path), lines[odd[0]]), code="CL404"))
    return np.array(values, np.int64)


def _bad_line(path: Path, number: int, line: str, labels: LabelKind, boxes: bool) -> Fault:
    parts = ["the path of an image"]
    parts += {"pixel": ["the path of an image of labels"], "image": ["a label"], "none": []}[labels]
    parts += ["x1 y1 x2 y2 in whole pixels"] * boxes
    message = f"expected {', '.join(parts)}" if len(parts) > 1 else f"expected {parts[0]}"
    return Fault(message, Place(str(path), number, 1, line), "put spaces between them", code="CL404")
