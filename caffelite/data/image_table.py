"""Images of a list, decoded, resized, and kept in memory where all of them fit."""

from __future__ import annotations

import threading

from ..errors import Fault
from .cache import Cache
from .datum import Array, Records
from .image import Colour, Picture, pixels_of
from .image_files import Labelled
from .order import Rows
from .resize import resize


class ImageTable:
    """The images and labels of a list by row.

    Args:
        listed: the list.
        colour: "colour" (three channels: blue, green, red) or "gray".
        size: height and width that every image is resized to; None keeps its own.
        budget: the most bytes to keep decoded; None: what there is room for.

    Attributes:
        labels: float32, N or N×K.
    """

    def __init__(
        self, listed: Labelled, colour: Colour, size: tuple[int, int] | None = None, budget: int | None = None
    ) -> None:
        self._files, self.labels = listed.files, listed.labels
        self._colour = colour
        self._size = size
        self._budget = budget
        self._lock = threading.Lock()
        self._cache: Cache | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of one record's label: () or (K,)."""
        return self.labels.shape[1:]

    def image(self, row: int) -> Picture | Array:
        """One image, C×H×W.

        Raises:
            DataError: its file cannot be read or decoded; names it and its line.
        """
        image = self._files.decode(row, self._files.bytes_of(row), self._colour)
        return image if self._size is None else resize(pixels_of(image), *self._size)

    def records(self, rows: Rows) -> Records:
        """The images of these rows and their labels.  Not to be written to.  Several threads may call it at once."""
        labels = self.labels[rows]
        kept = self._cache.get(rows) if self._cache is not None else None
        if kept is not None:
            return Records(kept, labels)
        images = [self.image(row) for row in rows.tolist()]
        with self._lock:
            if self._cache is None:
                self._cache = Cache(len(self), images[0], self._budget)
        return Records(self._cache.keep(rows, images), labels)

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        """A fault of one image, which names its file and line: `message` goes on after the name."""
        return self._files.fault(row, message, help)
