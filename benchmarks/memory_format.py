"""Memory order of 4-d values and weights: channels_last against torch's default, for LeNet's layers and a whole net.

    python -m benchmarks.memory_format

This is what `caffelite.runtime.device.channels_last` stands on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .harness import compare
from .report import machine, show

SHAPES = {
    "conv1 1-20 5x5 at batch 64": ("conv", (64, 1, 28, 28), (20, 1, 5, 5)),
    "conv2 20-50 5x5 at batch 64": ("conv", (64, 20, 12, 12), (50, 20, 5, 5)),
    "conv2 20-50 5x5 at batch 10": ("conv", (10, 20, 12, 12), (50, 20, 5, 5)),
    "pool1 2x2 at batch 64": ("pool", (64, 20, 24, 24), None),
    "pool2 2x2 at batch 64": ("pool", (64, 50, 8, 8), None),
}


def step(
    kind: str, shape: tuple[int, ...], weight: tuple[int, ...] | None, layout: torch.memory_format
) -> Callable[[int], None]:
    """Forward and backward of one layer in a memory order."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator).contiguous(memory_format=layout).requires_grad_(shape[1] > 1)
    w = torch.randn(weight or (1,) * 4, generator=generator).contiguous(memory_format=layout).requires_grad_()

    def run(iterations: int) -> None:
        for _ in range(iterations):
            y = F.conv2d(x, w) if kind == "conv" else F.max_pool2d(x, 2)
            y.backward(torch.ones_like(y))
            x.grad = w.grad = None

    return run


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    for name, (kind, shape, weight) in SHAPES.items():
        orders = {
            order: step(kind, shape, weight, layout)
            for order, layout in (("channels_last", torch.channels_last), ("contiguous", torch.contiguous_format))
        }
        show(compare(name, orders))


if __name__ == "__main__":
    main()
