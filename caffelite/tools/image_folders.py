"""A folder of images as a data set: with a list of them, or with a folder per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.image import decode_image, pixels_of
from ..data.image_files import read_labelled
from ..errors import DataError, Fault
from .image_lists import read_tree, shown

LIST = "list.txt"
"""Path and label, or labels, of each image, in order: what ImageData reads."""

_EXACT = 2**24 - 1
"""Up to here single precision tells whole numbers apart."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The images of a folder, in order.

    Attributes:
        names: their paths, relative to the folder.
        labels: N×K.
        classes: the classes' names, label 0 first; none where a list says the labels.
        decode: reads an image, C×H×W of uint8, given its number; raises DataError, which names the file.
    """

    path: Path
    names: Sequence[str]
    labels: NDArray[Any]
    classes: Sequence[str]
    decode: Callable[[int], NDArray[np.uint8]]

    @classmethod
    def at(cls, path: Path) -> ImageFolder:
        """What `list.txt` in the folder names; where there is none, the images in folders, one per class.

        Raises:
            DataError: there is neither, or the list is wrong.
        """
        return cls._listed(path) if (path / LIST).is_file() else cls._of_classes(path)

    @classmethod
    def _listed(cls, path: Path) -> ImageFolder:
        found = read_labelled(str(path / LIST), f"{path}/", None)
        largest = float(np.abs(found.labels).max())
        if largest > _EXACT:
            what = f'"{path / LIST}" has labels up to {largest:.0f}; above {_EXACT} they would be rounded'
            raise DataError(Fault(what, help="number the classes from 0"))
        labels = found.labels.reshape(len(found.labels), -1)
        files = found.files
        return cls(
            path, files.names, labels, (), lambda at: pixels_of(files.decode(at, files.bytes_of(at), "as stored"))
        )

    @classmethod
    def _of_classes(cls, path: Path) -> ImageFolder:
        try:
            entries, classes = read_tree(path)
        except DataError as error:
            what = f'"{path}" is a folder without a database, without {LIST}, and without folders of images'
            raise DataError(Fault(what, help="is it the folder above or below this one?")) from error
        labels = np.array([[entry.label] for entry in entries], np.int32)
        names = [entry.name for entry in entries]
        return cls(path, names, labels, classes, lambda at: _read(path, names[at]))

    def file(self, index: int) -> Path:
        """Where an image lies."""
        return Path(f"{self.path}/{self.names[index]}")  # as ImageData: a list may say "/a.png" below the folder

    def called(self, index: int) -> str:
        """What an image is called in messages."""
        return f'image "{shown(self.names[index])}"'


def _read(folder: Path, name: str) -> NDArray[np.uint8]:
    try:
        return decode_image((folder / name).read_bytes())
    except OSError as error:
        raise DataError(f'image "{folder}/{shown(name)}" cannot be read: {error.strerror}') from error
    except DataError as error:
        raise DataError(f'image "{folder}/{shown(name)}" cannot be used: {error.faults[0].message}') from error
