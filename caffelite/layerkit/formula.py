"""Formulas of an Expression layer as steps for a stack, and the shape they give.

:mod:`.formula_text` makes the steps from text, operands before what is done to them; :func:`shape_of` follows them with
shapes, `ops.formula.evaluate` with tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from ..errors import Place
from ..graph.shapes import LARGEST
from .base import Arity, Shape, at_least, exactly

_UNARY = ("exp", "log", "sqrt", "abs", "sign", "floor", "ceil", "sin", "cos", "tanh", "sigmoid", "relu", "softplus")
FUNCTIONS: dict[str, Arity] = {
    **dict.fromkeys(_UNARY, exactly(1)),
    "pow": exactly(2),
    "where": exactly(3),
    "clip": exactly(3),
    "sum": exactly(1),
    "mean": exactly(1),
    "min": at_least(1),
    "max": at_least(1),
}
"""What a formula can call, and with how many operands; `min` and `max` of one reduce, of several compare."""

REDUCTIONS = frozenset({"sum", "mean", "min", "max"})


class Mistake(Exception):
    """What is wrong with a formula, at which of its characters (counted from 0), and what to do about it."""

    def __init__(self, message: str, column: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.column, self.help = message, column, help


@dataclass(frozen=True, slots=True)
class Step:
    """One step: takes `takes` values from the stack, and puts one on it.

    Attributes:
        name: "number", "blob", an operator, or a function; a reduction takes one value.
        value: the number, or which bottom.
        axes, keep: of a reduction: the axes that go (None: all), and whether they stay with size 1.
        column: where in the formula it stands.
    """

    name: str
    takes: int = 0
    value: float = 0
    axes: tuple[int, ...] | None = None
    keep: bool = False
    column: int = 0

    @property
    def reduces(self) -> bool:
        """Whether it joins the elements of one blob."""
        return self.takes == 1 and self.name in REDUCTIONS


def shape_of(steps: Sequence[Step], bottoms: Sequence[Shape]) -> Shape:
    """The shape a formula gives.

    Raises:
        Mistake: shapes that cannot be lined up, an axis that is not there, or more elements than a blob can hold.
    """
    stack: list[Shape] = []
    for step in steps:
        operands = stack[len(stack) - step.takes :]
        del stack[len(stack) - step.takes :]
        if step.name == "blob":
            shape = bottoms[int(step.value)]
        else:
            shape = _reduced(step, operands[0]) if step.reduces else _lined_up(step, operands)
        if math.prod(shape) > LARGEST:
            raise Mistake(f"would have shape {shape}: more than the {LARGEST:,} values a blob can hold", step.column)
        stack.append(shape)
    return stack[0]


def _lined_up(step: Step, shapes: Sequence[Shape]) -> Shape:
    """The common shape of operands, as NumPy broadcasts them."""
    sizes = []
    for along in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        differing = set(along) - {1}
        if len(differing) > 1:
            listed = " and ".join(map(str, dict.fromkeys(shape for shape in shapes if shape)))
            help = "from the last axis on, sizes must be the same, or 1"
            raise Mistake(f"cannot line up operands of shapes {listed}", step.column, help)
        sizes.append(differing.pop() if differing else 1)
    return tuple(reversed(sizes))


def _reduced(step: Step, shape: Shape) -> Shape:
    axes = range(len(shape)) if step.axes is None else step.axes
    for axis in axes:
        if not -len(shape) <= axis < len(shape):
            raise Mistake(f"axis {axis} is none of a {len(shape)}-d operand of shape {shape}", step.column)
    gone = {axis % len(shape) for axis in axes}
    if len(gone) < len(axes):
        raise Mistake(f"names an axis twice: {list(axes)}", step.column)
    if step.name in ("min", "max") and 0 in (shape[axis] for axis in gone):
        raise Mistake(f"there is no {step.name} of an operand without elements, shape {shape}", step.column)
    kept = ((1 if axis in gone else size, axis) for axis, size in enumerate(shape))
    return tuple(size for size, axis in kept if step.keep or axis not in gone)


def place_in(place: Place | None, text: str, column: int) -> Place | None:
    """The place of a character of a formula, given that of the field; None unless the formula stands there as it is,
    in one line and without escapes."""
    if place is None or place.text is None or place.column is None or not text:
        return None
    for quote in "\"'":
        start = place.text.find(f"{quote}{text}{quote}", place.column - 1)
        if start >= 0:
            return replace(place, column=start + len(quote) + column + 1)
    return None


def shown(text: str, column: int) -> str:
    """The part of a formula around a character, and a caret below it."""
    start = max(0, column - 60)
    return f"    {text[start : start + 100]}\n    {' ' * (column - start)}^"
