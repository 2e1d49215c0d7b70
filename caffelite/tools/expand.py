"""A database made larger: every image several times, moved or distorted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.cache import Array, arrays
from ..data.datum import Decoder
from ..data.order import Order
from ..errors import DataError
from ..proto import Datum
from ..runtime import seeds
from .databases import Database, opened
from .progress import Progress
from .scratch import Scratch
from .variants import Pixels, Variants
from .writers import Record, check_target, datum_value, shown, write_records

_BLOCK = 64
"""So many neighbours stand in one round as the same variant.  What is written where depends on it."""

_BYTES_AT_ONCE = 32 << 20
_TOLD_EVERY = 1000


def expand(
    source: Path,
    target: Path,
    variants: Variants,
    in_order: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    backend: str = "lmdb",
) -> int:
    """Write all variants of each record of a database as another database.

    There are as many rounds as variants: each round has every record once, shuffled, in one of its variants, and each
    of them in one of the rounds.  So a Data layer, which reads the target from its beginning, sees whole epochs of the
    source.  Keys are the number of the new record, `_`, and the source's key.  Bytes stay bytes (rounded), floats
    floats; encoded images become pixels.

    Args:
        in_order: the variants of a record side by side instead, in the source's order.
        force: replace a database that lies at `target`.
        progress: told how much is done, in images; shuffled each counts twice.
        backend: "lmdb" or "leveldb"; what the source is is found by looking.

    Returns:
        How many records there are now.

    Raises:
        DataError: the source cannot be read or a variant not be made of a record, or the target cannot be written.
    """
    if target.exists() and source.exists() and os.path.samefile(source, target):
        raise DataError(f'"{source}" cannot be expanded onto itself')
    check_target(target, backend, force)
    with opened(source) as database:
        total = database.count * len(variants)
        if in_order:
            made = _in_order(database, variants, _Told(progress, target.name, total))
        else:
            folder = target.absolute().parent
            made = _shuffled(database, variants, folder, _Told(progress, target.name, 2 * total))
        digits = max(8, len(str(total - 1)))
        records = ((b"%0*d_%b" % (digits, number, key), value) for number, (key, value) in enumerate(made))
        return write_records(target, records, force=force, backend=backend)


@dataclass(slots=True)
class _Told:
    """Tells how much is done."""

    progress: Progress | None
    what: str
    total: int
    done: int = 0

    def step(self) -> None:
        self.done += 1
        if self.progress and (self.done % _TOLD_EVERY == 0 or self.done == self.total):
            self.progress(self.what, self.done, self.total)


def _in_order(database: Database, variants: Variants, told: _Told) -> Iterator[Record]:
    for piece in _pieces(database, variants, _BYTES_AT_ONCE // len(variants)):
        made = [variants.make(number, piece.images, piece.first) for number in range(len(variants))]
        for key, datum, *images in zip(piece.keys, piece.datums, *made, strict=True):
            for image in images:
                told.step()
                yield key, _value(image, datum)


def _shuffled(database: Database, variants: Variants, folder: Path, told: _Told) -> Iterator[Record]:
    """Round after round: made in the source's order, put aside, and fetched in another."""
    count = database.count
    order = Order(count, shuffled_by=(variants.seed, "expand"))
    turns = seeds.generator(variants.seed, "expand", "turns").integers(len(variants), size=count // _BLOCK + 1)
    for number in range(len(variants)):
        with closing(Scratch(folder)) as scratch:
            for piece in _pieces(database, variants, _BYTES_AT_ONCE):
                variant = int(turns[piece.first // _BLOCK] + number) % len(variants)
                images = variants.make(variant, piece.images, piece.first)
                for key, datum, image in zip(piece.keys, piece.datums, images, strict=True):
                    told.step()
                    scratch.put(key)
                    scratch.put(_value(image, datum))
            for row in order.rows(number * count, count).tolist():
                told.step()
                yield scratch[2 * row], scratch[2 * row + 1]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Records that follow each other, within a block: the number of the first, and of each its key, message, pixels."""

    first: int
    keys: Sequence[bytes]
    datums: Sequence[Any]
    images: Pixels


def _pieces(database: Database, variants: Variants, most: int) -> Iterator[_Piece]:
    """All records, with about `most` bytes of pixels at a time; variants can be made of them."""
    decoder, at_once = Decoder(), 1
    for start, keys, values in database.portions():
        begin = 0
        while begin < len(values):
            first = start + begin
            here = slice(begin, begin + min(at_once, _BLOCK - first % _BLOCK))
            images: Pixels = arrays(decoder(values[here], database.keys_from(first)).images)
            for key, image in zip(keys[here], images, strict=True):
                variants.check(image.shape, f'record "{shown(key)}"')
            yield _Piece(first, keys[here], [Datum.FromString(value) for value in values[here]], images)
            begin += len(images)
            at_once = max(1, most // max(image.nbytes for image in images))


def _value(image: Array, datum: Any) -> bytes:
    """The value of a record made of another: an image of the same kind, with the same label."""
    if datum.encoded or datum.data:
        image = image if image.dtype == np.uint8 else np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return datum_value(image, datum.label if datum.HasField("label") else None)
