"""AlexNet, with groups and with LRN before pooling, as models/alexnet has it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .small import QuickNorm


def alexnet(norm: Callable[[int, float, float], nn.Module] = nn.LocalResponseNorm) -> nn.Module:
    """N×3×227×227 → N×1000."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4),
        nn.ReLU(inplace=True),
        norm(5, 1e-4, 0.75),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        norm(5, 1e-4, 0.75),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(4096, 1000),
    )


def quick_alexnet() -> nn.Module:
    """The same with LRN written by hand."""
    return alexnet(QuickNorm)
