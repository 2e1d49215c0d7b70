"""GoogLeNet with its two classifiers in the middle, as models/googlenet has it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .small import QuickNorm

INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
"""Channels in, then 1×1, 3×3 reduced, 3×3, 5×5 reduced, 5×5, pooled: Table 1 of the paper."""


class Inception(nn.Module):
    """Four ways side by side."""

    def __init__(self, count: int, one: int, few3: int, three: int, few5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(count, one, 1)
        self.few3, self.three = nn.Conv2d(count, few3, 1), nn.Conv2d(few3, three, 3, padding=1)
        self.few5, self.five = nn.Conv2d(count, few5, 1), nn.Conv2d(few5, five, 5, padding=2)
        self.pooled = nn.Conv2d(count, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        ways = (
            self.one(x),
            self.three(F.relu(self.few3(x), inplace=True)),
            self.five(F.relu(self.few5(x), inplace=True)),
            self.pooled(F.max_pool2d(x, 3, 1, padding=1)),
        )
        return torch.cat([F.relu(way, inplace=True) for way in ways], 1)


class Auxiliary(nn.Module):
    """A classifier in the middle of the net."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.conv, self.fc, self.drop = nn.Conv2d(count, 128, 1), nn.Linear(2048, 1024), nn.Dropout(0.7)
        self.classifier = nn.Linear(1024, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(F.avg_pool2d(x, 5, 3, ceil_mode=True)), inplace=True)
        return self.classifier(self.drop(F.relu(self.fc(x.flatten(1)), inplace=True)))


class GoogLeNet(nn.Module):
    """N×3×224×224 → the scores of the three classifiers, N×1000 each, in the order of the net."""

    def __init__(self, norm: Callable[[int, float, float], nn.Module] = nn.LocalResponseNorm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        self.few2, self.conv2 = nn.Conv2d(64, 64, 1), nn.Conv2d(64, 192, 3, padding=1)
        self.norm = norm(5, 1e-4, 0.75)
        self.stage3 = nn.Sequential(Inception(*INCEPTION["3a"]), Inception(*INCEPTION["3b"]))
        self.stage4a, self.loss1 = Inception(*INCEPTION["4a"]), Auxiliary(512)
        self.stage4d = nn.Sequential(*(Inception(*INCEPTION[name]) for name in ("4b", "4c", "4d")))
        self.loss2 = Auxiliary(528)
        self.stage4e = Inception(*INCEPTION["4e"])
        self.stage5 = nn.Sequential(Inception(*INCEPTION["5a"]), Inception(*INCEPTION["5b"]))
        self.drop, self.loss3 = nn.Dropout(0.4), nn.Linear(1024, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.norm(F.max_pool2d(F.relu(self.conv1(x), inplace=True), 3, 2, ceil_mode=True))
        x = F.relu(self.conv2(F.relu(self.few2(x), inplace=True)), inplace=True)
        x = F.max_pool2d(self.norm(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.stage3(x), 3, 2, ceil_mode=True)
        x = self.stage4a(x)
        first = self.loss1(x)
        x = self.stage4d(x)
        second = self.loss2(x)
        x = F.max_pool2d(self.stage4e(x), 3, 2, ceil_mode=True)
        return first, second, self.loss3(self.drop(self.stage5(x).mean((2, 3))))


def quick_googlenet() -> nn.Module:
    """The same with LRN written by hand."""
    return GoogLeNet(QuickNorm)


def three_losses(scores: tuple[Tensor, Tensor, Tensor], labels: Tensor) -> Tensor:
    """The last, and 0.3 of each of the two in the middle."""
    first, second, last = (F.cross_entropy(one, labels) for one in scores)
    return last + 0.3 * (first + second)
