"""Where the batches of a case come from: a database, tensors that are ready, or sequences."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from caffelite.tools import digits, mnist
from caffelite.tools.writers import write_images

from .report import REPO

Batches = list[tuple[Tensor, Tensor]]
"""Images (or sequences) and labels, ready in memory."""


class Source(ABC):
    """Batches as layers of a prototxt, and the same as tensors."""

    @abstractmethod
    def prepare(self, folder: Path, batch: int) -> None:
        """Make the files that the layers need."""

    @abstractmethod
    def layers(self, folder: Path, batch: int, *, original: bool) -> str:
        """The prototxt of the layers; `original`: for the binary, which nobody can hand tensors to."""

    @abstractmethod
    def batches(self, net: Any, batch: int) -> Batches:
        """The first batches that a net reads; it begins with them all the same."""

    def fill(self, net: Any, batch: int) -> None:  # noqa: B027
        """Hand a net what its layers do not read themselves."""


def mnist_databases(folder: Path) -> tuple[Path, Path]:
    """MNIST's for training and testing; the small digits' where MNIST cannot be had."""
    ready = REPO / "data" / "mnist"
    if (ready / "mnist_train_lmdb").exists():
        return ready / "mnist_train_lmdb", ready / "mnist_test_lmdb"
    with contextlib.suppress(Exception):
        mnist.build(folder)
        return folder / "mnist_train_lmdb", folder / "mnist_test_lmdb"
    train, test = (Path(made["path"]) for made in digits.build(folder)["databases"].values())
    return train, test


def noise_databases(folder: Path) -> tuple[Path, Path]:
    """Small coloured images of nothing, the same for training and testing."""
    chance, path = np.random.default_rng(1), folder / "noise_lmdb"
    if not path.exists():
        images = chance.integers(0, 256, (10000, 3, 32, 32), dtype=np.uint8)
        write_images(path, images, [int(label) for label in chance.integers(0, 10, len(images))])
    return path, path


@dataclass(frozen=True)
class Database(Source):
    """LMDBs of images, read by Data layers with a transformation."""

    made: Callable[[Path], tuple[Path, Path]]
    transformed: str

    def prepare(self, folder: Path, batch: int) -> None:
        self.made(folder)

    def layers(self, folder: Path, batch: int, *, original: bool) -> str:
        return "".join(
            f'layer {{ name: "images" type: "Data" top: "data" top: "label" include {{ phase: {phase} }} '
            f"transform_param {{ {self.transformed} }} "
            f'data_param {{ source: "{path}" batch_size: {batch} backend: LMDB }} }}\n'
            for phase, path in zip(("TRAIN", "TEST"), self.made(folder), strict=True)
        )

    def batches(self, net: Any, batch: int) -> Batches:
        layer = next(layer for _, layer in net.sources())
        before, found = layer.consumed, []
        for _ in range(100):
            images, labels = layer.forward(net.run, (), ())
            found.append((images.clone(memory_format=torch.contiguous_format), labels.long()))
        layer.consumed = before
        return found


@dataclass(frozen=True)
class Ready(Source):
    """One batch of images of chance and their labels: in Input layers here, in an HDF5 file for the original."""

    shape: tuple[int, ...]
    classes: int = 1000

    def _arrays(self, batch: int) -> dict[str, np.ndarray]:
        chance = np.random.default_rng(1)
        images = chance.normal(0, 50, (batch, *self.shape)).astype(np.float32)
        return {"data": images, "label": chance.integers(0, self.classes, batch).astype(np.float32)}

    def prepare(self, folder: Path, batch: int) -> None:
        _write_hdf5(folder, self._arrays(batch))

    def layers(self, folder: Path, batch: int, *, original: bool) -> str:
        if original:
            return _hdf5_layer(folder, ("data", "label"), batch)
        dims = " ".join(f"dim: {size}" for size in (batch, *self.shape))
        shapes = f"shape {{ {dims} }} shape {{ dim: {batch} }}"
        return f'layer {{ name: "ready" type: "Input" top: "data" top: "label" input_param {{ {shapes} }} }}\n'

    def fill(self, net: Any, batch: int) -> None:
        for name, array in self._arrays(batch).items():
            net.blobs[name].data[...] = array

    def batches(self, net: Any, batch: int) -> Batches:
        arrays = self._arrays(batch)
        return [(torch.from_numpy(arrays["data"]), torch.from_numpy(arrays["label"]).long())]


@dataclass(frozen=True)
class Sequences(Source):
    """Batches of sequences of chance, steps × sequences × inputs, and a label a step, in an HDF5 file."""

    steps: int
    inputs: int
    classes: int
    count: int = 4
    """How many batches there are."""

    def _arrays(self, batch: int) -> dict[str, np.ndarray]:
        chance, rows = np.random.default_rng(1), self.count * self.steps
        goes_on = np.ones((rows, batch), np.float32)
        goes_on[:: self.steps] = 0
        return {
            "data": chance.normal(0, 1, (rows, batch, self.inputs)).astype(np.float32),
            "cont": goes_on,
            "label": chance.integers(0, self.classes, (rows, batch)).astype(np.float32),
        }

    def prepare(self, folder: Path, batch: int) -> None:
        _write_hdf5(folder, self._arrays(batch))

    def layers(self, folder: Path, batch: int, *, original: bool) -> str:
        return _hdf5_layer(folder, ("data", "cont", "label"), self.steps)

    def batches(self, net: Any, batch: int) -> Batches:
        arrays = self._arrays(batch)
        pairs = (np.split(arrays[name], self.count) for name in ("data", "label"))
        return [(torch.from_numpy(x.copy()), torch.from_numpy(y.copy()).long()) for x, y in zip(*pairs, strict=True)]


def _write_hdf5(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(folder / "batch.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    (folder / "batch.txt").write_text(f"{folder}/batch.h5\n", encoding="utf-8")


def _hdf5_layer(folder: Path, tops: tuple[str, ...], rows: int) -> str:
    named = " ".join(f'top: "{top}"' for top in tops)
    settings = f'hdf5_data_param {{ source: "{folder}/batch.txt" batch_size: {rows} }}'
    return f'layer {{ name: "ready" type: "HDF5Data" {named} {settings} }}\n'


def endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, again and again."""
    while True:
        yield from batches
