"""Which rows stand at a position of an endless stream of files that are read by blocks of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..runtime import seeds

Indices = NDArray[np.int64]

SHUFFLED_BYTES = 256 << 20
"""Rows of at most this size are shuffled together.  A constant, and not what memory allows: the order depends on it."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A file as blocks: `rows` rows of `row_bytes` in memory, `block` of them at a time; the last may be shorter."""

    rows: int
    block: int
    row_bytes: int

    def __len__(self) -> int:
        return -(-self.rows // self.block)

    def bounds(self, index: int) -> tuple[int, int]:
        """The first row of a block, and the row behind its last."""
        return index * self.block, min((index + 1) * self.block, self.rows)

    def rows_of(self, blocks: Iterable[int]) -> int:
        """How many rows these blocks have."""
        return sum(end - start for start, end in map(self.bounds, blocks))

    def per_part(self) -> int:
        """How many blocks are shuffled together: all of a file that is small enough, at least one of every other."""
        if self.rows * self.row_bytes <= SHUFFLED_BYTES:
            return len(self)
        return max(1, SHUFFLED_BYTES // (self.block * self.row_bytes))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Blocks of a file that are in memory together, in this order; `count` is how many rows they have."""

    file: int
    blocks: tuple[int, ...]
    count: int
    _shuffled: Indices | None

    def rows(self, start: int, stop: int) -> Indices | slice:
        """Which of the rows in memory stand at start … stop − 1 of this part's stretch of the stream."""
        return slice(start, stop) if self._shuffled is None else self._shuffled[start:stop]


class BlockOrder:
    """Positions of the stream to rows of parts.

    As they stand, a part is a block.  Shuffled, every epoch takes the files in another order; a file of at most
    SHUFFLED_BYTES is one part, whose rows are permuted.  A larger file has its blocks permuted, and then the rows of
    as many neighbours in that order as SHUFFLED_BYTES hold.  So any two rows of a small file may meet in a batch;
    rows of a large file meet where chance brought their blocks together; rows of different files never mix.  All of
    it depends on (seed, layer, epoch) and the files alone.
    """

    def __init__(self, files: Sequence[Blocks], shuffled_by: tuple[int, str] | None = None) -> None:
        """`shuffled_by`: the (seed, layer) whose draws order the rows; None: as they stand."""
        self._files = files
        self._shuffled_by = shuffled_by
        self._total = sum(file.rows for file in files)
        self._epoch: tuple[int, Indices, Indices] | None = None
        self._blocks: tuple[tuple[int, int], Indices, Indices] | None = None
        self._part: tuple[tuple[int, int, int], Part] | None = None

    def __len__(self) -> int:
        """How many rows an epoch has."""
        return self._total

    def at(self, position: int) -> tuple[Part, int]:
        """The part that a position of the stream falls into, and how many of the part's rows come before it."""
        epoch, row = divmod(position, self._total)
        files, ends = self._files_in(epoch)
        place = int(np.searchsorted(ends, row, "right"))
        file = int(files[place])
        row -= int(ends[place]) - self._files[file].rows
        _, ends = self._blocks_in(epoch, file)
        per_part = self._per_part(file)
        part = int(np.searchsorted(ends, row, "right")) // per_part
        return self._part_of(epoch, file, part), row - (int(ends[part * per_part - 1]) if part else 0)

    def _files_in(self, epoch: int) -> tuple[Indices, Indices]:
        """The files in the order of an epoch, and the rows up to the end of each."""
        if self._epoch is None or self._epoch[0] != epoch:
            files = self._permutation(len(self._files), "files", epoch)
            self._epoch = epoch, files, np.cumsum([self._files[file].rows for file in files.tolist()])
        return self._epoch[1:]

    def _blocks_in(self, epoch: int, file: int) -> tuple[Indices, Indices]:
        """The blocks of a file in the order of an epoch, and the rows up to the end of each."""
        if self._blocks is None or self._blocks[0] != (epoch, file):
            here, blocks = self._files[file], np.arange(len(self._files[file]))
            if self._per_part(file) < len(here):
                blocks = self._permutation(len(here), "blocks", epoch, file)
            sizes = np.minimum(here.block, here.rows - blocks * here.block)
            self._blocks = (epoch, file), blocks, np.cumsum(sizes)
        return self._blocks[1:]

    def _part_of(self, epoch: int, file: int, part: int) -> Part:
        if self._part is None or self._part[0] != (epoch, file, part):
            here, per_part = self._files[file], self._per_part(file)
            order, _ = self._blocks_in(epoch, file)
            blocks = tuple(order[part * per_part :][:per_part].tolist())
            count, shuffled = here.rows_of(blocks), None
            if self._shuffled_by is not None:
                keys = (part,) if per_part < len(here) else ()
                shuffled = self._permutation(count, "rows", epoch, file, *keys)
            self._part = (epoch, file, part), Part(file, blocks, count, shuffled)
        return self._part[1]

    def _per_part(self, file: int) -> int:
        return 1 if self._shuffled_by is None else self._files[file].per_part()

    def _permutation(self, count: int, *keys: str | int) -> Indices:
        if self._shuffled_by is None:
            return np.arange(count)
        return seeds.generator(*self._shuffled_by, *keys).permutation(count)
