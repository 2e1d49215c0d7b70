"""How often each label occurs, as a few lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .items import number

_MOST_CLASSES = 20
_MOST_NUMBERS = 10
_LONGEST_NAME = 24
_BAR = 40


@dataclass(slots=True)
class LabelTally:
    """Labels of records, as far as they are added.

    Attributes:
        counts: of records with one label, how many there are of each.
        missing: records without a label.
        low, high: of records with several numbers, the range of each number.
        names: what labels 0, 1, … are called, where that is known.
    """

    counts: Counter[float] = field(default_factory=Counter)
    missing: int = 0
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    names: Sequence[str] = ()

    def add(self, rows: NDArray[Any]) -> None:
        """The labels of M ≥ 1 records more, M×K."""
        if rows.shape[1] == 1:
            values, counts = np.unique(rows, return_counts=True)
            self.counts.update(dict(zip(map(number, values), counts.tolist(), strict=True)))
            return
        low, high = rows.min(axis=0), rows.max(axis=0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def lines(self) -> Iterator[str]:
        """A histogram; of many classes only the rarest and the most frequent, of several numbers their ranges."""
        if self.low is not None and self.high is not None:
            yield from self._ranges(self.low, self.high)
            return
        counts = sorted(self.counts.items())
        yield f"labels   {len(counts)} different, {counts[0][0]} … {counts[-1][0]}" if counts else "labels   none"
        if self.missing:
            yield f"         without a label: {self.missing}; a Data layer reads 0 there"
        yield from self._rarest(counts) if len(counts) > _MOST_CLASSES else self._bars(counts)

    def _ranges(self, low: NDArray[Any], high: NDArray[Any]) -> Iterator[str]:
        yield f"labels   {len(low)} numbers a record"
        for index, (least, most) in enumerate(zip(low[:_MOST_NUMBERS], high, strict=False)):
            yield f"  {index:>5}  {number(least)} … {number(most)}"
        if len(low) > _MOST_NUMBERS:
            yield f"         and {len(low) - _MOST_NUMBERS} more"

    def _rarest(self, counts: Sequence[tuple[float, int]]) -> Iterator[str]:
        (few, least), (many, most) = (choose(counts, key=lambda one: one[1]) for choose in (min, max))
        if least == most:
            yield f"         of each {most}"
        else:
            rarest, frequent = f"{few} {self._name(few)}".strip(), f"{many} {self._name(many)}".strip()
            yield f"         rarest {rarest} ({least}), most frequent {frequent} ({most})"

    def _bars(self, counts: Sequence[tuple[float, int]]) -> Iterator[str]:
        most = max((count for _, count in counts), default=1)
        total = self.counts.total() + self.missing
        width = max((len(self._name(label)) for label, _ in counts), default=0)
        for label, count in counts:
            bar = "#" * round(_BAR * count / most)
            called = f"{label:>5} {self._name(label):<{width}}"
            yield f"  {called} {count:>8}  {100 * count / total:5.1f} %  {bar}".rstrip()

    def _name(self, label: float) -> str:
        return self.names[int(label)][:_LONGEST_NAME] if label in range(len(self.names)) else ""
