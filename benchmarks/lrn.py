"""LRN across channels at AlexNet's shapes: caffelite's against torch's, forward and backward, in both memory orders.

    python -m benchmarks.lrn

Before anything is timed the two are compared: values and gradients agree to 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from caffelite.ops.lrn import across_channels

from .harness import compare
from .report import machine, show

SHAPES = {"norm1 96x55x55 at batch 10": (10, 96, 55, 55), "norm2 256x27x27 at batch 10": (10, 256, 27, 27)}
SETTINGS = (5, 1e-4, 0.75, 1.0)
"""AlexNet's local_size, alpha, beta and k."""
Norm = Callable[[torch.Tensor], torch.Tensor]


def caffelites(x: torch.Tensor) -> torch.Tensor:
    return across_channels(x, *SETTINGS)


def torchs(x: torch.Tensor) -> torch.Tensor:
    return F.local_response_norm(x, *SETTINGS)


def step(norm: Norm, x: torch.Tensor, above: torch.Tensor) -> Callable[[int], None]:
    """Forward and backward of one layer."""

    def run(iterations: int) -> None:
        for _ in range(iterations):
            torch.autograd.grad(norm(x), x, above)

    return run


def agree(x: torch.Tensor, above: torch.Tensor) -> None:
    """Compare values and gradients."""
    ours, theirs = caffelites(x), torchs(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(y, x, above)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    generator = torch.Generator().manual_seed(1)
    for order, layout in (("channels_last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        for name, shape in SHAPES.items():
            x, above = (torch.randn(shape, generator=generator).contiguous(memory_format=layout) for _ in range(2))
            x.requires_grad_()
            agree(x, above)
            contenders = {"caffelite": step(caffelites, x, above), "torch": step(torchs, x, above)}
            show(compare(f"LRN {name}, {order}", contenders))


if __name__ == "__main__":
    main()
