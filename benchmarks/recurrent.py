"""Both ways through an LSTM's whole sequences, forward and backward: torch's kernel, and our loop over the steps.

    python -m benchmarks.recurrent

This is what the choice in `caffelite/layers/lstm.py` stands on.  Before anything is timed the two are compared: they
agree to 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from caffelite.ops import recurrent

from .harness import compare
from .report import machine, show

SHAPES = {
    "100 steps of 1 sequence, 16 inputs, 32 outputs": (100, 1, 16, 32),
    "20 steps of 16 sequences, 32 inputs, 64 outputs": (20, 16, 32, 64),
    "50 steps of 32 sequences, 128 inputs, 256 outputs": (50, 32, 128, 256),
    "20 steps of 100 sequences, 1000 inputs, 1000 outputs": (20, 100, 1000, 1000),
}


class Sequences:
    """Sequences that all begin at the first step, and weights."""

    def __init__(self, steps: int, count: int, inputs: int, outputs: int) -> None:
        generator = torch.Generator().manual_seed(1)

        def weight(*shape: int) -> torch.Tensor:
            return (torch.rand(shape, generator=generator) - 0.5).mul_(2 / outputs**0.5).requires_grad_()

        self.x = torch.randn(steps, count, inputs, generator=generator)
        self.weights = weight(4 * outputs, inputs), weight(4 * outputs), weight(4 * outputs, outputs)
        self.cont = torch.ones(steps, count)
        self.cont[0] = 0
        self.start = torch.zeros(count, outputs)

    def kernel(self) -> torch.Tensor:
        begins = recurrent.beginnings(self.cont)
        assert begins is not None
        h, _ = recurrent.lstm_by_sequences(self.x, self.weights, self.cont, begins, self.start, self.start)
        return h

    def loop(self) -> torch.Tensor:
        of_x, bias, of_h = self.weights
        h, _ = recurrent.lstm(F.linear(self.x, of_x, bias), of_h, self.cont, self.start, self.start)
        return h

    def gradients(self, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(h.sum(), self.weights)


def step(sequences: Sequences, way: Callable[[], torch.Tensor]) -> Callable[[int], None]:
    """Forward and backward of one batch."""

    def run(iterations: int) -> None:
        for _ in range(iterations):
            sequences.gradients(way())

    return run


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    for name, shape in SHAPES.items():
        sequences = Sequences(*shape)
        found = [(h, *sequences.gradients(h)) for h in (sequences.kernel(), sequences.loop())]
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
        ways = {"kernel": step(sequences, sequences.kernel), "loop": step(sequences, sequences.loop)}
        show(compare(f"LSTM, {name}", ways))


if __name__ == "__main__":
    main()
