"""Which images a data set consists of, and their labels: from a list, or from a tree with a folder per class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, Fault, Place

_LABELS = range(-(2**31), 2**31)
_MOST_FAULTS = 20

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
"""How names of images end; of a tree, nothing else is taken."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image: its path below the root folder, and its label."""

    name: str
    label: int

    @property
    def shown(self) -> str:
        """The path for messages."""
        return shown(self.name)


def shown(text: str) -> str:
    """A name of a file for messages, bytes that are no UTF-8 spelled out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_list(path: Path) -> list[Entry]:
    """The entries of a list file: in every line a path, which may have spaces in it, and a label; empty lines are
    passed over.

    Raises:
        DataError: it cannot be read, a line is not of that form (every such line is told), or it has no lines.
    """
    try:
        text = path.read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f'the list "{path}" cannot be read: {error.strerror}') from error
    entries, faults = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")
        if name and _is_label(label):
            entries.append(Entry(name.strip(), int(label)))
        else:
            got = shown(line.strip())
            faults.append(Fault(f'must be a path and a whole number as label, got "{got}"', Place(str(path), number)))
    if faults:
        left = len(faults) - _MOST_FAULTS
        more = [Fault(f"and {left} lines more like these", Place(str(path)))] if left > 0 else []
        raise DataError([*faults[:_MOST_FAULTS], *more])
    if not entries:
        raise DataError(f'the list "{path}" names no images')
    return entries


def _is_label(text: str) -> bool:
    try:
        return int(text) in _LABELS and "_" not in text
    except ValueError:
        return False


def read_tree(root: Path) -> tuple[list[Entry], list[str]]:
    """The images below `root`, one folder per class, and the classes' names: sorted, they are labels 0, 1, ….

    Hidden files and whatever is not called like an image are passed over.

    Raises:
        DataError: there are no class folders, or no images in them.
    """
    try:
        classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and folder.name[0] != ".")
    except OSError as error:
        raise DataError(f'"{root}" is not a folder that can be read: {error.strerror}') from error
    help = "put the images of each class into a folder of their own, or give a list file: ROOT LISTFILE DB"
    if not classes:
        raise DataError(Fault(f'"{root}" has no folders, whose names would be the classes', help=help))
    entries = [Entry(name, label) for label, folder in enumerate(classes) for name in _images_in(root, folder)]
    if not entries:
        raise DataError(Fault(f'the folders in "{root}" hold no images ({", ".join(sorted(SUFFIXES))})', help=help))
    return entries, classes


def _images_in(root: Path, folder: str) -> list[str]:
    found = []
    for here, folders, files in os.walk(root / folder):
        folders[:] = [name for name in folders if name[0] != "."]
        names = (Path(here, name) for name in files if name[0] != ".")
        found += [path.relative_to(root).as_posix() for path in names if path.suffix.lower() in SUFFIXES]
    return sorted(found)
