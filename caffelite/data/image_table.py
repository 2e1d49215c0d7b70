"""The images of a list by row."""

from __future__ import annotations

from ..errors import Fault
from .cache import Array, Images
from .image import Colour, Picture, pixels_of
from .image_files import Labelled
from .label_counts import LabelCounts, count_labels
from .lazily import Lazily
from .order import Rows
from .resize import resize
from .table import Table


class ImageTable(Table):
    """The images and labels of a list.

    Args:
        listed: the list.
        colour: "colour" (three channels: blue, green, red) or "gray".
        size: height and width that every image is resized to; None keeps its own.
        budget: the most bytes to keep decoded; None: what there is room for.
    """

    def __init__(
        self, listed: Labelled, colour: Colour, size: tuple[int, int] | None = None, budget: int | None = None
    ) -> None:
        super().__init__(listed.labels, budget)
        self._files = listed.files
        self._colour = colour
        self._size = size

    def first(self) -> Picture | Array:
        return self._image(0)

    def _image(self, row: int) -> Picture | Array:
        image = self._files.decode(row, self._files.bytes_of(row), self._colour)
        return image if self._size is None else resize(pixels_of(image), *self._size)

    def _read(self, rows: Rows) -> Images:
        numbers = rows.tolist()
        return Lazily(len(numbers), lambda index: self._image(numbers[index]))

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        """Names the image's file and its line in the list."""
        return self._files.fault(row, message, help)

    def label_counts(self) -> LabelCounts:
        return count_labels(self.labels)
