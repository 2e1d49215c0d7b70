"""Nets for digits, for CIFAR-10, and for sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def logistic_regression() -> nn.Module:
    """Ten sums of 784 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def mlp() -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


class LeNet(nn.Module):
    """N×1×28×28 → N×10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.ip1, self.ip2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.ip2(F.relu(self.ip1(x.flatten(1))))


class Cifar10Quick(nn.Module):
    """N×3×32×32 → N×10; Caffe's pooling windows may reach over the border."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.ip1, self.ip2 = nn.Linear(1024, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True))
        x = F.avg_pool2d(F.relu(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.avg_pool2d(F.relu(self.conv3(x)), 3, 2, ceil_mode=True)
        return self.ip2(self.ip1(x.flatten(1)))


class Labelling(nn.Module):
    """Sequences T×N×128 → T×N×10."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.ip = nn.LSTM(128, 256), nn.Linear(256, 10)
        nn.init.zeros_(self.lstm.get_parameter("bias_hh_l0"))
        self.lstm.get_parameter("bias_hh_l0").requires_grad_(False)  # Caffe's LSTM has one bias; two would learn twice

    def forward(self, x: Tensor) -> Tensor:
        return self.ip(self.lstm(x)[0])


def loss_of_steps(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean over all steps of all sequences."""
    return F.cross_entropy(scores.flatten(0, 1), labels.flatten())


def correct(scores: Tensor, labels: Tensor, top: int) -> Tensor:
    """How often the true class is among the first `top`."""
    if top == 1:
        return (scores.argmax(1) == labels).float().mean()
    return (scores.topk(top).indices == labels.unsqueeze(1)).any(1).float().mean()


def without_dropout(model: nn.Module) -> nn.Module:
    """The model, leaving nothing out by chance."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def normed(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """LRN across channels, by hand: x / (1 + alpha/size · Σ of the squares of `size` neighbours)^beta, beta 3/4.

    torch's own goes through a three-dimensional average pooling, which is slow on a CPU.
    """
    assert beta == 0.75
    squares = F.pad(x * x, (0, 0, 0, 0, size // 2, size // 2))
    count = x.shape[1]
    total = squares[:, :count]
    for shift in range(1, size):
        total = total + squares[:, shift : shift + count]
    root = torch.rsqrt(total * (alpha / size) + 1)  # to the power of −1/2, and its root of −1/4
    return x * root * root.sqrt()


class QuickNorm(nn.Module):
    """:func:`normed` as a layer."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.settings = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        return normed(x, *self.settings)
