"""ResNet-50 with the stride in the first 1×1 convolution of a stage, as models/resnet50 has it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (3, 64), (4, 128), (6, 256), (3, 512)
"""Blocks of each stage, and the filters of their 3×3 convolutions: Table 1 of the paper."""


def convolved(count: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution without biases, and BatchNorm."""
    convolution = nn.Conv2d(count, filters, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class Block(nn.Module):
    """Its input plus what three convolutions make of it."""

    def __init__(self, count: int, filters: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.branch1 = convolved(count, 4 * filters, 1, stride) if shortcut else nn.Identity()
        self.branch2a = convolved(count, filters, 1, stride)
        self.branch2b = convolved(filters, filters, 3)
        self.branch2c = convolved(filters, 4 * filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.branch2a(x), inplace=True)
        y = self.branch2c(F.relu(self.branch2b(y), inplace=True))
        return F.relu(self.branch1(x) + y, inplace=True)


class ResNet50(nn.Module):
    """N×3×224×224 → N×1000."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolved(3, 64, 7, 2)
        blocks, count = [], 64
        for stage, (number, filters) in enumerate(STAGES):
            for index in range(number):
                blocks.append(Block(count, filters, 2 if stage and not index else 1, index == 0))
                count = 4 * filters
        self.blocks, self.fc = nn.Sequential(*blocks), nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2, ceil_mode=True)
        return self.fc(self.blocks(x).mean((2, 3)))
