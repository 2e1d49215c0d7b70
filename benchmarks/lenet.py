"""LeNet, training at batch 64: caffelite from its LMDB against hand-written PyTorch on batches ready in memory.

    python -m benchmarks.lenet

caffelite runs as the command line runs it: default display, tests left out, checks on.  Before anything is timed the
two are trained side by side from the same weights on the same batches, and their losses must agree.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from caffelite import assembly
from caffelite.logs import GlogText
from caffelite.solver import Solver
from caffelite.tools import digits, mnist

from .harness import race, report

REPO = Path(__file__).resolve().parents[1]
SOLVER = REPO / "models" / "mnist" / "lenet_solver.prototxt"
BATCH, RATE, MOMENTUM, DECAY = 64, 0.01, 0.9, 0.0005


def database(folder: Path) -> Path:
    """The training LMDB: MNIST's, or the small digits where MNIST cannot be had."""
    ready = REPO / "data" / "mnist" / "mnist_train_lmdb"
    if ready.exists():
        return ready
    with contextlib.suppress(Exception):
        mnist.build(folder)
        return folder / "mnist_train_lmdb"
    return Path(next(iter(digits.build(folder)["databases"].values()))["path"])


def solver_on(source: Path) -> Solver:
    """The LeNet solver of the models folder on this database, logging to nowhere."""
    os.chdir(REPO)
    sets = [f'layer[mnist].data_param.source="{source}"', "random_seed=1", "test_initialization=false"]
    sets += ["test_interval=100000000", "snapshot=0", "max_iter=100000000"]
    solver = assembly.make_solver(assembly.read_solver(SOLVER, sets=sets), on_nan="stop")
    solver.sinks.append(GlogText(io.StringIO()))
    return solver


def batches(solver: Solver) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The first hundred batches, as tensors."""
    data = next(layer for _, layer in solver.net.sources())
    found = []
    for _ in range(100):
        images, labels = data.forward(solver.net.run, (), ())
        found.append((images.clone(), labels.long()))
    data.consumed = 0
    return found


class Plain(nn.Module):
    """LeNet as one would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.ip1, self.ip2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.ip2(F.relu(self.ip1(x.flatten(1))))


def loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: list[tuple[torch.Tensor, torch.Tensor]]
) -> Callable[[int], list[float]]:
    """A training loop that prints its loss every 100 iterations, as caffelite does."""

    def endless() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from data

    stream = endless()

    def run(iterations: int) -> list[float]:
        losses = []
        for iteration in range(iterations):
            images, labels = next(stream)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            if iteration % 100 == 0 or iterations < 100:
                losses.append(loss.item())
        return losses

    return run


def start_equal(model: Plain, solver: Solver) -> None:
    """Give the model the solver's weights."""
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), solver.net.parameters, strict=True):
            mine.copy_(torch.from_numpy(theirs.data))


def grouped(model: nn.Module) -> list[dict[str, object]]:
    """Parameter groups with the biases at twice the rate, as the prototxt has it."""
    named = list(model.named_parameters())
    return [
        {"params": [p for name, p in named if not name.endswith("bias")]},
        {"params": [p for name, p in named if name.endswith("bias")], "lr": 2 * RATE},
    ]


def check(solver: Solver, data: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Ten iterations side by side.

    Raises:
        SystemExit: the losses differ.
    """
    model = Plain()
    start_equal(model, solver)
    run = loop(model, torch.optim.SGD(grouped(model), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY), data)
    theirs, mine = run(10), []
    for _ in range(10):
        solver.step(1)
        mine.append(solver.net.output_values()[0][2][0])
    worst = max(abs(a - b) / b for a, b in zip(mine, theirs, strict=True))
    if worst > 1e-3:
        raise SystemExit(f"the losses differ by up to {worst:.1e}: {mine} and {theirs}")
    print(f"losses of ten iterations agree to {worst:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--block", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write the rates there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        source = database(Path(folder))
        solver = solver_on(source)
        data = batches(solver)
        check(solver, data)
        model, tuned = Plain(), Plain().to(memory_format=torch.channels_last)
        plain = torch.optim.SGD(grouped(model), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
        fused = torch.optim.SGD(grouped(tuned), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
        contenders = {
            "caffelite": solver.step,
            "plain PyTorch": loop(model, plain, data),
            "channels_last, fused SGD": loop(tuned, fused, data),
        }
        result = race("LeNet training batch 64", contenders, block=options.block, rounds=options.rounds, warmup=50)
        report(result, options.json)
        solver.close()


if __name__ == "__main__":
    main()
