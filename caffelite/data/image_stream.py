"""Images of a list, decoded, resized, and kept in memory where all of them fit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault
from .cache import Cache
from .datum import Array, Records, together
from .image import Colour
from .image_files import Labelled
from .resize import resize


class ImageStream:
    """The images and labels of a list by row.

    Args:
        listed: the list.
        colour: "colour" (three channels: blue, green, red) or "gray".
        size: height and width that every image is resized to; None keeps its own.
        budget: the most bytes to keep decoded; None: what there is room for.
    """

    def __init__(
        self, listed: Labelled, colour: Colour, size: tuple[int, int] | None = None, budget: int | None = None
    ) -> None:
        self._files, self._labels = listed.files, listed.labels
        self._colour = colour
        self._size = size
        self._budget = budget
        self._cache: Cache | None = None

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of one record's label: () or (K,)."""
        return self._labels.shape[1:]

    def image(self, row: int) -> Array:
        """One image, C×H×W.  Not to be written to.

        Raises:
            DataError: its file cannot be read or decoded; names it and its line.
        """
        kept = self._cache.get(row, 1) if self._cache is not None else None
        return kept.images[0] if kept is not None else self._decoded(row)

    def _decoded(self, row: int) -> Array:
        image: NDArray[np.uint8] = self._files.decode(row, self._files.bytes_of(row), self._colour)
        if self._size is not None:
            image = resize(image, *self._size)
        if self._cache is None:
            self._cache = Cache(len(self), image, self._budget)
        self._cache.put(row, Records(image[np.newaxis], np.zeros(1, np.float32)))
        return image

    def read(self, rows: Iterable[int]) -> Records:
        """The records at these rows."""
        wanted = list(rows)
        return Records(together([self.image(row) for row in wanted]), self._labels[wanted])

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        """A fault of one image, which names its file and line: `message` goes on after the name."""
        return self._files.fault(row, message, help)
