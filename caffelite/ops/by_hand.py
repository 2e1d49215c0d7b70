"""Tensors that pass through code autograd does not see, with a backward written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function

Forward = Callable[..., Sequence[Tensor]]
"""(tensors) → at least one new tensor."""
Backward = Callable[[Tensor, Sequence[Tensor], Sequence[bool]], Sequence["Tensor | None"]]
"""(the first result as it is now, gradients of all results, which tensors need one) → gradients of the tensors."""


class _ByHand(Function):
    @staticmethod
    def forward(ctx: Any, forward: Forward, backward: Backward, *tensors: Tensor) -> tuple[Tensor, ...]:
        results = tuple(forward(*tensors))
        ctx.by_hand = backward
        ctx.save_for_backward(results[0])
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, None, *ctx.by_hand(ctx.saved_tensors[0], gradients, ctx.needs_input_grad[2:])


def differentiable(forward: Forward, backward: Backward, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """What `forward` makes of the tensors; where autograd comes back here, it asks `backward`."""
    results: tuple[Tensor, ...] = _ByHand.apply(forward, backward, *tensors)
    return results
