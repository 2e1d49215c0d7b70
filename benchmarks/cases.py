"""The cases, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from .bench import Bench
from .handwritten.alexnet import alexnet, quick_alexnet
from .handwritten.googlenet import GoogLeNet, quick_googlenet, three_losses
from .handwritten.resnet50 import ResNet50
from .handwritten.small import Cifar10Quick, Labelling, LeNet, logistic_regression, loss_of_steps, mlp
from .harness import Result
from .learning import pass_both_ways, train
from .processes import first_iteration, peak_memory
from .report import REPO
from .scoring import test
from .snapshots import snapshot
from .sources import Database, Ready, Sequences, mnist_databases, noise_databases
from .work import Work

MODELS, NETS = REPO / "models", Path(__file__).parent / "nets"
MNIST = Database(mnist_databases, "scale: 0.00390625")
NOISE = Database(noise_databases, "mean_value: 127.5")
SMALL, LARGE = (2.0, 1.0), (2.0, 0.0)
"""Biases learn at twice the rate of weights; those of large nets do not decay."""
DEEP = (4, 1e-3)
"""How many iterations are compared, and how closely: in deep nets rounding turns a few ReLUs on or off."""


def digits(net: str, model: Callable[[], nn.Module], batch: int = 64, images: bool = True) -> Work:
    """A net of models/mnist on its LMDB."""
    return Work(MODELS / "mnist" / f"{net}_train_test.prototxt", MNIST, batch, model, biases=SMALL, images=images)


LOGISTIC, MLP = (
    digits("logistic_regression", logistic_regression, images=False),
    digits("mlp", mlp, images=False),
)
LENET = {batch: digits("lenet", LeNet, batch) for batch in (10, 64, 100, 256)}
CIFAR = Work(NETS / "cifar10_quick.prototxt", NOISE, 100, Cifar10Quick, rate=0.001, decay=0.004, biases=SMALL)
LSTM = Work(
    NETS / "lstm.prototxt", Sequences(50, 128, 10), 32, Labelling, criterion=loss_of_steps, rate=0.5, images=False
)  # fmt: skip
ALEXNET = Work(
    MODELS / "alexnet" / "train_val.prototxt", Ready((3, 227, 227)), 10, alexnet, quick_alexnet,
    rate=0.001, biases=LARGE, alike=DEEP,
)  # fmt: skip
GOOGLENET = Work(
    MODELS / "googlenet" / "train_val.prototxt", Ready((3, 224, 224)), 10, GoogLeNet, quick_googlenet,
    criterion=three_losses, tops=(1, 5), rate=0.001, biases=LARGE, alike=DEEP,
)  # fmt: skip
RESNET = Work(
    MODELS / "resnet50" / "train_val.prototxt", Ready((3, 224, 224)), 8, ResNet50, tops=(1, 5), rate=2e-6, alike=DEEP
)
"""Its gradients are long in the beginning; larger steps would carry rounding into the losses."""


@dataclass(frozen=True)
class Case:
    """Some work, and what of it is measured."""

    title: str
    work: Work
    kind: Callable[[str, Work, Bench, Path], Result]

    def measure(self, bench: Bench, folder: Path) -> Result:
        """Measure it, with files in this folder."""
        return self.kind(f"{self.title}, batch {self.work.batch}", self.work, bench, folder)


CASES = {
    "logistic": Case("Logistic regression, training", LOGISTIC, train),
    "mlp": Case("MLP, training", MLP, train),
    "lenet10": Case("LeNet, training", LENET[10], train),
    "lenet64": Case("LeNet, training", LENET[64], train),
    "lenet256": Case("LeNet, training", LENET[256], train),
    "cifar10": Case("CIFAR-10 quick, training", CIFAR, train),
    "lstm": Case("LSTM, 50 steps, training", LSTM, train),
    "alexnet": Case("AlexNet, forward and backward", ALEXNET, pass_both_ways),
    "googlenet": Case("GoogLeNet, forward and backward", GOOGLENET, pass_both_ways),
    "resnet50": Case("ResNet-50, forward and backward", RESNET, pass_both_ways),
    "lenet-test": Case("LeNet, test", LENET[100], test),
    "googlenet-test": Case("GoogLeNet, test", GOOGLENET, test),
    "resnet50-test": Case("ResNet-50, test", RESNET, test),
    "memory": Case("AlexNet, training, peak memory", ALEXNET, peak_memory),
    "start": Case("LeNet, start to first iteration", LENET[64], first_iteration),
    "snapshot": Case("AlexNet, snapshot", ALEXNET, snapshot),
}
