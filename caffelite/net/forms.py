"""How the tensors of a torch module and the weights of a layer are made of each other.

A layer's weights have the names, shapes and order of axes that the tensors of torch's module have (Conv2d and
Convolution, ConvTranspose2d and Deconvolution, Embedding and Embed, PReLU), but for

- a single number, which torch has as a vector;
- InnerProduct with `transpose`, whose matrix lies the other way round than Linear's;
- BatchNorm, which is two layers: BatchNorm has running_mean and running_var, Scale weight and bias;
- LSTM, whose gates torch has in the order i, f, g, o, not i, f, o, g, and with two biases that are added.

torch's RNN has no counterpart here: the original's ends in a layer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import Fault
from ..graph import Node
from .blob import Parameter, SharedView

Shape = tuple[int, ...]
Row = Sequence[Parameter | SharedView]


class Form:
    """A layer whose weights are a module's tensors as they are.

    Attributes:
        nodes, rows: the layer, or layers, and the weights of each.
    """

    ignored: ClassVar[frozenset[str]] = frozenset()
    """Keys of the module that say nothing about weights."""

    def __init__(self, nodes: Sequence[Node], rows: Sequence[Row]) -> None:
        self.nodes, self.rows = nodes, rows

    @property
    def blobs(self) -> list[Parameter | SharedView]:
        """The weights, layer after layer."""
        return [blob for row in self.rows for blob in row]

    def keys(self) -> dict[str, Shape]:
        """The module's tensors and their shapes."""
        specs = [spec for node in self.nodes for spec in node.layer.weights]
        return {spec.name: blob.shape or (1,) for spec, blob in zip(specs, self.blobs, strict=True)}

    def taken(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """The weights, made of the tensors."""
        return [tensors[key] for key in self.keys()]

    def given(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """The tensors, made of the weights, perhaps in their memory."""
        return dict(zip(self.keys(), weights, strict=True))

    def hint(self, key: str) -> str | None:
        """What to do about a tensor that only one of module and layer has."""
        return "bias_term says whether there is one" if key == "bias" else None


class _Transposed(Form):
    def keys(self) -> dict[str, Shape]:
        return {key: shape[::-1] for key, shape in super().keys().items()}

    def taken(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        return [tensor.transpose(0, -1) for tensor in super().taken(tensors)]

    def given(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        return super().given([weight.transpose(0, -1) for weight in weights])


class _BatchNorm(Form):
    """What was collected is divided by how much that is; a Scale layer may follow."""

    ignored = frozenset({"num_batches_tracked"})

    def keys(self) -> dict[str, Shape]:
        statistics = dict.fromkeys(("running_mean", "running_var"), self.rows[0][0].shape)
        return statistics | Form(self.nodes[1:], self.rows[1:]).keys()

    def taken(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        mean, variance, *scale = super().taken(tensors)
        return [mean, variance, mean.new_ones(1), *scale]

    def given(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        mean, variance, amount, *scale = weights
        part = torch.where(amount == 0, 0, 1 / amount)
        return super().given([mean * part, variance * part, *scale])

    def hint(self, key: str) -> str | None:
        if len(self.nodes) == 1 and key in ("weight", "bias"):
            return f'weight and bias are a Scale layer\'s: name both, ("{self.nodes[0].name}", "…")'
        return "scale_param { bias_term: true } gives it one" if key == "bias" else None


class _LSTM(Form):
    def keys(self) -> dict[str, Shape]:
        of_x, bias, of_h = (blob.shape for blob in self.blobs)
        return {"weight_ih_l0": of_x, "weight_hh_l0": of_h, "bias_ih_l0": bias, "bias_hh_l0": bias}

    def taken(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        of_x, of_h, bias, other = super().taken(tensors)
        return [_other_order(weight) for weight in (of_x, bias + other, of_h)]

    def given(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        of_x, bias, of_h = (_other_order(weight) for weight in weights)
        return super().given([of_x, of_h, bias, torch.zeros_like(bias)])

    def hint(self, key: str) -> str | None:
        return "one layer is an LSTM of one layer and one direction"


def _other_order(gates: Tensor) -> Tensor:
    """Rows of four gates, with the third and the fourth in each other's place."""
    i, f, third, fourth = gates.chunk(4)
    return torch.cat([i, f, fourth, third])


def form_of(nodes: Sequence[Node], rows: Sequence[Row]) -> tuple[Form | None, Fault | None]:
    """The form of a layer, or of a pair of layers; or what is wrong with it."""
    types = [node.type for node in nodes]
    if len(nodes) != 1 and types != ["BatchNorm", "Scale"]:
        named = " and ".join(f'"{node.name}" ({node.type})' for node in nodes) or "nothing"
        return None, Fault(f"a module is one layer, or a pair of BatchNorm and Scale, not {named}")
    first = nodes[0]
    if first.type == "BatchNorm":
        return _BatchNorm(nodes, rows), None
    if first.type == "InnerProduct" and first.layer.transpose:
        return _Transposed(nodes, rows), None
    if first.type == "LSTM":
        if len(rows[0]) > 3:
            return None, first.fault("has an x_static, which no torch module has")
        return _LSTM(nodes, rows), None
    return Form(nodes, rows), None
