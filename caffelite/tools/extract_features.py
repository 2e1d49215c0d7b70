"""Features: blobs of a net, for every sample of its data, as databases or HDF5 files.

Source: `tools/extract_features.cpp`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from ..data.hdf5_writer import Hdf5Writer
from ..errors import DataError, Fault, UsageError
from ..layerkit.fed import FedLayer
from .hdf5_tables import is_named_hdf5
from .progress import Progress
from .whole import check_place
from .writers import check_target, datum_value, kinds, new_database, portions

if TYPE_CHECKING:
    from ..net import Net

HDF5 = "hdf5"
FORMS = (*kinds, HDF5)
"""What features are written as."""

_MOST_AXES = 4
"""Of a blob whose rows are the images of records."""

_SAY_HOW_MANY = "say how many batches to make: --iterations N"

Rows = NDArray[np.float32]
Sink = Callable[[int, Rows], None]
"""Takes rows, and the number of the first."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A blob, and the data set it goes to: a database of its own, or an HDF5 file that several may share."""

    blob: str
    path: Path


def placed(blobs: Iterable[str], out: Path, form: str) -> list[Feature]:
    """Blobs, and where they go: each to a database `<blob>_<form>` in the folder `out`, with "_" for "/"; as HDF5 all
    of them to one file, `out` if that is the name of one, else `features.h5` in it."""
    if form == HDF5:
        file = out if is_named_hdf5(out) else out / "features.h5"
        return [Feature(blob, file) for blob in blobs]
    return [Feature(blob, out / f"{blob.replace('/', '_')}_{form}") for blob in blobs]


def extract_features(
    net: Net,
    features: Sequence[Feature],
    batches: int | None = None,
    form: str = "lmdb",
    force: bool = False,
    progress: Progress | None = None,
) -> list[int]:
    """Run a net, and write blobs of it down.

    A record of a database is a Datum for each row of the blob: `float_data`, without a label, under the key `%010d`;
    channels, height and width are the axes after the first, and 1 where there is none.  In an HDF5 file each blob is a
    data set of its name, N×…, float32.

    Args:
        net: keeps these blobs (:func:`caffelite.assembly.load_net`, `keeping`).
        batches: how many passes to make; None: as many as there are batches, and every record once.
        form: one of :data:`FORMS`.
        force: replace what lies there, if it is of that form.
        progress: told, for each blob, how many rows are written.

    Returns:
        How many rows each blob has given.

    Raises:
        GraphError: the net has no such blob.
        UsageError: the net does not keep a blob, or `form` cannot hold it; two would be one data set; or `batches` is
            None, and nobody knows how many there are.
        DataError: a data set cannot be written, or is there already; or the net's data cannot be read.
    """
    check(features, form, force)
    _check_blobs(net, features, form)
    batches, last = (batches, None) if batches is not None else _all_batches(net)
    with ExitStack() as stack:
        sinks = _sinks(stack, features, form, force)
        tasks = [_Task(net, feature, sink, batches, last) for feature, sink in zip(features, sinks, strict=True)]
        for batch in range(batches):
            net.forward()
            for task in tasks:
                task.take(batch)
                if progress:
                    progress(task.feature.blob, task.done, task.total)
    return [task.done for task in tasks]


@dataclass(frozen=True, slots=True)
class _Last:
    """The last batch: how many of its samples are kept of how many."""

    kept: int
    size: int


@dataclass(slots=True)
class _Task:
    """A blob on its way to its data set."""

    net: Net
    feature: Feature
    sink: Sink
    batches: int
    last: _Last | None
    done: int = 0

    def take(self, batch: int) -> None:
        """Write what the blob holds in this batch."""
        rows = np.atleast_1d(self.net.blobs[self.feature.blob].data)
        if self.last and batch == self.batches - 1 and len(rows) == self.last.size:
            rows = rows[: self.last.kept]
        self.sink(self.done, rows)
        self.done += len(rows)

    @property
    def total(self) -> int:
        """How many rows there will be, as far as one can tell."""
        size = (*self.net.blobs[self.feature.blob].shape, 1)[0]
        left_out = self.last.size - self.last.kept if self.last and size == self.last.size else 0
        return self.batches * size - left_out


# -- what is asked for ------------------------------------------------------------------------------------------------


def check(features: Sequence[Feature], form: str, force: bool) -> None:
    """See that features can be written, and destroy nothing.

    Raises:
        UsageError: two of them would be one data set.
        DataError: something lies there already; the library that writes it is not installed.
    """
    places = [(os.path.realpath(feature.path), feature.blob if form == HDF5 else "") for feature in features]
    for number, (path, name) in enumerate(places):
        for other, earlier in places[:number]:
            if path == other and (f"{name}/".startswith(f"{earlier}/") or f"{earlier}/".startswith(f"{name}/")):
                _refuse(path, name, earlier)
    for target in dict.fromkeys(feature.path for feature in features):
        if form == HDF5:
            check_place(target, force, target.is_file() and h5py.is_hdf5(target), "an HDF5 file")
        else:
            check_target(target, form, force)


def _refuse(path: str, name: str, earlier: str) -> None:
    if not name:
        raise UsageError(f'two blobs cannot be one database, "{path}"', help="give each a name of its own")
    what = f'"{earlier}" and "{name}" cannot both be data sets of "{path}"'
    raise UsageError(what, help="write them into files of their own")


def _check_blobs(net: Net, features: Sequence[Feature], form: str) -> None:
    blobs = [feature.blob for feature in features]
    if net.graph.keeping(blobs).outputs != net.graph.outputs and not net.observed:
        raise UsageError(f"the net does not keep {', '.join(blobs)}", help="load_net(…, keeping=blobs)")
    for blob in blobs:
        axes = len(net.blobs[blob].shape)
        if form != HDF5 and axes > _MOST_AXES:
            what = f'blob "{blob}" has {axes} axes; a record has channels, height and width'
            raise UsageError(what, help="HDF5 files take any number: --format hdf5")


def _all_batches(net: Net) -> tuple[int, _Last]:
    """How many batches hold every record of the net's data, and what of the last is not read a second time."""
    known = list(_counted(net))
    if not known:
        raise UsageError("no layer of the net knows how many records it has", help=_SAY_HOW_MANY)
    if len({Fraction(records, batch) for _, records, batch in known}) > 1:
        each = ", ".join(f"{name} {records} in batches of {batch}" for name, records, batch in known)
        what = f"the layers of the net do not agree on how much data there is: they read {each}"
        raise UsageError(what, help=_SAY_HOW_MANY)
    _, records, batch = known[0]
    batches = ceil(records / batch)
    return batches, _Last(records - (batches - 1) * batch, batch)


def read_again(net: Net, batches: int) -> list[Fault]:
    """Warnings about records that so many batches read a second time, which the original does without a word."""
    found = []
    for name, records, batch in _counted(net):
        more = batches * batch - records
        if more > 0:
            text = f"has {records} records: the last {more} samples of {batches} batches of {batch} are repeats"
            found.append(Fault(text, layer=name, severity="warning"))
    return found


def _counted(net: Net) -> Iterator[tuple[str, int, int]]:
    """Name, number of records and size of a batch, of each layer that knows them."""
    for name, layer in net.sources():
        if isinstance(layer, FedLayer) and layer.records is not None:
            yield name, layer.records, layer.batch_size


def unfilled(net: Net) -> list[Fault]:
    """Warnings about inputs that nothing fills.

    Raises:
        UsageError: nothing else brings data into the net.
    """
    inputs = [f'"{blob}"' for node in net.graph.nodes if node.type == "Input" for blob in node.tops]
    if not inputs:
        return []
    text = f"nothing fills {' and '.join(inputs)} (Input)"
    if all(node.reads or node.type in ("Input", "Parameter") for node in net.graph.nodes):
        help = "take a net with a data layer, as the one that training tests"
        raise UsageError(Fault(f"{text}: there are no samples to make features of", help=help))
    return [Fault(f"{text}: it stays zero", severity="warning")]


# -- where it goes ----------------------------------------------------------------------------------------------------


def _sinks(stack: ExitStack, features: Sequence[Feature], form: str, force: bool) -> list[Sink]:
    if form != HDF5:
        return [stack.enter_context(_database(feature.path, form, force)) for feature in features]
    files = {path: stack.enter_context(_hdf5_file(path)) for path in {os.path.realpath(one.path) for one in features}}
    return [partial(_append, files[os.path.realpath(feature.path)], feature.blob) for feature in features]


@contextmanager
def _database(path: Path, form: str, force: bool) -> Iterator[Sink]:
    with new_database(path, force, form) as put:

        def write(first: int, rows: Rows) -> None:
            images = rows.reshape(len(rows), *(*rows.shape[1:], 1, 1, 1)[:3])
            records = ((b"%010d" % number, datum_value(image, None)) for number, image in enumerate(images, first))
            for part in portions(records):
                put(part)

        yield write


@contextmanager
def _hdf5_file(path: str) -> Iterator[Hdf5Writer]:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise DataError(f'cannot write to "{os.path.dirname(path)}": {error.strerror}') from error
    writer = Hdf5Writer(path)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise
    writer.close()


def _append(file: Hdf5Writer, blob: str, _first: int, rows: Rows) -> None:
    file.append({blob: rows})
