"""Weights of torch modules into a net and back, by the names of modules and layers.

    names = {"features.0": "conv1", "features.1": ("bn1", "scale1"), "classifier": "fc8"}
    caffelite.from_state_dict(net, torch.load("model.pt", weights_only=True), names)
    model.load_state_dict(caffelite.to_state_dict(net, names))

How the tensors of a module and the weights of a layer are made of each other, `net/forms.py` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import Fault, SnapshotError, UsageError, did_you_mean
from ..graph import Node
from .blob import Parameter, SharedView
from .forms import Form, form_of
from .net import Net

Names = Mapping[str, "str | tuple[str, str]"]
"""By module (the part of its keys before the last name; "" is the whole) the layer with its weights, or the BatchNorm
and the Scale layer."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What became of the weights that were offered.

    Attributes:
        loaded: the layers that got theirs.
        unused: keys of the state_dict that belong to no module that is named.
        kept: layers with weights that are not named; they keep them.
    """

    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    kept: tuple[str, ...]


def from_state_dict(net: Any, state_dict: Mapping[str, Any], names: Names) -> Exchanged:
    """Give layers of a net the weights of torch modules.

    Args:
        net: `caffelite.load(…)`, or a `caffelite.Net`.
        state_dict: of tensors or NumPy arrays; torch.load(…, weights_only=True) reads one from a file.
        names: by module the layer, or a pair of BatchNorm and Scale; a module that is not named is left out.

    Raises:
        UsageError: net or state_dict is something else.
        SnapshotError: a module or layer is not there, or tensors do not fit; every fault found.  Nothing is changed
            then.
    """
    _expect_mapping(state_dict)
    work = _Work(_core(net), names)
    tensors = {module: work.fitting(module, form, state_dict) for module, form in work.forms.items()}
    values = work.weights(tensors)
    work.raise_faults()
    for blob, tensor in values:
        blob.owner.load(tensor.cpu().numpy())
    return Exchanged(*work.report(state_dict))


def to_state_dict(net: Any, names: Names) -> dict[str, Tensor]:
    """Weights of a net as torch modules have them: copies, under the keys of the modules in `names`.

    What batches a BatchNorm has seen (num_batches_tracked) no net knows, so that key is left out; load_state_dict
    then keeps its own.

    Raises:
        UsageError: net is none.
        SnapshotError: a layer is not there, or no module has its weights; every fault found.
    """
    work = _Work(_core(net), names)
    work.raise_faults()
    work.net.pull()
    found = {}
    for module, form in work.forms.items():
        shapes = form.keys()
        for key, tensor in form.given([_values(blob) for blob in form.blobs]).items():
            found[_joined(module, key)] = tensor.reshape(shapes[key]).clone(memory_format=torch.contiguous_format)
    return found


def _core(net: Any) -> Net:
    core = getattr(net, "core", net)
    if not isinstance(core, Net):
        help = "caffelite.load(…), or caffelite.Net(…)"
        raise UsageError(f"a net is wanted, got a {type(net).__name__}", help=help)
    return core


def _expect_mapping(state_dict: Any) -> None:
    if not isinstance(state_dict, Mapping):
        help = "module.state_dict(), or torch.load(path, weights_only=True)"
        raise UsageError(f"a state_dict maps names to tensors; got a {type(state_dict).__name__}", help=help)


def _values(blob: Parameter | SharedView) -> Tensor:
    return blob.owner.tensor.detach().reshape(blob.shape)


def _numbers(value: Any) -> Tensor | None:
    """A tensor or array of real numbers in single precision; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value.astype(np.float32))
    if not isinstance(value, Tensor) or value.is_complex() or value.is_quantized or value.layout != torch.strided:
        return None
    return value.detach().to(torch.float32)


def _joined(module: str, key: str) -> str:
    return f"{module}.{key}" if module else key


@dataclass
class _Work:
    """An exchange: the form of each module that is named, and what is wrong."""

    net: Net
    names: Names
    forms: dict[str, Form] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = [node for node in self.net.graph.nodes if node.weights]
        for module, layers in self.names.items():
            named = (layers,) if isinstance(layers, str) else tuple(layers)
            nodes = [node for node in map(self._node, named) if node is not None]
            if len(nodes) < len(named):
                continue
            form, fault = form_of(nodes, [self.net.rows[node.index] for node in nodes])
            self.faults += [fault] if fault else []
            self.forms |= {module: form} if form else {}
        counts = Counter(node.name for form in self.forms.values() for node in form.nodes)
        twice = (f'layer "{name}" is named for {count} modules' for name, count in counts.items() if count > 1)
        self.faults += map(Fault, twice)

    def _node(self, name: str) -> Node | None:
        found = [node for node in self.nodes if node.name == name]
        if len(found) == 1:
            return found[0]
        there = [node.name for node in self.net.graph.nodes]
        if found:
            fault = Fault(f'{len(found)} layers with weights are called "{name}"')
        elif name in there:
            fault = Fault(f'layer "{name}" has no weights')
        else:
            fault = Fault(f'the net has no layer "{name}"', help=did_you_mean(name, [node.name for node in self.nodes]))
        self.faults.append(fault)
        return None

    def raise_faults(self) -> None:
        """Raise what was noted, if anything."""
        if self.faults:
            raise SnapshotError(self.faults)

    # -- what is offered ------------------------------------------------------------------------------------------

    def _own(self, module: str, keys: Mapping[str, Any]) -> Iterator[str]:
        """The keys that begin with a module's name and with no longer one that is named, without it."""
        longer = [other for other in self.names if other != module and other.startswith(_joined(module, ""))]
        for key in keys:
            if key.startswith(_joined(module, "")) and not any(key.startswith(f"{other}.") for other in longer):
                yield key[len(_joined(module, "")) :]

    def fitting(self, module: str, form: Form, state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors of a module; what is missing, too much or of another shape is noted."""
        own, shapes = list(self._own(module, state_dict)), form.keys()
        if shapes.keys().isdisjoint(own):
            modules = {key.rpartition(".")[0] for key in state_dict} - {module}
            self._note(form, f'the state_dict has nothing for a module "{module}"', did_you_mean(module, modules))
            return {}
        for key in own:
            if "." not in key and key not in shapes and key not in form.ignored:
                self._note(form, f'has no place for "{_joined(module, key)}"', form.hint(key))
        found = {}
        for key, shape in shapes.items():
            name = _joined(module, key)
            if key not in own:
                self._note(form, f'the state_dict has no "{name}", of shape {shape}', form.hint(key))
                continue
            tensor = _numbers(state_dict[name])
            if tensor is None:
                self._note(form, f'"{name}" is no tensor of real numbers but a {type(state_dict[name]).__name__}')
            elif tuple(tensor.shape) not in (shape, *([()] if shape == (1,) else [])):
                self._note(form, f'"{name}" has shape {tuple(tensor.shape)}, and must have {shape}')
            else:
                found[key] = tensor.reshape(shape)
        return found

    def _note(self, form: Form, message: str, help: str | None = None) -> None:
        self.faults.append(form.nodes[0].fault(message, "", help))

    def weights(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> list[tuple[Parameter | SharedView, Tensor]]:
        """What each weight is to become; one that several layers share must become the same in all."""
        made: dict[int, Tensor] = {}
        result = []
        for module, form in self.forms.items():
            if tensors[module].keys() != form.keys().keys():
                continue
            for blob, tensor in zip(form.blobs, form.taken(tensors[module]), strict=True):
                before = made.setdefault(id(blob.owner), tensor.reshape(blob.owner.shape))
                if not torch.equal(before, tensor.reshape(blob.owner.shape)):
                    message = f'shares a weight with a layer that gets another one: that of "{module}" differs'
                    self._note(form, message)
                result.append((blob, tensor))
        return result

    def report(self, keys: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
        """The layers that got weights, keys that were not used, and layers that were not named."""
        loaded = tuple(node.name for form in self.forms.values() for node in form.nodes)
        used = {_joined(module, key) for module, form in self.forms.items() for key in (*form.keys(), *form.ignored)}
        kept = tuple(node.name for node in self.nodes if node.name not in loaded)
        return loaded, tuple(key for key in keys if key not in used), kept
