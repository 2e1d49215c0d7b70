"""A net as a torch module, on the net's own memory."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ..errors import LayerError, UsageError, did_you_mean
from ..graph import Graph, blob_behind, flow_everywhere
from ..layerkit import Run
from ..proto import TRAIN
from .autograd import AutogradPlan
from .layer_module import Convert, LayerModule, Place, Seat, device_after, hang
from .net import Net
from .steps import Step, Table


class _Drawing(Run):
    """Circumstances in which draws follow from torch's generator: `torch.manual_seed` settles them, and
    `torch.utils.checkpoint` repeats them.  A pass takes one number from it, and only if a layer draws."""

    _drawn: int | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Drawing:
        return _Drawing(self.device, self.seed)

    @property
    def position(self) -> int:  # type: ignore[override]
        """A number that stands for this pass; any that is set begins another."""
        if self._drawn is None:
            self._drawn = int(torch.randint(1 << 62, ()))
        return self._drawn

    @position.setter
    def position(self, _number: int) -> None:
        self._drawn = None


class _Plan(AutogradPlan):
    """The net's graph, with each layer called as the module that stands in its place.

    Attributes:
        seats: by layer the modules among which it is, and under which name.
        replaced: layers in whose place stands a module of somebody else's.
    """

    def __init__(self, net: Net, seats: dict[int, Seat], replaced: frozenset[int]) -> None:
        super().__init__(net, flow_everywhere(net.graph))
        self.seats, self.replaced = seats, replaced
        changing = set[int]()
        for step in self.steps:
            step.varies = step.varies or not changing.isdisjoint(step.reads)
            if step.varies or step.node.index in replaced:
                changing.update(step.writes)

    def compute(self, step: Step, bottoms: Sequence[Tensor]) -> Sequence[Tensor | None]:
        modules, name = self.seats[step.node.index]
        tops = modules[name](*bottoms)
        return (tops,) if len(step.writes) == 1 else tops


class NetModule(torch.nn.Module):
    """A net as a torch module.

        module = caffelite.load("deploy.prototxt", "lenet.caffemodel")
        probabilities = module(images)

    It is called with a tensor for each input, in the order of the prototxt or by name, and gives the output blob, or a
    dictionary by name where there are several; losses are 0-d, without their loss_weight.  Inputs may have other shapes
    than declared, and those of whole numbers become float32.  Data layers read their next batch in each call.  Blobs of
    the net are left alone.

    Gradients are autograd's: of all weights with a rate, and of all inputs but labels, except where
    `propagate_down: false` ends them.  They are those of the net: an activation whose blob a later layer works on in
    place takes its slope from what is there then, as in the original.

    Weights are parameters, and statistics (BatchNorm's) buffers, under the names of their layers: "conv1.weight",
    "bn1.mean"; those that layers share stand under the name of each.  They are the net's own: what an optimizer makes
    of them `net.params[…].data` shows, and `diff` is their `grad`.  Each layer that computes is a submodule, which
    hooks see called with its bottoms, and which another module may replace (whose weights the net does not have).

    `train()` and `eval()` switch the phase of Dropout, BatchNorm (unless use_global_stats says what to do), Python
    layers and random transformations of data.  Which layers there are does not change: that was settled when the file
    was read in its phase, in which the module begins.  Layers draw by torch's generator.

    Attributes:
        core: the net.
        outputs: names of the outputs.
        loss_weights: the loss_weight of each output that is a loss.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.core = net
        self._outputs = dict(_outputs(net))
        self.outputs = tuple(self._outputs)
        weights = {name: net.loss_weight(blob) for name, blob in self._outputs.items()}
        self.loss_weights = {name: weight for name, weight in weights.items() if weight}
        self._plan: _Plan | None = None
        self._planned: Graph | None = None
        self._turn = threading.RLock()  # layers know the shapes of one call
        self._drawing = _Drawing(net.run.device, net.run.seed)
        self._layers: dict[int, LayerModule] = {}
        self._seats: dict[int, Seat] = {}
        ties: dict[int, list[Place]] = {}
        for node in net.graph.nodes:
            if node.type == "Input" or node.layer.sharing_bottoms:  # nothing is computed
                continue
            self._layers[node.index] = layer = LayerModule(net, node, self._drawing)
            layer.enter(ties)
            self._seats[node.index] = hang(self, layer, node.name or node.type)
        self.training = net.graph.phase == TRAIN

    # -- calling --------------------------------------------------------------------------------------------------

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """The output, or the outputs by name, of these inputs.

        Raises:
            UsageError: an input is missing, unknown, or no tensor that the net can take.
            CaffeliteError: shapes do not fit, data cannot be read, or a layer cannot compute.
        """
        plan, table = self._pass(inputs, named)
        outputs = {name: table[plan.slot[plan.outputs[blob]]] for name, blob in self._outputs.items()}
        return outputs[self.outputs[0]] if len(outputs) == 1 else outputs

    def weighted_loss(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """What a solver minimises: the sum of all losses times their loss_weight, 0-d; inputs as in a call."""
        plan, table = self._pass(inputs, named)
        return plan.loss(table)

    def _pass(self, inputs: Sequence[Tensor], named: dict[str, Tensor]) -> tuple[AutogradPlan, Table]:
        with self._turn:
            return self._computed(inputs, named)

    def _computed(self, inputs: Sequence[Tensor], named: dict[str, Tensor]) -> tuple[AutogradPlan, Table]:
        net = self.core
        given = {net.input_values[blob]: tensor for blob, tensor in self._given(inputs, named).items()}
        values = {
            value: given[value] if value in given else net.blobs[blob].data_mirror.tensor()
            for blob, value in net.input_values.items()
        }
        net.pull()
        shapes = {value: tuple(tensor.shape) for value, tensor in values.items()}
        if net.outdated(shapes):
            net.tell_shapes(shapes)
        plan = self._planning()
        if plan.refused and torch.is_grad_enabled():
            raise LayerError(plan.refused)
        self._drawing.position = 0
        try:
            table = plan.run(values)
        finally:
            if plan.replaced:  # what is behind them was told other shapes
                net.tell_shapes(shapes)
        net.push()
        return plan, table

    def _planning(self) -> _Plan:
        own, seats = self._layers, self._seats.items()
        replaced = frozenset(index for index, (modules, name) in seats if modules.get(name) is not own[index])
        if self._plan is None or self._planned is not self.core.graph or self._plan.replaced != replaced:
            self._plan, self._planned = _Plan(self.core, self._seats, replaced), self.core.graph
        return self._plan

    def _given(self, inputs: Sequence[Tensor], named: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inputs by name, as the net computes with them."""
        names = self.core.graph.inputs
        takes = f"the net takes {', '.join(names) or 'no inputs'}"
        if len(inputs) > len(names):
            raise UsageError(f"{takes}; {len(inputs)} are given")
        given = dict(zip(names, inputs, strict=False))
        for name in named:
            if name not in names:
                raise UsageError(f'there is no input "{name}"', help=did_you_mean(name, names) or takes)
            if name in given:
                raise UsageError(f'input "{name}" is given twice: by its place and by its name')
        given |= named
        missing = [name for name in names if name not in given]
        if missing:
            raise UsageError(f"{takes}; {', '.join(missing)} is not given")
        return {name: self._taken(name, tensor) for name, tensor in given.items()}

    def _taken(self, name: str, tensor: Any) -> Tensor:
        if not isinstance(tensor, Tensor):
            what = type(tensor).__name__
            raise UsageError(f'input "{name}" is no tensor but a {what}', help="torch.as_tensor(values)")
        if tensor.device != self.core.run.device:
            help = f"{name}.to({str(self.core.run.device)!r}), or move the net: module.to(…)"
            raise UsageError(f'input "{name}" is on {tensor.device}, and the net on {self.core.run.device}', help=help)
        if tensor.dtype != torch.float32:
            if tensor.is_floating_point() or tensor.is_complex():
                help = f"{name}.float()"
                raise UsageError(f'input "{name}" is {tensor.dtype}; a net computes in {torch.float32}', help=help)
            return tensor.float()
        taken: Tensor = tensor.view_as(tensor) if tensor.requires_grad else tensor  # hooks of ours go to that
        return taken

    # -- training -------------------------------------------------------------------------------------------------

    def parameter_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """The parameters that learn, as param groups of a torch optimizer that make lr_mult and decay_mult count; as in
        `torch.optim.SGD(module.parameter_groups(0.01, 0.0005), lr=0.01, momentum=0.9)`."""
        mults = {id(one.tensor): (one.lr_mult, one.decay_mult) for one in self.core.parameters}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for parameter in self.parameters():
            if parameter.requires_grad:
                groups.setdefault(mults.get(id(parameter), (1.0, 1.0)), []).append(parameter)
        return [
            {"params": members, "lr": lr * lr_mult, "weight_decay": weight_decay * decay_mult}
            for (lr_mult, decay_mult), members in groups.items()
        ]

    # -- being a module -------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> torch.nn.Module:
        """The submodule of this name, even where a module has a method of that name."""
        module: torch.nn.Module = self
        for part in target.split(".") if target else ():
            child = module._modules.get(part)
            if child is None:
                help = did_you_mean(target, [name for name, _ in self.named_modules() if name])
                raise AttributeError(f"there is no submodule {target!r}{f'; {help}' if help else ''}")
            module = child
        return module

    def _apply(self, fn: Convert, recurse: bool = True) -> NetModule:
        device = device_after(fn)
        self.core.pull()
        super()._apply(fn, recurse)
        if device != self.core.run.device:
            self.core.move_to(device)
            self._drawing.device = device
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> NetModule:
        """A module with weights and layers of its own, on a net of its own."""
        twin = memo[id(self)] = type(self).__new__(type(self))
        vars(twin).update(deepcopy(vars(self) | {"_plan": None, "_planned": None, "_turn": None}, memo))
        twin._turn = threading.RLock()
        close_with(twin)
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise UsageError(
            "a net cannot be pickled",
            help='torch.save(module.state_dict(), …), or as a caffemodel: module.core.save("….caffemodel")',
        )

    def extra_repr(self) -> str:
        """Inputs and outputs, for `print`."""
        graph = self.core.graph
        return f"{graph.name or 'net'}: {', '.join(graph.inputs)} -> {', '.join(graph.outputs)}"


def _outputs(net: Net) -> Iterator[tuple[str, str]]:
    """The blobs that a call gives, by the names it gives them."""
    makers = {value: node for node in net.graph.nodes for value in node.writes}
    for blob in net.graph.outputs:
        maker = makers[net.graph.blobs[blob]]
        if maker.type != "Input":
            yield blob_behind(maker, blob), blob


def close_with(module: NetModule) -> None:
    """Close the net's files when the module is gone; at the end of the process the layers see to that."""
    weakref.finalize(module, module.core.close).atexit = False
