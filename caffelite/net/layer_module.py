"""One layer of a net as a torch module: its weights under their names, and a call that hooks see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..graph import Node
from ..layerkit import Run, WeightSpec
from ..proto import TEST, TRAIN
from .blob import Parameter, SharedView
from .net import Net
from .steps import call

Convert = Callable[[Tensor], Tensor]
"""What `to` and its like do to each tensor of a module."""
Seat = tuple[dict[str, Any], str]
"""The submodules among which a module is, and its name among them."""


def device_after(convert: Convert) -> torch.device:
    """The device that a tensor would be on.

    Raises:
        UsageError: one of float32 would not be that any more.
    """
    made = convert(torch.empty(0))
    if made.dtype != torch.float32:
        raise UsageError(
            f"a net computes in {torch.float32} and cannot become {made.dtype}",
            help="convert what it is given instead: module(x.float())",
        )
    return made.device


@dataclass(slots=True, eq=False)
class Place:
    """Where a weight of a layer lies among torch's parameters and buffers.

    Attributes:
        blob: the weight as the net has it; spec: as the layer declares it.
        holder, name: the module that has it, and what it is called there.
        ends: this layer adds nothing to its gradient, though others that share it do.
        ties: its places in all layers that share it.
    """

    blob: Parameter | SharedView
    spec: WeightSpec
    holder: torch.nn.Module
    name: str
    ends: bool
    ties: list[Place]

    @property
    def table(self) -> dict[str, Any]:
        """The tensors of the holder that it is one of."""
        return self.holder._parameters if self.spec.learned else self.holder._buffers

    @property
    def changed(self) -> bool:
        """Whether another tensor stands here than the net has."""
        now = self.table.get(self.name)
        return now is not None and now is not self.blob.owner.tensor

    def tensor(self) -> Tensor:
        """The weight to compute with.

        The module is asked for it, so that what torch's tools put there counts: functional_call, parametrizations,
        pruning.
        """
        tensor: Tensor = getattr(self.holder, self.name)
        tensor = tensor.detach() if self.ends else tensor
        return tensor.reshape(self.blob.shape) if isinstance(self.blob, SharedView) else tensor

    def settle(self) -> None:
        """Give the net, and all layers that share it, the tensor that stands here now.

        Raises:
            UsageError: it is of another shape or type; what was there before is there again, then.
        """
        owner = self.blob.owner
        try:
            owner.become(self.table[self.name])
        finally:
            for place in self.ties:
                if place.name in place.table:
                    place.table[place.name] = owner.tensor


class Weights(torch.nn.Module):
    """A module whose tensors are weights of a net: others that are put in their place are the net's from then on."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self._net = net
        self._places: list[Place] = []

    def add(self, place: Place) -> None:
        """Have a weight of the net."""
        self._places.append(place)
        place.ties.append(place)
        place.table[place.name] = place.blob.owner.tensor

    def _settle(self) -> None:
        changed = [place for place in self._places if place.changed]
        for place in changed:
            place.settle()
        if changed:
            self._net.replan()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in self._parameters or name in self._buffers:
            self._settle()

    def _apply(self, fn: Convert, recurse: bool = True) -> Weights:
        device_after(fn)
        super()._apply(fn, recurse)
        self._settle()
        return self


class LayerModule(Weights):
    """A layer: called with its bottoms it gives its top, or a tuple of several.

    `train` and `eval` switch its phase, unless its prototxt gives it another than its net's.
    """

    def __init__(self, net: Net, node: Node, run: Run) -> None:
        super().__init__(net)
        self._node, self._run = node, run
        self._keeps_phase = node.param.phase != net.graph.phase
        self._row: list[Place] = []
        self.training = node.layer.phase == TRAIN

    def enter(self, ties: dict[int, list[Place]]) -> None:
        """Have the layer's weights; those called "a.b" lie in a module "a".

        Args:
            ties: by owner, the places that it has in the layers before.
        """
        graph = self._net.graph
        for blob, index in zip(self._net.rows[self._node.index], self._node.weights, strict=True):
            weight, spec = graph.weights[index], self._node.layer.weights[graph.weights[index].slot]
            *path, name = spec.name.split(".")
            holder: Weights = self
            for part in path:
                holder = holder._modules.setdefault(part, Weights(self._net))  # type: ignore[assignment]
            sharing = (other for other in graph.weights if other.owner == weight.owner)
            ends = not weight.wanted and any(other.wanted for other in sharing)
            place = Place(blob, spec, holder, name, ends, ties.setdefault(id(blob.owner), []))
            if not spec.learned:
                blob.owner.tensor.requires_grad_(False)
            holder.add(place)
            self._row.append(place)

    def forward(self, *bottoms: Tensor) -> Any:
        """The top, or a tuple of the tops; None for one that the net holds."""
        tops = call(self._node, self._run, bottoms, [place.tensor() for place in self._row])
        return tops[0] if len(tops) == 1 else tuple(tops)

    def train(self, mode: bool = True) -> LayerModule:
        """Compute as in TRAIN, or as in TEST."""
        super().train(mode)
        if self._keeps_phase:
            self.training = self._node.layer.phase == TRAIN
        else:
            self._node.layer.enter_phase(TRAIN if mode else TEST)
        return self

    def _get_name(self) -> str:
        return self._node.type

    def extra_repr(self) -> str:
        """Bottoms, tops and weights, for `print`."""
        flow = f"{', '.join(self._node.layer.bottom_names)} -> {', '.join(self._node.tops)}"
        sizes = (f"{place.spec.name} {'x'.join(map(str, place.blob.shape)) or 'scalar'}" for place in self._row)
        return "; ".join([flow.strip(), *([", ".join(sizes)] if self._row else [])])


def _free(modules: Iterable[str], name: str) -> str:
    """The name, or with a number behind it that no module has."""
    number, free = 1, name
    while free in modules:
        number += 1
        free = f"{name}_{number}"
    return free


def hang(root: torch.nn.Module, module: LayerModule, name: str) -> Seat:
    """Make a layer a submodule under its name: "a.b" is b in the module a.

    Others of its name get a number, and so does a name that a module has for something of its own ("training").
    """
    *path, last = (part or "_" for part in name.split("."))
    for part in path:
        root = root._modules.setdefault(_free(vars(root), part), torch.nn.Module())  # type: ignore[assignment]
    last = _free(vars(root), last)
    there = root._modules.get(last)
    if type(there) is torch.nn.Module:  # until now only a part of longer names, whose seats are among its modules
        for part, child in module._modules.items():
            there._modules[_free(there._modules, part)] = child
        vars(module)["_modules"] = there._modules
    else:
        last = _free({*root._modules, *vars(root)}, last)
    root._modules[last] = module
    return root._modules, last
