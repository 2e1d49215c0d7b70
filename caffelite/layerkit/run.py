"""What a layer is told about the pass it computes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runtime import seeds
from ..runtime.torch_later import torch


@dataclass(slots=True)
class Run:
    """One net's circumstances: the device, the run's seed, and how many forwards came before this one.

    `position` counts the forwards of this net since the run began, over stops and resumes, so that (seed, layer,
    position) names every random draw.  In a pass that is `repeating` an earlier one, to find out about it, a layer does
    to the world outside nothing of what it did then.
    """

    device: torch.device
    seed: int
    position: int = 0
    repeating: bool = False

    def generator(self, layer: str, salt: str = "") -> torch.Generator:
        """A torch generator on the net's device for this layer at this position."""
        return torch.Generator(self.device).manual_seed(seeds.derive(self.seed, layer, salt, self.position))

    def numpy_generator(self, layer: str, salt: str = "") -> np.random.Generator:
        """A NumPy generator for this layer at this position."""
        return seeds.generator(self.seed, layer, salt, self.position)
