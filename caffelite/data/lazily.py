"""Images that are decoded one by one, when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from numpy.typing import NDArray

from .image import Picture

Image = NDArray[Any] | Picture


class Lazily(Sequence[Image]):
    """So many images, of which number i is `image(i)`, made when it is asked for; the last one is remembered.

    A decoded image is dealt with while it is in the processor's cache, and a batch of them is never in memory at once.
    To be used by one thread.
    """

    def __init__(self, count: int, image: Callable[[int], Image]) -> None:
        self._count = count
        self._image = image
        self._last: tuple[int, Image] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        if self._last is None or self._last[0] != index:
            self._last = None  # its memory is there for the next
            self._last = (index, self._image(index))
        return self._last[1]
