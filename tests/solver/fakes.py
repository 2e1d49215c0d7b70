"""A net without layers, and settings in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from caffelite.layerkit import Run
from caffelite.net import Net
from caffelite.proto import LayerParameter, SolverParameter
from caffelite.snapshot import read_weights
from caffelite.solver import Settings


def settings(file: str | None = None, **fields: Any) -> Settings:
    """Settings of a plain solver, with these fields."""
    defaults: dict[str, Any] = {"net": "net.prototxt", "base_lr": 0.5, "lr_policy": "fixed", "max_iter": 10}
    if {"train_net", "net_param", "train_net_param"} & set(fields):
        del defaults["net"]
    return Settings.from_message(SolverParameter(**(defaults | fields)), file=file)


class FakeParameter:
    """What a solver sees of a parameter."""

    def __init__(self, values: Any, lr_mult: float = 1.0, decay_mult: float = 1.0, slot: int = 0) -> None:
        self.layer, self.slot, self.name = "ip", slot, f"ip/{slot}"
        self.tensor = torch.as_tensor(values).clone().requires_grad_(True)
        self.lr_mult, self.decay_mult = lr_mult, decay_mult
        self.update: Callable[[], torch.Tensor] | None = None

    @property
    def memory(self) -> int:
        return id(self)

    @property
    def grad(self) -> torch.Tensor | None:
        return self.tensor.grad

    @grad.setter
    def grad(self, value: torch.Tensor | None) -> None:
        self.tensor.grad = value
        self.update = None

    @property
    def values(self) -> np.ndarray:
        return self.tensor.detach().numpy().copy()

    @property
    def diff(self) -> np.ndarray:
        """What the original's diff would hold."""
        if self.update is not None:
            return self.update().numpy()
        return np.zeros(self.tensor.shape) if self.grad is None else self.grad.numpy().copy()


class FakeNet:
    """A net whose k-th forward has loss `losses(k)` and whose gradient is always 1.

    Attributes:
        seen: what was called, in order: "forward" or "both", and the value of debug_info at the time.
    """

    name = "tiny"

    def __init__(
        self,
        losses: Callable[[int], float] = lambda k: float(k),
        outputs: Sequence[tuple[str, float]] = (("loss", 1.0),),
        parameters: Iterable[FakeParameter] | None = None,
    ) -> None:
        self.losses, self._outputs = losses, outputs
        self.parameters = list(parameters or [FakeParameter(np.zeros((2, 3), np.float32))])
        self.debug_info = False
        self.run, self.graph, self.rows = Run(torch.device("cpu"), 0), SimpleNamespace(nodes=()), ()
        self.batches = 0
        self.seen: list[tuple[str, bool]] = []

    def _run(self, what: str) -> torch.Tensor:
        self.seen.append((what, self.debug_info))
        self.loss = self.losses(self.batches)
        self.batches += 1
        return torch.tensor(self.loss, dtype=torch.float32)

    def forward(self) -> torch.Tensor:
        return self._run("forward")

    def forward_backward(self) -> torch.Tensor:
        for parameter in self.parameters:
            ones = torch.ones_like(parameter.tensor, requires_grad=False)
            parameter.grad = ones if parameter.grad is None else parameter.grad + ones
        return self._run("both")

    def ahead(self, most: int) -> int:
        return 1

    def forwards(self, count: int) -> list[list[torch.Tensor]]:
        return [[self.forward(), *(torch.tensor([self.loss]) for _ in self._outputs)]]

    def named_outputs(self) -> list[tuple[str, float]]:
        return list(self._outputs)

    def output_values(self) -> list[tuple[str, float, list[float]]]:
        return [(name, weight, [self.loss]) for name, weight in self._outputs]

    def clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def unseen(self) -> None: ...

    def pull(self) -> None: ...

    def push(self) -> None: ...

    def close(self) -> None: ...

    save = Net.save

    def arrays(self, diff: bool = False) -> list[tuple[Any, list[np.ndarray], list[np.ndarray]]]:
        diffs = [parameter.diff for parameter in self.parameters] if diff else []
        return [(LayerParameter(name="ip", type="InnerProduct"), [p.values for p in self.parameters], diffs)]

    def load_weights(self, path: str) -> None:
        (layer,) = read_weights(path).layers
        for parameter, values in zip(self.parameters, layer.blobs, strict=True):
            with torch.no_grad():
                parameter.tensor.copy_(torch.from_numpy(np.array(values)))
