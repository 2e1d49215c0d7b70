"""Formulas of an Expression layer, worked out with tensors and differentiated by autograd."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..layerkit.formula import Step

_WITH_NUMBERS: dict[str, Callable[..., Tensor]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "pow": operator.pow,
    "negative": operator.neg,
}
"""Those that take numbers as they are."""
_YES_OR_NO: dict[str, Callable[..., Tensor]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
}
_OTHERS: dict[str, Callable[..., Tensor]] = {
    "//": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "%": torch.remainder,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softplus": torch.nn.functional.softplus,
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "clip": torch.clamp,
    "min": torch.minimum,
    "max": torch.maximum,
}
_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "min": torch.amin,
    "max": torch.amax,
}


def evaluate(steps: Sequence[Step], bottoms: Sequence[Tensor]) -> Tensor:
    """What a formula gives for these bottoms, of which there is at least one; in their precision."""
    stack: list[Tensor | float] = []
    like = bottoms[0]
    for step in steps:
        operands = stack[len(stack) - step.takes :]
        del stack[len(stack) - step.takes :]
        if step.name == "blob":
            stack.append(bottoms[int(step.value)])
        elif step.name == "number":
            stack.append(step.value)
        elif step.name in _WITH_NUMBERS:
            stack.append(_WITH_NUMBERS[step.name](*operands))
        else:
            stack.append(_of_tensors(step, [_tensor(operand, like) for operand in operands]))
    return _tensor(stack[0], like)


def _tensor(value: Tensor | float, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_full((), value)


def _of_tensors(step: Step, operands: Sequence[Tensor]) -> Tensor:
    if step.reduces:
        axes = tuple(range(operands[0].dim())) if step.axes is None else step.axes
        return _REDUCTIONS[step.name](operands[0], axes, keepdim=step.keep)
    if step.name in _YES_OR_NO:
        return _YES_OR_NO[step.name](*operands).to(operands[0].dtype)
    return _OTHERS[step.name](*operands)
