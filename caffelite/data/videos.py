"""Videos as folders of frames: the text files that list them, and frames joined to what a net reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from numpy.typing import NDArray

from ..errors import DataError, Fault, Place
from ..proto import BlobProto
from .cache import Images
from .image import Colour, decode_image
from .image_files import ImageFiles, first_of, read_lines
from .label_counts import LabelCounts, count_labels
from .lazily import Lazily
from .order import Rows
from .resize import resize
from .table import Table
from .transform_param import Floats, by

_LINE = re.compile(r"(.*?\S)[ \t]+(\d+)[ \t]+(-?\d+(?:,\d+)*)[ \t\r]*")
_WIDTH = 5
"""Number of the field that holds the width in a BlobProto of C3D v1.0, where the third is the length."""


@dataclass(slots=True)
class Listed:
    """The videos of a list: their folders, the number on each line, and labels, N or (multi-hot) N×K."""

    folders: ImageFiles
    numbers: NDArray[np.int64]
    labels: NDArray[np.float32]


def read_videos(source: str, root: str, beside: Path | None, classes: int = 0) -> Listed:
    """The videos of a list: on each line a folder, a number, and a label.

    Args:
        source, root, beside: see :class:`ImageFiles`.
        classes: if not 0, each line may have several labels with commas between them, below this number; `labels` holds
            1 for them, then.

    Raises:
        DataError: the list cannot be read, is empty, or has lines of another form (each is named).
    """
    path, lines = read_lines(source, beside, "videos")
    found, faults = list[tuple[int, re.Match[str]]](), list[Fault]()
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is not None and (classes or "," not in match[3]):
            found.append((number, match))
        elif line.strip():
            place = Place(str(path), number, 1, line.rstrip("\r"))
            faults.append(Fault("expected a folder, a number and a label", place, "spaces divide the three"))
    if faults:
        raise DataError(first_of(faults, str(path)))
    if not found:
        raise DataError(f'the list "{source}" names no video')
    folders = ImageFiles.of(path, [match[1] for _, match in found], [number for number, _ in found], root, beside)
    labels = [[int(label) for label in match[3].split(",")] for _, match in found]
    table = _several(folders, labels, classes) if classes else np.array(labels, np.float32)[:, 0]
    return Listed(folders, np.array([int(match[2]) for _, match in found], np.int64), table)


def _several(folders: ImageFiles, labels: list[list[int]], classes: int) -> NDArray[np.float32]:
    """1 for each label of a video, 0 for the other classes."""
    table = np.zeros((len(labels), classes), np.float32)
    for row, here in enumerate(labels):
        for label in here:
            if not 0 <= label < classes:
                message = f"a label must be a class from 0 to {classes - 1}, got {label}"
                raise DataError(Fault(message, folders.place(row)))
            table[row, label] = 1
    return table


class Videos(Table):
    """The videos of a list.

    Args:
        listed: the list.
        frames: the files of which number `row` is made if nobody chooses others, in their order.
        colour: how they are decoded.
        size: height and width that every frame is resized to; None keeps its own.
        channels_first: the frames of a channel lie together, instead of the channels of a frame.
    """

    def __init__(
        self, listed: Listed, frames: Any, colour: Colour, size: tuple[int, int] | None, channels_first: bool
    ) -> None:
        super().__init__(listed.labels)
        self.numbers = listed.numbers
        self._folders, self._frames = listed.folders, frames
        self._colour, self._size, self._channels_first = colour, size, channels_first

    def first(self) -> NDArray[np.uint8]:
        return self.video(0, self._frames(0))

    def video(self, row: int, frames: Sequence[str]) -> NDArray[np.uint8]:
        """These frames of a video as one image, C×H×W: its channels are all channels of all frames.

        Raises:
            DataError: a frame cannot be read or decoded, or is not as large as the first.
        """
        images = [self._frame(row, name) for name in frames]
        for name, image in zip(frames, images, strict=True):
            if image.shape != images[0].shape:
                message = f"is {by(image.shape)}, but the first one of the clip is {by(images[0].shape)}"
                raise DataError(self.fault(row, f'frame "{name}" {message}', "give new_height and new_width"))
        stacked = np.stack(images, axis=1 if self._channels_first else 0)
        return stacked.reshape(-1, *stacked.shape[2:])

    def _frame(self, row: int, name: str) -> NDArray[np.uint8]:
        path = self._folders.path(row) / name
        try:
            image = decode_image(path.read_bytes(), self._colour)
        except (OSError, ValueError) as error:
            told = f'frame "{name}" cannot be read: {getattr(error, "strerror", error)}'
            raise DataError(self.fault(row, told, f"looked for {path}")) from error
        except DataError as error:
            raise DataError(self.fault(row, f'frame "{name}" cannot be used: {error.faults[0].message}')) from error
        return image if self._size is None else resize(image, *self._size)

    def _read(self, rows: Rows) -> Images:
        numbers = rows.tolist()
        return Lazily(len(numbers), lambda index: self.video(numbers[index], self._frames(numbers[index])))

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        """Names the video's folder and its line in the list."""
        name = f"{self._folders.root}{self._folders.names[row]}"
        return Fault(f'video "{name}": {message}', self._folders.place(row), help)

    def label_counts(self) -> LabelCounts:
        return count_labels(self.labels)


def read_clip_mean(path: Path) -> Floats:
    """The mean clip in a binary BlobProto, C·L×H×W: of five axes, or as C3D v1.0 wrote it.

    Raises:
        DataError: the file is missing, is no BlobProto, or holds no clip.
    """
    try:
        blob = BlobProto.FromString(path.read_bytes())
    except (OSError, ValueError, DecodeError) as error:
        raise DataError(f'mean file "{path}" cannot be read: {getattr(error, "strerror", error)}') from error
    shape, values = list(blob.shape.dim), blob.data or blob.double_data
    if not shape:  # what was the length is where the height belongs, the width is an unknown field, the data the diff
        width = [field.data for field in UnknownFieldSet(blob) if field.field_number == _WIDTH]
        shape, values = [blob.num, blob.channels, blob.height, blob.width, *width[:1]], blob.diff
    if len(shape) != 5 or min(shape) < 1 or shape[0] != 1 or prod(shape) != len(values):
        raise DataError(f'mean file "{path}" holds no clip of 5 axes (1, channels, length, height, width)')
    return np.array(values, np.float32).reshape(shape[1] * shape[2], *shape[3:])
