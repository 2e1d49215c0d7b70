"""Runs recorded cases of the original against single layers, without a net.

A case is a small prototxt of Input layers and one or a few others, with the recorded blobs and gradients beside it.
Layers of a type that is not there yet stand in with their recorded tops, so a case about one layer does not wait
for the layers around it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import chdir
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

from caffelite.layerkit import Layer, Run, layers
from caffelite.proto import TEST, TRAIN, LayerParameter, NetParameter
from caffelite.upgrade import upgrade_net

from .. import recorded
from ..recorded import Case, close


def cases(types: Collection[str]) -> list[Case]:
    """The recorded cases that are about these types only."""
    return [case for case in recorded.cases("layers") if set(case.entry["layer_types"]) <= set(types)]


def settings(text: str) -> Any:
    """A LayerParameter from its text."""
    return text_format.Parse(text, LayerParameter())


def build(text: str | Any, *bottoms: tuple[int, ...], phase: int = TEST) -> tuple[Layer, list[tuple[int, ...]]]:
    """A layer set up for bottoms of these shapes, and the shapes of its tops; faults are raised as a net does."""
    param = settings(text) if isinstance(text, str) else text
    layer = layers[param.type](param, phase)
    layer.setup(bottoms)
    layer.raise_faults()
    tops = [tuple(shape) for shape in layer.shapes(bottoms)]
    layer.raise_faults()
    return layer, tops


def run_at(position: int = 0, seed: int = 1) -> Run:
    """A CPU run."""
    return Run(torch.device("cpu"), seed, position)


class Replay:
    """One case being run: the blobs by name, and the weights by layer."""

    def __init__(self, case: Case, memory_format: torch.memory_format = torch.contiguous_format) -> None:
        self.case, self.memory_format = case, memory_format
        self.arrays = case.arrays()
        self.message = upgrade_net(text_format.Parse(case.file("prototxt").read_text(), NetParameter())).message
        self.phase = TEST if case.entry["phase"] == "TEST" else TRAIN
        self.layers: dict[int, Layer] = {}
        self.weights: dict[str, list[torch.Tensor]] = {}
        self.blobs: dict[str, torch.Tensor] = {}
        self.first: dict[str, torch.Tensor] = {}

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.array(array, np.float32))
        if tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=self.memory_format)
        return tensor.requires_grad_()

    def _recorded(self, suffix: str, blob: str) -> torch.Tensor:
        keys = (f"in{suffix}/{blob}", f"in/{blob}", f"out{suffix}/{blob}")
        return self._tensor(next(self.arrays[key] for key in keys if key in self.arrays))

    def _set_up(self, index: int, param: Any, bottoms: list[torch.Tensor]) -> Layer:
        if index not in self.layers:
            layer, _ = build(param, *(tuple(bottom.shape) for bottom in bottoms), phase=self.phase)
            self.layers[index] = layer
            self.weights[param.name] = [
                self._tensor(self.arrays.get(f"param/{param.name}/{i}", np.zeros(spec.shape)))
                for i, spec in enumerate(layer.weights)
            ]
        return self.layers[index]

    def forward(self, step: int) -> None:
        """One forward; afterwards `blobs` holds the last value of every blob, `first` the first."""
        suffix = f"@{step}" if step else ""
        self.blobs, self.first, self.handed_on = {}, {}, set()
        for index, param in enumerate(self.message.layer):
            bottoms = [self.blobs[name] for name in param.bottom]
            names = list(param.top)
            if param.type == "Input" or param.type not in layers:
                tops = [self._recorded(suffix, name) for name in names]
                self.handed_on.update(param.bottom)
            else:
                layer = self._set_up(index, param, bottoms)
                tops = list(layer.forward(run_at(step), bottoms, self.weights[param.name]))
            for name, top in zip(names, tops, strict=True):
                self.blobs[name] = top
                self.first.setdefault(name, top)

    def backward(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Gradients of the first value of every blob that has a recorded one, and of the weights."""
        starts = {key[len("topdiff/") :]: self.arrays[key] for key in self.arrays if key.startswith("topdiff/")}
        for name in self.handed_on:
            if f"bottomdiff/{name}" in self.arrays:
                starts[name] = self.arrays[f"bottomdiff/{name}"]
        starts = {name: start for name, start in starts.items() if self.blobs[name].requires_grad}
        wanted = {key: self.first[key.split("/", 1)[1]] for key in self.arrays if key.startswith("bottomdiff/")}
        for name, weights in self.weights.items():
            wanted |= {f"paramdiff/{name}/{i}": weight for i, weight in enumerate(weights)}
        gradients = torch.autograd.grad(
            [self.blobs[name] for name in starts],
            list(wanted.values()),
            [torch.from_numpy(start).reshape(self.blobs[name].shape) for name, start in starts.items()],
            allow_unused=True,
        )
        return {
            key: np.zeros(value.shape) if gradient is None else gradient.numpy()
            for (key, value), gradient in zip(wanted.items(), gradients, strict=True)
        }

    def check(self) -> int:
        """Run the case and compare everything recorded; how many arrays were compared."""
        compared, tol = 0, self.case.entry["tol"]
        with chdir(self.case.folder):
            for step in range(self.case.entry.get("forward_steps", 1)):
                self.forward(step)
                compared += self._compare_step(f"@{step}" if step else "", tol)
            if self.case.entry.get("backward"):
                gradients = self.backward()
                recorded = [key for key in gradients if key in self.arrays]
                for key in recorded:
                    close(key, gradients[key], self.arrays[key], tol)
                compared += len(recorded)
        return compared

    def _compare_step(self, suffix: str, tol: dict[str, float]) -> int:
        pairs = list(self._pairs(suffix))
        for key, tensor in pairs:
            close(key, tensor.detach().numpy(), self.arrays[key], tol)
        return len(pairs)

    def _pairs(self, suffix: str) -> Iterator[tuple[str, torch.Tensor]]:
        for key in self.arrays:
            head, _, name = key.partition("/")
            if head == f"out{suffix}" and name in self.blobs:
                yield key, self.blobs[name]
            elif head == f"param_after{suffix}":
                layer, _, index = name.rpartition("/")
                yield key, self.weights[layer][int(index)]
