"""What a case computes: a net as prototxt and as torch modules, its batches, and how it learns."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from google.protobuf import text_format
from torch import Tensor, nn

from caffelite import assembly, prototxt
from caffelite.logs import GlogText
from caffelite.net import Net
from caffelite.proto import TRAIN, NetParameter, SolverParameter
from caffelite.solver import Solver

from .sources import Source

SEED = 1
DISPLAY = 100
"""Iterations from one line of the log to the next, as the solvers in models/mnist have it."""


@dataclass(frozen=True)
class Work:
    """A net, its data, and its solver.

    Attributes:
        net: the prototxt whose source layers `source` replaces.
        model: the same as one would write it in PyTorch.
        tuned: the same as one would write it for speed, where that is something else.
        criterion: the loss, of what the model gives and labels.
        tops: accuracies that a test looks at besides the loss: among how many first classes.
        rate, momentum, decay: SGD's; rates stay as they are.
        biases: what a bias's rate and decay are multiplied by.
        images: layers keep them as such, so that their memory order matters.
        alike: in how many iterations losses are to agree, and how well; rounding grows with both depth and time.
        device, precision: where it is computed, and in what (the solver's `precision`).
    """

    net: Path
    source: Source
    batch: int
    model: Callable[[], nn.Module]
    tuned: Callable[[], nn.Module] | None = None
    criterion: Callable[[Any, Tensor], Tensor] = F.cross_entropy
    tops: Sequence[int] = (1,)
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0005
    biases: tuple[float, float] = (1.0, 1.0)
    images: bool = True
    alike: tuple[int, float] = (10, 1e-4)
    device: str = "cpu"
    precision: str = "FLOAT32"

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def arithmetic(self) -> None:
        """Let torch compute by hand with what this precision allows, from now on."""
        matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
        matrices.allow_tf32 = convolutions.allow_tf32 = self.precision != "FLOAT32"

    def rounding(self) -> AbstractContextManager[object]:
        """Where a loop computes by hand in this precision."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "BF16")

    def optimizer(self, model: nn.Module, **options: Any) -> torch.optim.SGD:
        """SGD with the rates of the prototxt."""
        named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        rate, decay = self.biases
        groups: list[dict[str, Any]] = [
            {"params": [weight for name, weight in named if not name.endswith("bias")]},
            {
                "params": [weight for name, weight in named if name.endswith("bias")],
                "lr": rate * self.rate,
                "weight_decay": decay * self.decay,
            },
        ]
        return torch.optim.SGD(groups, lr=self.rate, momentum=self.momentum, weight_decay=self.decay, **options)


@dataclass
class Files:
    """The prototxt files of some work, in a folder, and what they make."""

    work: Work
    folder: Path

    def __post_init__(self) -> None:
        self.work.source.prepare(self.folder, self.work.batch)

    def _new(self, kind: str, text: str) -> Path:
        path = self.folder / f"{kind}_{os.getpid()}_{len(list(self.folder.glob('*.prototxt')))}.prototxt"
        path.write_text(text, encoding="utf-8")
        return path

    def net(self, *, original: bool = False, dropout: bool = True, layers: str | None = None) -> Path:
        """The net, with the layers of the source instead of its own; or with `layers`."""
        message = assembly.read_net(self.work.net).message
        rest = [layer for layer in message.layer if layer.bottom]
        if layers is None:
            layers = self.work.source.layers(self.folder, self.work.batch, original=original)
        whole = text_format.Parse(layers, NetParameter(name=message.name))
        whole.layer.extend(rest)
        for layer in whole.layer:
            if layer.type == "Dropout" and not dropout:
                layer.dropout_param.dropout_ratio = 0
        return self._new("net", prototxt.dump(whole))

    def solver(self, net: Path, *, display: int = DISPLAY, max_iter: int = 10**9) -> Path:
        """A solver that does nothing but train."""
        work = self.work
        return self._new(
            "solver",
            f'net: "{net}"\nbase_lr: {work.rate}\nlr_policy: "fixed"\nmomentum: {work.momentum}\n'
            f"weight_decay: {work.decay}\ndisplay: {display}\nmax_iter: {max_iter}\nrandom_seed: {SEED}\n"
            f'snapshot_prefix: "{self.folder}/run"\nsnapshot_after_train: false\n'
            f"solver_mode: {'GPU' if work.on_gpu else 'CPU'}\n"
            f"{'' if work.precision == 'FLOAT32' else f'precision: {work.precision}'}\n",
        )

    def log(self, name: str) -> Any:
        """A stream to log to."""
        return (self.folder / f"{name}.log").open("a", encoding="utf-8")

    def make_solver(self, net: Path) -> Solver:
        """The solver as `caffelite train` makes it, with its checks, its data at hand."""
        solver = assembly.make_solver(assembly.read_solver(self.solver(net)), device=self.device, on_nan="stop")
        solver.sinks.append(GlogText(self.log("caffelite")))
        self.work.source.fill(solver.net, self.work.batch)
        return solver

    def make_net(self, net: Path, phase: int, weights: Sequence[str] = ()) -> Net:
        """The net alone, its data at hand."""
        precision = SolverParameter.Precision.Value(self.work.precision if phase == TRAIN else "FLOAT32")
        made = assembly.load_net(net, phase, weights=weights, device=self.device, seed=SEED, precision=precision)
        self.work.source.fill(made, self.work.batch)
        return made

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return torch.device(self.work.device, 0) if self.work.on_gpu else torch.device("cpu")

    def batches(self, net: Net) -> list[tuple[Tensor, Tensor]]:
        """What a net reads first."""
        there = self.work.source.batches(net, self.work.batch)
        return [(x.to(self.device), labels.to(self.device)) for x, labels in there]
