"""Image files as a database.  Source: `tools/convert_imageset.cpp`, `src/caffe/util/io.cpp`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.image import Colour, decode_image
from ..data.resize import resize
from ..errors import DataError, Fault
from ..proto import Datum
from ..runtime import seeds
from ..runtime.threads import processors
from .image_lists import Entry, read_list, read_tree
from .pictures import encoded, format_of
from .progress import Progress
from .whole import whole
from .writers import Record, check_target, write_records

_AHEAD = 64
"""Images that are decoded at the same time, or wait to be written."""

_TOLD_EVERY = 100
_MOST_TOLD = 50
LABELS = "labels.txt"


@dataclass(frozen=True, slots=True)
class Options:
    """How images become records.

    Attributes:
        colour: three channels ("colour"), one ("gray"), or what the file has ("as stored").
        resize: height and width; None: as they are.
        check_size: refuse images of another size than the first's.
        encoded: keep images encoded: a file as it is where nothing has to be changed, else encoded again.
        encode_type: in which format ("png", "jpg", …); None: in that of the file's name.
    """

    colour: Colour = "colour"
    resize: tuple[int, int] | None = None
    check_size: bool = False
    encoded: bool = False
    encode_type: str | None = None


@dataclass(slots=True)
class Converted:
    """What was written, and which images could not be: a fault each."""

    path: Path
    records: int = 0
    bad: list[Fault] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


def convert(
    root: Path,
    list_file: Path | None,
    target: Path,
    options: Options = Options(),
    shuffled_by: int | None = None,
    max_bad: int = 0,
    force: bool = False,
    progress: Progress | None = None,
    backend: str = "lmdb",
) -> Converted:
    """Write the images that a list names (paths relative to `root`), or that lie in `root` in a folder per class.

    Keys are `%08d_path`, numbered as in the list, an image that cannot be read included.  From folders, `labels.txt`
    beside the database names the classes.

    Args:
        shuffled_by: the seed of the order; None: as they are listed.
        max_bad: how many images may be unreadable, and are then left out.
        force: replace a database that lies at `target`, and its labels.txt.
        backend: "lmdb" or "leveldb".

    Raises:
        DataError: the list is wrong, too many images cannot be read (each is told), or the database cannot be written.
    """
    made = Converted(target)
    if options.encode_type:
        format_of(options.encode_type)
    check_target(target, backend, force)
    if not root.is_dir():
        raise DataError(f'"{root}" is not a folder')
    if list_file is not None:
        entries = read_list(list_file)
    else:
        entries, made.classes = read_tree(root)
        _refuse_other_labels(target.absolute().parent / LABELS, made.classes, force)
    if shuffled_by is not None:
        order = seeds.generator(shuffled_by, "convert_imageset").permutation(len(entries))
        entries = [entries[index] for index in order.tolist()]
    looked_at = (lambda done: progress(target.name, done, len(entries))) if progress else None
    records = _records(root, entries, options, max_bad, made, looked_at)
    made.records = write_records(target, records, force=force, backend=backend)
    if made.classes:
        with whole(target.absolute().parent / LABELS) as unfinished:
            unfinished.write_text(_lines(made.classes), "utf-8", "surrogateescape")
    return made


def _lines(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _refuse_other_labels(path: Path, classes: list[str], force: bool) -> None:
    if force or not path.exists() or path.read_text("utf-8", "surrogateescape") == _lines(classes):
        return
    raise DataError(
        Fault(
            f'"{path}" exists and names other classes than the folders do',
            help="classes are numbered by name: training and test folders must have the same.  --force replaces it",
        )
    )


def _records(
    root: Path,
    entries: Sequence[Entry],
    options: Options,
    most: int,
    made: Converted,
    looked_at: Callable[[int], None] | None,
) -> Iterator[Record]:
    """The records; those that cannot be made are kept in `made`, and are an error at the end if there are too many."""
    first: tuple[str, tuple[int, ...]] | None = None
    for index, (entry, result) in enumerate(_read_all(root, entries, options)):
        if looked_at and ((index + 1) % _TOLD_EVERY == 0 or index + 1 == len(entries)):
            looked_at(index + 1)
        if isinstance(result, Fault):
            made.bad.append(result)
            continue
        value, shape = result
        first = first or (entry.shown, shape)
        if options.check_size and shape != first[1]:
            here, there = ("×".join(map(str, one)) for one in (shape, first[1]))
            raise DataError(
                Fault(
                    f'"{entry.shown}" is {here}, but the first image, "{first[0]}", is {there}',
                    help="--resize_height and --resize_width make them equal",
                )
            )
        if len(made.bad) <= most:
            yield b"%08d_%b" % (index, os.fsencode(entry.name)), value
    if len(made.bad) > most:
        head = f"{len(made.bad)} of {len(entries)} images cannot be read; nothing was written"
        raise DataError([*told(made.bad), Fault(head, help=f"--max-bad={len(made.bad)} leaves them out")])
    if first is None:
        raise DataError("none of the images can be read; nothing was written")


def told(bad: Sequence[Fault]) -> list[Fault]:
    """The first of the images that cannot be read, and how many more there are."""
    more = len(bad) - _MOST_TOLD
    return [*bad[:_MOST_TOLD], *([Fault(f"and {more} more")] if more > 0 else [])]


Made = tuple[bytes, tuple[int, ...]]
"""A value, and the shape of its image."""


def _read_all(root: Path, entries: Sequence[Entry], options: Options) -> Iterator[tuple[Entry, Made | Fault]]:
    """Every entry's value or fault, in order; decoding takes all processors."""

    def read(entry: Entry) -> Made | Fault:
        try:
            return _read(root, entry, options)
        except (DataError, OSError, ValueError) as error:
            reason = error.faults[0].message if isinstance(error, DataError) else _reason(error)
            return Fault(f'"{entry.shown}": {reason}')

    rest = iter(entries)
    with ThreadPoolExecutor(processors()) as workers:
        while part := list(islice(rest, _AHEAD)):
            yield from zip(part, workers.map(read, part), strict=True)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read(root: Path, entry: Entry, options: Options) -> Made:
    data = Path(f"{root}/{entry.name}").read_bytes()  # as the original: a list may say "/a.png" below the root
    image = decode_image(data, options.colour)
    datum = Datum(label=entry.label)
    if not options.encoded and not options.encode_type:
        image = _resized(image, options)
        datum.channels, datum.height, datum.width = image.shape
        datum.data, datum.encoded = image.tobytes(), False
        return datum.SerializeToString(), image.shape
    ending = Path(entry.name).suffix[1:].lower()
    wanted = options.encode_type or ending
    if options.resize is None and ending in (wanted, {"jpg": "jpeg"}.get(wanted)):
        datum.data, datum.encoded = data, True
    else:
        image = _resized(image, options)
        datum.data, datum.encoded = encoded(image, format_of(wanted)), True
    return datum.SerializeToString(), image.shape


def _resized(image: NDArray[np.uint8], options: Options) -> NDArray[np.uint8]:
    return image if options.resize is None else resize(image, *options.resize)
