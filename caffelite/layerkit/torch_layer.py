"""Layers in Python by torch: the base that users derive from, and how a net calls what they write.

This module needs torch when it is imported, as its base class is a torch module; it is imported when a user's class is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from ..errors import LayerError
from ..proto import TRAIN
from ..runtime import seeds
from .base import Layer as Declared
from .base import Shape, WeightSpec
from .user_code import blamed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .run import Run


class TorchLayer(torch.nn.Module):
    """Base of layers written with torch (`caffelite.TorchLayer`), used as

        layer { name: "gate" type: "Python" bottom: "x" bottom: "h" top: "y"
          python_param { module: "gates" layer: "Gate" param_str: "0.5" } }

        class Gate(caffelite.TorchLayer):
            def setup(self, x, h):
                self.fc = torch.nn.Linear(x[1], h[1])
                self.factor = float(self.param_str)

            def forward(self, x, h):
                return torch.sigmoid(self.fc(x)) * h * self.factor

    It is a torch module: its parameters are the layer's learned blobs, in the order of `parameters()`, and behind them
    its floating-point buffers (such as the statistics of BatchNorm), which have no rate.  `forward` gets the bottoms
    and returns the top, or a tuple of several; it must not write into the bottoms.  Gradients are autograd's.

    `setup` gets the shapes of the bottoms.  It runs more than once: first values are those of a fresh instance, under a
    seed that follows from random_seed.  Draws from torch's generators in `forward` follow from it, too.

    Attributes:
        param_str: the text of `python_param { param_str }`.
        phase: `caffelite.TRAIN` or `caffelite.TEST`; `training` says the same.
    """

    param_str: str = ""
    phase: int = 0

    def setup(self, *bottoms: Shape) -> None:
        """Make parameters and submodules."""

    def shapes(self, *bottoms: Shape) -> Sequence[Shape]:
        """The shapes of the tops.  This one tries `forward` on zeros; say them where that is too much work."""
        tops = self(*(torch.zeros(shape) for shape in bottoms))
        return [tuple(top.shape) for top in _several(tops)]


class ByTorch:
    """Calls a user's torch layer as a net wants its layers called.

    Attributes:
        user: an instance of the user's class.
    """

    rereads: Literal[""] = ""

    def __init__(self, layer: Declared, cls: type[TorchLayer]) -> None:
        self.layer, self.cls, self.name = layer, cls, f"{cls.__module__}.{cls.__qualname__}"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        """Make the instance; its buffers are kept from learning."""
        self.bottoms = tuple(bottoms)
        self.user = self._made(0)
        learned = dict(self.user.named_parameters())
        kept = {name: buffer for name, buffer in self.user.named_buffers() if buffer.is_floating_point()}
        self.learned, self.names = len(learned), [*learned, *kept]
        tensors = learned | kept
        self.weights = [
            WeightSpec(tuple(tensor.shape), self._first(name), name, name in learned)
            for name, tensor in tensors.items()
        ]
        self._keep_buffers_from_learning()

    def _made(self, seed: int) -> TorchLayer:
        """A fresh instance, drawn under a seed of its own."""
        with _seeded(seed, torch.device("cpu")):
            with blamed(self.layer, self.name):
                user = self.cls()
            user.param_str = str(self.layer.settings("python_param").param_str)
            user.phase = self.layer.phase
            with blamed(self.layer, f"{self.name}.setup"):
                user.setup(*self.bottoms)
        return user.train(user.phase == TRAIN)

    def enter_phase(self, phase: int) -> None:
        """Let the user's layer compute as in this phase."""
        self.user.phase = phase
        self.user.train(phase == TRAIN)

    def _first(self, name: str) -> Any:
        """A function that draws the first values of one weight."""

        def draw(generator: np.random.Generator) -> np.ndarray:
            fresh = self._made(int(generator.integers(1 << 62)))
            values = dict(fresh.named_parameters()) | dict(fresh.named_buffers())
            return values[name].detach().float().numpy()

        return draw

    def _keep_buffers_from_learning(self) -> None:
        specs = self.layer.param.param
        for slot in range(len(self.names)):
            if slot == len(specs):
                specs.add()
            if slot >= self.learned and not specs[slot].HasField("lr_mult"):
                specs[slot].lr_mult = 0
            held = slot < self.learned or specs[slot].lr_mult == 0
            message = f'lr_mult of "{self.names[slot]}" must be 0: it is a buffer; got {specs[slot].lr_mult:g}'
            self.layer.expect(held, message, f"param[{slot}]")

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """What the user's class says its tops' shapes are."""
        state = {name: tensor.detach().clone() for name, tensor in self._tensors().items()}
        with torch.no_grad(), _seeded(0, torch.device("cpu")), blamed(self.layer, f"{self.name}.shapes"):
            given = {f"user.{name}": tensor for name, tensor in state.items()}
            shapes = functional_call(_Shapes(self.user), given, tuple(bottoms))
            shapes = [tuple(int(size) for size in shape) for shape in shapes]
        self._expect_tops(len(shapes))
        return shapes

    def _tensors(self) -> dict[str, Tensor]:
        return dict(self.user.named_parameters()) | dict(self.user.named_buffers())

    def _expect_tops(self, count: int) -> None:
        wanted = len(self.layer.param.top)
        if count != wanted:
            message = f"{self.name} returns {count} tops, and the layer has {wanted}"
            raise LayerError(self.layer.fault(message, "top[0]" if wanted else ""))

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Its tops, differentiable by autograd."""
        buffers = [buffer.detach() for buffer in weights[self.learned :]]
        given = dict(zip(self.names, [*weights[: self.learned], *buffers], strict=True))
        seed = seeds.derive(run.seed, self.layer.name, run.position)
        with _seeded(seed, run.device), blamed(self.layer, f"{self.name}.forward"):
            tops = _several(functional_call(self.user.to(run.device), given, tuple(bottoms)))
        self._expect_tops(len(tops))
        dtype = bottoms[0].dtype if bottoms else torch.float32
        return [top.to(dtype) for top in tops]


class _Shapes(torch.nn.Module):
    """A user's `shapes` as a call, so that it can be made with other tensors in the place of its own."""

    def __init__(self, user: TorchLayer) -> None:
        super().__init__()
        self.user = user

    def forward(self, *bottoms: Shape) -> Sequence[Shape]:
        return self.user.shapes(*bottoms)


def _several(tops: Any) -> Sequence[Tensor]:
    return (tops,) if isinstance(tops, Tensor) else tuple(tops if tops is not None else ())


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draws from torch's global generators follow from the seed, and leave these as they were."""
    with torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield
