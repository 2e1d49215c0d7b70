"""Rows of operators put into one another: work on results as soon as they are there, while caches still hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from .recording import Given, Made, Number, Operator, Row


@dataclass(frozen=True, slots=True)
class Insertion:
    """What is to be put into a row.

    Attributes:
        row: it.
        given: what its inputs are in the other row.
        number: what its first number is there.
    """

    row: Row
    given: Sequence[Given | Made]
    number: int


def spliced(row: Row, insertions: Sequence[Insertion]) -> Row:
    """A row with others put in, each as soon as all that it is given is there, and nobody reads that any more, or what
    shares its memory."""
    behind: dict[int, list[Operator]] = {}
    fresh = 1 + max((made.number for operator in row.operators for made in operator.results), default=-1)
    for insertion in insertions:
        names: dict[Any, Any] = {Given(index): value for index, value in enumerate(insertion.given)}
        for made in chain.from_iterable(operator.results for operator in insertion.row.operators):
            names[made] = Made(fresh)
            fresh += 1
        place = _last_use(row, insertion.given)
        behind.setdefault(place, []).extend(
            _renamed(operator, names, insertion.number) for operator in insertion.row.operators
        )
    operators = behind.get(-1, [])
    for index, operator in enumerate(row.operators):
        operators += [operator, *behind.get(index, ())]
    return replace(row, operators=tuple(operators))


def _last_use(row: Row, values: Sequence[Given | Made]) -> int:
    """The last operator that makes or reads one of these values, or one in the same memory; −1 if there is none."""
    alike, last = set[Any](values), -1
    for index, operator in enumerate(row.operators):
        reads = any(value in alike for value in operator.values() if isinstance(value, Given | Made))
        if reads and any(result.alias_info is not None for result in operator.overload._schema.returns):
            alike.update(operator.results)
        if reads or not alike.isdisjoint(operator.results):
            last = index
    return last


def _renamed(operator: Operator, names: dict[Any, Any], number: int) -> Operator:
    def name(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(name(one) for one in value)
        return Number(value.number + number) if isinstance(value, Number) else names.get(value, value)

    results = tuple(names[made] for made in operator.results)
    return replace(operator, arguments=tuple(name(value) for value in operator.arguments), results=results)
