"""Source layers whose records have numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.order import Order, Rows
from ..runtime import seeds
from .fed import FedLayer

WORDS = 4
"""Random 64-bit words of a step of Philox's counter."""


class FedByRows(FedLayer):
    """A layer whose records are the rows of a table, or the lines of a list: they come as they stand there or, every
    epoch, in a new order; and what chance does to one depends on its position in the stream alone."""

    _order: tuple[int, Order, int] | None = None

    @property
    def records(self) -> int:
        raise NotImplementedError

    @property
    def holder(self) -> str:
        """The field of the LayerParameter that holds the settings, `source` among them."""
        return self.source.partition(".")[0]

    @property
    def given(self) -> Any:
        """The settings."""
        return self.settings(self.holder)

    @property
    def batch_size(self) -> int:
        return int(self.given.batch_size)

    @property
    def shuffled(self) -> bool:
        """Whether every epoch has an order of its own."""
        return bool(self.given.shuffle)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that images are resized to, for types with new_height and new_width."""
        return (int(self.given.new_height), int(self.given.new_width)) if self.given.new_height else None

    @property
    def most_skipped(self) -> int:
        """Below how many records are left out at the beginning, by chance; 0: none are."""
        return 0

    def check_both(self, holder: str, *names: str) -> None:
        """Note a fault unless both or neither of two sizes are given in a field of the LayerParameter."""
        values = [int(getattr(self.settings(holder), name)) for name in names]
        message = f"{names[0]}: {values[0]} and {names[1]}: {values[1]} must both be given, or neither"
        self.expect(bool(values[0]) == bool(values[1]), message, f"{holder}.{names[0]}")

    def rows_at(self, seed: int, position: int, batches: int = 1) -> Rows:
        """The numbers of the records in the batch, or so many batches, at a position of the stream."""
        if self._order is None or self._order[0] != seed:
            order, most = Order(self.records, (seed, self.name) if self.shuffled else None), self.most_skipped
            self._order = (seed, order, seeds.derive(seed, self.name, "rand_skip") % most if most else 0)
        _, order, begin = self._order
        return order.rows(position + begin, self.batch_size * batches)

    def words_at(self, seed: int, position: int, what: str, steps: int = 1) -> list[list[int]]:
        """For each record of the batch at a position its random words, WORDS for each of `steps`; `what` they are for
        tells them from others of the layer."""
        generator = np.random.Philox(key=seeds.derive(seed, self.name, what), counter=position * steps)
        words: list[list[int]] = (
            generator.random_raw(self.batch_size * steps * WORDS).reshape(self.batch_size, -1).tolist()
        )
        return words
