"""Whether rows are in a file: what HDF5 does not find, it makes up (as zeros) without a word."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import h5py

from ..errors import DataError, Fault

COPY_AGAIN = "copy it again, or build it again"
_CHECKSUM_BYTES = 4
_REWRITE = "write every row, zeros too; if that was done, the file is damaged: copy it again"


def check_stored(dataset: Any, path: Path, name: str) -> None:
    """Check that a data set was written.

    Raises:
        DataError: it was not, or not all of it; or it is a virtual one and a file it takes rows from is not there.
    """
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            _check_source(source.file_name, source.dset_name, path, name)
    elif dataset.size and not dataset.id.get_storage_size():
        raise DataError(Fault(f'data set "{name}" of "{path}" was never written', help=_REWRITE))
    elif dataset.chunks is not None:
        written = dataset.id.get_num_chunks()
        chunks = prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))
        if written < chunks:
            message = f'of the {chunks} chunks of data set "{name}" of "{path}", only {written} were ever written'
            raise DataError(Fault(message, help=_REWRITE))


def _check_source(file_name: str, dataset_name: str, path: Path, name: str) -> None:
    if file_name == "." or "%b" in file_name + dataset_name:
        return
    found = next((place for place in (path.parent / file_name, Path(file_name)) if place.is_file()), None)
    if found is not None:
        with h5py.File(found, "r") as file:
            if dataset_name in file:
                return
    what = f'data set "{dataset_name}" of "{file_name}"'
    message = f'data set "{name}" of "{path}" takes rows from {what}, which is not there'
    raise DataError(Fault(message, help="copy the files of a virtual data set together"))


def check_chunks(dataset: Any, path: Path, name: str, start: int, stop: int) -> None:
    """Check the compressed or checksummed chunks that hold rows start … stop − 1.

    Others are not looked at: h5py writes what a damaged file calls a chunk beyond the memory it has for it.

    Raises:
        DataError: one cannot be found, or is not as its filters leave a chunk.
    """
    if not dataset.id.get_create_plist().get_nfilters():
        return
    filters = _Filters(dataset)
    for offset in _offsets(dataset, start, stop):
        try:
            skipped, stored = dataset.id.read_direct_chunk(offset)
        except (OSError, RuntimeError) as error:
            rows = f"{max(offset[0], start)} to {min(offset[0] + dataset.chunks[0], stop) - 1}"
            message = f'"{path}" is damaged: rows {rows} of data set "{name}" cannot be found: {error}'
            raise DataError(Fault(message, help=COPY_AGAIN)) from error
        if not filters.leave(skipped, len(stored)):
            what = f"{len(stored)} bytes and filter mask {skipped}"
            message = f'"{path}" is damaged: the chunk of data set "{name}" at row {offset[0]} cannot have {what}'
            raise DataError(Fault(message, help=COPY_AGAIN))


def _offsets(dataset: Any, start: int, stop: int) -> Iterator[tuple[int, ...]]:
    """Where the chunks of these rows begin."""
    chunk, others = dataset.chunks[0], zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    return product(range(start - start % chunk, stop, chunk), *(range(0, size, step) for size, step in others))


class _Filters:
    """What the chunks of a data set went through when they were written: compression, checksum."""

    def __init__(self, dataset: Any) -> None:
        settings = dataset.id.get_create_plist()
        filters = [settings.get_filter(index)[:2] for index in range(settings.get_nfilters())]
        size_kept = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
        compressing = [(bit, flags) for bit, (code, flags) in enumerate(filters) if code not in size_kept]
        self._compressing = sum(1 << bit for bit, _ in compressing)
        self._optional = sum(1 << bit for bit, flags in compressing if flags & h5py.h5z.FLAG_OPTIONAL)
        self._least = _CHECKSUM_BYTES * any(code == h5py.h5z.FILTER_FLETCHER32 for code, _ in filters)
        self._whole = prod(dataset.chunks) * dataset.id.get_type().get_size() + self._least

    def leave(self, skipped: int, size: int) -> bool:
        """Whether they leave chunks of `size` bytes where those of the mask `skipped` were left out, which happens
        where compression would make a chunk larger."""
        if skipped & ~self._optional:
            return False
        return size > self._least if self._compressing & ~skipped else size == self._whole
