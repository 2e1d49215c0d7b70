"""Datum messages to arrays.

A data set of raw images of one size has the same bytes around the pixels in every record, so a whole batch is parsed
by laying its records under each other as a matrix and comparing columns; anything else goes through protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import DataError, Fault
from ..proto import Datum
from .cache import Array, Images, together
from .image import Colour, Picture, decode_image, open_image
from .lazily import Lazily
from .values import Values

_LABEL_TAG = 0x28
_NOT_ENCODED = b"\x38\x00"
_MOST_LABEL_BYTES = 4


@dataclass(slots=True)
class Records:
    """Decoded records: images, uint8 or float32, and their labels, float32, N."""

    images: Images
    labels: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the records of a raw data set share: the bytes before the pixels, and the images' shape."""

    head: bytes
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, value: bytes) -> _Layout | None:
        """The layout of this record, if it is a raw image in the field order every writer uses."""
        try:
            datum = Datum.FromString(value)
        except DecodeError:
            return None
        shape = (datum.channels, datum.height, datum.width)
        if datum.encoded or min(shape) < 1 or len(datum.data) != prod(shape):
            return None
        datum.ClearField("label")
        datum.ClearField("encoded")
        written = datum.SerializeToString()
        head = written[: len(written) - len(datum.data)]
        return cls(head, shape) if value.startswith(written) and written.endswith(datum.data) else None

    def read(self, values: Values) -> Records | None:
        """The records, if all have this layout."""
        lengths = values.lengths()
        images = np.empty((len(values), *self.shape), np.uint8)
        labels = np.empty(len(values), np.float32)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            part = self._read_equal(values.rows(rows.tolist(), length))
            if part is None:
                return None
            if len(rows) == len(values):
                return Records(*part)
            images[rows], labels[rows] = part
        return Records(images, labels)

    def _read_equal(self, matrix: Array) -> tuple[Array, NDArray[np.float32]] | None:
        """Images and labels of values of one length, a row each."""
        start, size = len(self.head), prod(self.shape)
        if matrix.shape[1] < start + size or (matrix[:, :start] != np.frombuffer(self.head, np.uint8)).any():
            return None
        labels = _labels(matrix[:, start + size :])
        if labels is None:
            return None
        return matrix[:, start : start + size].reshape(len(matrix), *self.shape), labels


def _labels(tail: Array) -> NDArray[np.float32] | None:
    """The labels in the bytes after the pixels (rows of one length), if nothing else is there."""
    if tail.shape[1] >= 2 and (tail[:, -2:] == np.frombuffer(_NOT_ENCODED, np.uint8)).all():
        tail = tail[:, :-2]
    if not tail.shape[1]:
        return np.zeros(len(tail), np.float32)
    digits = tail[:, 1:]
    if (tail[:, 0] != _LABEL_TAG).any() or not 1 <= digits.shape[1] <= _MOST_LABEL_BYTES:
        return None
    if (digits[:, :-1] < 0x80).any() or (digits[:, -1] >= 0x80).any():
        return None
    places = 128 ** np.arange(digits.shape[1])
    return ((digits & 0x7F) @ places).astype(np.float32)


def parsed(value: bytes, key: Callable[[], str]) -> Any:
    """A value as a Datum message; `key()` is its key, for the message.

    Raises:
        DataError: it is none.
    """
    try:
        return Datum.FromString(value)
    except DecodeError as error:
        raise DataError(Fault(f'record "{key()}" is not a Datum', help="which tool wrote it?")) from error


def raw_image(datum: Any) -> Array:
    """The pixels of a Datum that is not encoded, C×H×W: uint8, or float32 where they lie in float_data; not to be
    written to.

    Raises:
        DataError: they do not fill the shape.
    """
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1:
        raise DataError(f"channels, height and width must be positive, got {shape[0]}, {shape[1]}, {shape[2]}")
    flat = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    if flat.size != prod(shape):
        kind = "bytes of data" if datum.data else "values of float_data"
        raise DataError(f"{shape[0]}×{shape[1]}×{shape[2]} needs {prod(shape)} {kind}, got {flat.size}")
    return flat.reshape(shape)


class Decoder:
    """Turns values into :class:`Records`; learns the layout of the data set from the first one."""

    def __init__(self, colour: Colour = "as stored", lazily: bool = False) -> None:
        """`lazily`: images that are not decoded many at once are decoded when they are asked for, and encoded ones stay
        :class:`Picture`; else all are arrays."""
        self.colour = colour
        self._lazily = lazily
        self._open = open_image if lazily else decode_image
        self.met_raw = False
        """Whether a record was not an encoded image."""
        self._layout: _Layout | None = None
        self._learned = False

    @property
    def raw(self) -> bool:
        """Whether records are raw images of one size, which are decoded many at once."""
        return self._layout is not None

    def __call__(self, values: Values | Sequence[bytes], key: Callable[[int], str]) -> Records:
        """Decode values; `key(i)` is the key of the i-th, for messages.  May be called by several threads at once.

        Raises:
            DataError: a value is not a Datum, or its fields contradict each other; names the key.
        """
        values = values if isinstance(values, Values) else Values.of(values)
        if not self._learned:
            self._layout, self._learned = _Layout.of(next(iter(values))), True
        records = self._layout.read(values) if self._layout is not None else None
        if records is not None:
            self.met_raw = True
            return records
        datums = [parsed(value, partial(key, index)) for index, value in enumerate(values)]
        labels = np.array([datum.label for datum in datums], np.float32)
        images = Lazily(len(datums), lambda index: self._one(datums[index], partial(key, index)))
        return Records(images if self._lazily else together(list(images)), labels)

    def _one(self, datum: Any, key: Callable[[], str]) -> Array | Picture:
        try:
            return self._image(datum)
        except DataError as error:
            raise DataError(f'record "{key()}": {error.faults[0].message}') from error

    def _image(self, datum: Any) -> Array | Picture:
        if datum.encoded:
            return self._open(datum.data, self.colour)
        self.met_raw = True
        return raw_image(datum)
