"""Rows of HDF5 files: several data sets side by side, file after file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DataError, Fault, Place
from .block_order import BlockOrder, Part
from .hdf5_file import Floats, Table, load, measure
from .image_files import first_of, read_lines
from .telling import exists, find, where_it_looked


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that a list names: the line that does, and what to do if the file is missing."""

    path: Path
    place: Place
    help: str | None = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Every DataError that leaves this block stands at the line that names the file."""
        try:
            yield
        except DataError as error:
            faults = [replace(fault, help=fault.help or self.help).at(self.place) for fault in error.faults]
            raise DataError(faults) from error


def read_list(source: str, beside: Path | None) -> list[Listed]:
    """The files that a text file names.  As in the original, a name ends at white space: a line may hold several.

    Paths are relative to the working directory, or to the folder `beside` or that of the list, whichever has the file.

    Raises:
        DataError: the list cannot be read, is no text, or names no file.
    """
    path, lines = read_lines(source, beside, "HDF5 files, one a line, not an HDF5 file itself")
    files = []
    for number, line in enumerate(lines, 1):
        names = re.findall(r"[^ \t\r\v\f]+", line)
        for name in names:
            found = find(name, beside, path.parent)
            help = None if exists(found) else where_it_looked(name, beside, path.parent)
            if help and len(names) > 1:
                help += "; a name ends at white space, so this line names several files"
            files.append(Listed(found.resolve(), Place(str(path), number), help))
    if not files:
        help = "write the path of one HDF5 file a line"
        raise DataError(Fault(f'the list "{source}" names no file', help=help, code="CL404"))
    return files


def measured(files: Sequence[Listed], names: Sequence[str]) -> list[tuple[Listed, Table]]:
    """The files, and what each holds under these names.

    Raises:
        DataError: with the faults of all files that :func:`measure` refuses, or whose rows have another shape than the
            first's.
    """
    tables, faults = list[tuple[Listed, Table]](), list[Fault]()
    for file in files:
        try:
            with file.told():
                tables.append((file, measure(file.path, names)))
                _check_row_shapes(names, tables[0], tables[-1])
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(first_of(faults, files[0].place.file, "files cannot be used"))
    return tables


def _check_row_shapes(names: Sequence[str], first: tuple[Listed, Table], this: tuple[Listed, Table]) -> None:
    for name, there, here in zip(names, first[1].row_shapes, this[1].row_shapes, strict=True):
        if there != here:
            files = f'{there} in "{first[0].path}", {here} in "{this[0].path}"'
            help = "write one of them anew, or leave it out of the list"
            raise DataError(Fault(f'rows of "{name}" must have one shape: {files}', help=help, code="CL407"))


class Hdf5Rows:
    """The rows of a list of files, again and again, in the order of :class:`BlockOrder`; one part of a file is in
    memory at a time."""

    def __init__(
        self,
        files: Sequence[tuple[Listed, Table]],
        names: Sequence[str],
        shuffled_by: tuple[int, str] | None = None,
    ) -> None:
        """`files` as :func:`measured` for `names`; `shuffled_by`: the (seed, layer) whose draws order the rows; None:
        as they stand."""
        self._files = files
        self._names = names
        self._order = BlockOrder([table.blocks for _, table in files], shuffled_by)
        self._loaded: tuple[Part, list[Floats]] | None = None

    def __len__(self) -> int:
        """How many rows an epoch has."""
        return len(self._order)

    def read(self, position: int, count: int) -> list[Floats]:
        """Rows position … position + count − 1 of the endless stream: for every name, a new float32 array.

        Raises:
            DataError: a file is damaged, was changed, or does not fit into memory.
        """
        batch = [np.empty((count, *shape), np.float32) for shape in self._files[0][1].row_shapes]
        done = 0
        while done < count:
            part, start = self._order.at(position + done)
            stop = min(start + count - done, part.count)
            rows, places = part.rows(start, stop), slice(done, done + stop - start)
            for top, target in enumerate(batch):
                target[places] = self._load(part)[top][rows]
            done = places.stop
        return batch

    def _load(self, part: Part) -> list[Floats]:
        if self._loaded is None or self._loaded[0] is not part:
            self._loaded = None  # the memory of the old one is needed
            file, table = self._files[part.file]
            with file.told():
                self._loaded = (part, load(file.path, self._names, table, part.blocks))
        return self._loaded[1]
