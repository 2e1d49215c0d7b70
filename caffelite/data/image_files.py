"""Image files that a text file names: by lines with a label (ImageData), or at the head of a block of windows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault, Place
from .image import Colour, Picture, open_image
from .telling import exists, find, where_it_looked

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LINE = re.compile(rf"(.*?\S)[ \t]+({_NUMBER}(?:,{_NUMBER})*)[ \t\r]*")
_MOST_FAULTS = 10


def read_lines(source: str, beside: Path | None, of: str = "images") -> tuple[Path, list[str]]:
    """The text file `source` means, and its lines; `of` is what it lists, for messages.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    path = find(source, beside)
    try:
        # Names of files need not be UTF-8; what is not comes back as the same bytes when the file is opened.
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        help = where_it_looked(source, beside) if not exists(path) else None
        message = f'the list "{source}" cannot be read: {getattr(error, "strerror", error)}'
        raise DataError(Fault(message, help=help, code="CL401")) from error
    if "\0" in text:
        help = f"source names a text file that lists {of}"
        raise DataError(Fault(f'"{source}" is not a text file', help=help, code="CL402"))
    return path, text.split("\n")


@dataclass(slots=True)
class ImageFiles:
    """Files by the order in which the text file `listed_in` names them.

    Attributes:
        names: as they are written there, and line_numbers: where (from 1).
        root: put in front of every name as it stands.
        folder: what a relative path is relative to.
    """

    listed_in: Path
    names: list[str]
    line_numbers: Sequence[int] | NDArray[np.int64]
    root: str
    folder: Path

    @classmethod
    def of(
        cls, listed_in: Path, names: list[str], line_numbers: Sequence[int], root: str, beside: Path | None
    ) -> ImageFiles:
        """Paths are relative to the working directory; where the first image does not lie there, to the folder of the
        prototxt (`beside`) or of the list, whichever has it."""
        first, folders = Path(root + names[0]), [folder for folder in (beside, listed_in.parent) if folder is not None]
        found = find(str(first), *folders)
        folder = next((folder for folder in folders if found != first and found == folder / first), Path())
        return cls(listed_in, names, np.array(line_numbers, np.int64), root, folder.absolute())

    def path(self, index: int) -> Path:
        """The path of a file."""
        return self.folder / (self.root + self.names[index])

    def fault(self, index: int, message: str, help: str | None = None) -> Fault:
        """A fault of this file: `message` goes on after its name."""
        return Fault(f'image "{self.root}{self.names[index]}" {message}', self.place(index), help, code="CL405")

    def place(self, index: int) -> Place:
        """The line of the list that names this file."""
        return Place(str(self.listed_in), int(self.line_numbers[index]))

    def bytes_of(self, index: int) -> bytes:
        """The file's content.

        Raises:
            DataError: it cannot be read; names the file and its line.
        """
        try:
            with open(os.path.join(self.folder, self.root + self.names[index]), "rb") as file:
                return file.read()
        except OSError as error:
            help = None
            if not self.path(index).exists():
                help = f"looked for {self.path(index)}; root_folder is put in front of the name as it stands"
            fault = self.fault(index, f"cannot be read: {error.strerror}", help)
            raise DataError(replace(fault, code="CL401")) from error
        except ValueError as error:  # a name with a NUL
            raise DataError(self.fault(index, f"cannot be read: {error}")) from error

    def decode(self, index: int, data: bytes, colour: Colour) -> Picture | NDArray[np.uint8]:
        """The image in `data`, the content of this file.

        Raises:
            DataError: it cannot be decoded; names the file and its line.
        """
        try:
            return open_image(data, colour)
        except DataError as error:
            raise DataError(self.fault(index, f"cannot be used: {error.faults[0].message}")) from error


@dataclass(slots=True)
class Labelled:
    """Image files and their labels: float32, N, or N×K where each line has K of them."""

    files: ImageFiles
    labels: NDArray[np.float32]


def read_labelled(source: str, root: str, beside: Path | None, labels_too: bool = True) -> Labelled:
    """The images of a list: on each line a path, which may contain spaces, a space, and a label.  Without `labels_too`
    a line may be a path alone, and labels are all 0.

    The original takes whole numbers only, one a line.  Here a label may also be a float, or several numbers with
    commas between them and no spaces (`cat.jpg 1,0,0.5`).  Empty lines are passed over.

    Raises:
        DataError: the list cannot be read, is empty, or has lines of another form (each is named).
    """
    path, lines = read_lines(source, beside)
    numbers, names, labels, faults = list[int](), list[str](), list[str](), list[Fault]()
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is not None:
            numbers.append(number)
            names.append(match[1])
            labels.append(match[2] if labels_too else "0")
        elif line.strip() and not labels_too:
            numbers.append(number)
            names.append(line.strip())
            labels.append("0")
        elif line.strip():
            faults.append(_bad_line(path, number, line.rstrip("\r")))
    if faults:
        raise DataError(first_of(faults, str(path)))
    if not names:
        raise DataError(f'the list "{source}" names no image', code="CL404")
    values = _labels(path, numbers, labels)
    return Labelled(ImageFiles.of(path, names, numbers, root, beside), values)


def _bad_line(path: Path, number: int, line: str) -> Fault:
    help = "a path, a space, and a label: a number, or several with commas between them"
    return Fault("expected an image and its label", Place(str(path), number, 1, line), help, code="CL404")


def first_of(faults: list[Fault], list_file: str | None, what: str = "lines are wrong") -> list[Fault]:
    """The first of many faults that a text file has, and how many more there are."""
    left_out = len(faults) - _MOST_FAULTS
    more = [Fault(f"{left_out} more {what}", Place(list_file), code="CL404")] if left_out > 0 else []
    return faults[:_MOST_FAULTS] + more


def _labels(path: Path, numbers: list[int], labels: list[str]) -> NDArray[np.float32]:
    count = labels[0].count(",") + 1
    odd = next((row for row, label in enumerate(labels) if label.count(",") + 1 != count), None)
    if odd is not None:
        here = labels[odd].count(",") + 1
        message = f"every line must have as many labels as the first: {count}, got {here}"
        raise DataError(Fault(message, Place(str(path), numbers[odd]), code="CL404"))
    values = np.array(",".join(labels).split(","), np.float64).reshape(len(labels), count)
    too_large = np.flatnonzero((abs(values) > np.finfo(np.float32).max).any(axis=1))
    if len(too_large):
        place = Place(str(path), numbers[too_large[0]])
        raise DataError(Fault("the label is too large for a float", place, code="CL404"))
    rows = values.astype(np.float32)
    return rows[:, 0] if count == 1 else rows
