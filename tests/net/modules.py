"""Small nets as torch modules, and one of them written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import caffelite
from caffelite.net.module import NetModule
from caffelite.proto import TRAIN

from ..nets import net_of


def inputs(**shapes: tuple[int, ...]) -> str:
    return "\n".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {' '.join(f'dim: {size}' for size in shape)} }} }} }}"
        for name, shape in shapes.items()
    )


GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'


def dense(name: str, bottom: str, top: str, size: int, more: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"inner_product_param {{ num_output: {size} {GAUSSIAN} }} {more} }}\n"
    )


SMALL = (
    inputs(data=(2, 3, 6, 6))
    + f"""
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 {GAUSSIAN} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
"""
    + dense("ip", "pool", "ip", 5)
)
CLASSIFIER = (
    inputs(data=(2, 3, 6, 6), label=(2,))
    + SMALL[SMALL.index("\n") :]
    + """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 0.5 }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
"""
)

NORM = (
    inputs(x=(4, 3, 5, 5))
    + """
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { moving_average_fraction: 0.9 %s } }
layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }
"""
)


def module_of(text: str, phase: int = TRAIN, **options: Any) -> NetModule:
    return NetModule(net_of(text, phase, **options))


def images(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


class Written(nn.Module):
    """The net SMALL by hand, with the weights of a module."""

    def __init__(self, like: NetModule) -> None:
        super().__init__()
        self.conv, self.ip = nn.Conv2d(3, 4, 3), nn.Linear(16, 5)
        self.load_state_dict(like.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ip(F.avg_pool2d(F.relu(self.conv(x)), 2).flatten(1))


class Noted(caffelite.TorchLayer):
    def setup(self, x):
        self.part = nn.Linear(x[1], 2)
        self.norm = nn.BatchNorm1d(2, momentum=1.0)

    def forward(self, x):
        return self.norm(self.part(x)) + self.phase


def python(cls: type, top: str) -> str:
    return (
        f'layer {{ name: "{top}" type: "Python" bottom: "x" top: "{top}" '
        f'python_param {{ module: "{cls.__module__}" layer: "{cls.__name__}" }} }}\n'
    )
