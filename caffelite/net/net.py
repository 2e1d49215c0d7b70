"""A graph with memory: blobs, parameters, and a plan to run them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import Fault, GraphError, SnapshotError
from ..fillers import fill
from ..graph import Graph, Node
from ..layerkit import Run, SourceLayer
from ..runtime import device as devices
from ..runtime import seeds
from ..snapshot import LayerParts, NetParts, blob_to_array, read_weights, write_weights
from . import class_weights
from . import weights as weight_loading
from .blob import Blob, Parameter, SharedView
from .debug import Watcher
from .plans import FastPlan, ObservedPlan

Shape = tuple[int, ...]


class Net:
    """A runnable net.

    Args:
        graph: filtered, wired and shaped (:func:`caffelite.graph.build`).
        device: where it computes.
        seed: names every random draw together with layer and position.
        observed: keep every blob and gradient (Python API, debug_info) instead of only losses and outputs.
        share: a net whose weights this one uses, matched by layer name (a solver's test nets); class weights that come
            from counted labels, too.

    Attributes:
        blobs: every blob by name.
        params: by layer name its weights, parameters or views of shared ones (of layers of one name, the last's).
        parameters: the learnable parameters, owners only, in the original's order.
    """

    def __init__(
        self,
        graph: Graph,
        device: torch.device | None = None,
        seed: int = 0,
        *,
        observed: bool = False,
        share: Net | None = None,
    ) -> None:
        unknown = [node.fault("its shapes are not known") for node in graph.nodes if not _known(graph, node)]
        if unknown:
            raise GraphError(unknown)
        self.graph = graph
        self.observed = observed
        self.run = Run(device or torch.device("cpu"), seed)
        self.channels_last = devices.channels_last((node.type for node in graph.nodes), self.run.device)
        self.blobs: dict[str, Blob] = {
            blob: Blob(graph.values[value].shape or (), self.run.device) for blob, value in graph.blobs.items()
        }
        self.input_values = {
            blob: value
            for node in graph.nodes
            if node.type == "Input"
            for blob, value in zip(node.tops, node.writes, strict=True)
        }
        self.rows: list[list[Parameter | SharedView]] = []
        self.parameters: list[Parameter] = []
        self._make_weights(share)
        class_weights.settle(graph, share.graph if share else None)
        self.params = {name: row for name, row in self.named_rows() if row}
        self.debug_info = bool(graph.message.debug_info)
        self._fast: FastPlan | None = None
        self._seen: ObservedPlan | None = None

    # -- making ---------------------------------------------------------------------------------------------------

    def _make_weights(self, share: Net | None) -> None:
        made: dict[int, Parameter] = {}
        names: Counter[str] = Counter()
        sources = weight_loading.by_name(share.named_rows() if share else ())
        for node in self.graph.nodes:
            occurrence, names[node.name] = names[node.name], names[node.name] + 1
            row: list[Parameter | SharedView] = []
            namesakes = sources.get(node.name) if node.weights else None
            source = namesakes.pop(0) if namesakes else None
            for index in node.weights:
                weight = self.graph.weights[index]
                if source is not None:
                    row.append(_shared_from(node, source, weight.slot, weight.shape, len(node.weights)))
                    if weight.owner == index:
                        made[index] = row[-1].owner
                        self.parameters.append(made[index])
                    continue
                if weight.owner == index:
                    made[index] = self._fresh(node, index, occurrence)
                    self.parameters.append(made[index])
                owner = made[weight.owner]
                row.append(owner if owner.shape == weight.shape else SharedView(owner, weight.shape))
                if weight.wanted:
                    owner.tensor.requires_grad_(True)
            self.rows.append(row)

    def named_rows(self) -> Iterator[tuple[str, list[Parameter | SharedView]]]:
        """The weights of every layer, with its name."""
        for node, row in zip(self.graph.nodes, self.rows, strict=True):
            yield node.name, row

    def _fresh(self, node: Node, index: int, occurrence: int) -> Parameter:
        weight = self.graph.weights[index]
        given = node.param.blobs[weight.slot] if weight.slot < len(node.param.blobs) else None
        if given is not None:
            values = blob_to_array(given)
            if not weight_loading.same_shape(values.shape, weight.shape):
                raise SnapshotError(
                    node.fault(f"blob {weight.slot} has shape {values.shape}, the layer needs {weight.shape}")
                )
        else:
            generator = seeds.generator(self.run.seed, node.name, occurrence, "weight", weight.slot)
            values = fill(weight.filler, weight.shape, generator)
        tensor = torch.from_numpy(np.array(values, np.float32).reshape(weight.shape)).to(self.run.device)
        return Parameter(node.name, weight.slot, self.arranged(tensor), weight.lr_mult, weight.decay_mult)

    def arranged(self, tensor: torch.Tensor) -> torch.Tensor:
        """A 4-d tensor in the net's memory order; any other as it is.

        With one channel the two orders are the same bytes, and kernels tell them apart by the strides only.
        """
        if not self.channels_last or tensor.dim() != 4:
            return tensor
        if tensor.shape[1] == 1 and tensor.is_contiguous():
            count, _, height, width = tensor.shape
            return tensor.as_strided((count, 1, height, width), (height * width, 1, width, 1))
        return tensor.contiguous(memory_format=torch.channels_last)

    # -- running --------------------------------------------------------------------------------------------------

    @property
    def fast_plan(self) -> FastPlan:
        """The plan that keeps only losses and outputs."""
        if self._fast is None:
            self._fast = FastPlan(self)
        return self._fast

    @property
    def observed_plan(self) -> ObservedPlan:
        """The plan that keeps everything."""
        if self._seen is None:
            self._seen = ObservedPlan(self)
        return self._seen

    def forward(self) -> torch.Tensor:
        """One forward pass; returns the weighted loss, a 0-d tensor on the net's device."""
        self.follow_inputs()
        self.pull()
        loss = self.observed_plan.forward() if self._layerwise() else self.fast_plan.forward(backward=False)
        self.push()
        return loss

    def forward_backward(self) -> torch.Tensor:
        """One forward and backward pass; gradients are added to those of `parameters`.  Returns the weighted loss."""
        self.follow_inputs()
        self.pull()
        if self._layerwise():
            loss = self.observed_plan.forward()
            self.observed_plan.backward()
            if self.debug_info:
                Watcher(self).totals()
        else:
            loss = self.fast_plan.forward(backward=True)
            self.fast_plan.backward(loss)
            loss = loss.detach()
        self.push()
        return loss

    def _layerwise(self) -> bool:
        if not (self.observed or self.debug_info):
            return False
        self.observed_plan.watch = Watcher(self) if self.debug_info else None
        return True

    def backward(self) -> None:
        """Backward through the observed plan, from the `diff` of the output blobs."""
        self.pull()
        self.observed_plan.backward()
        self.push()

    def double(self) -> Net:
        """A net of the same layers and weights to repeat passes with: its blobs are its own, so that whoever looks at
        those of this net notices nothing."""
        double = copy(self)
        double.run, double.debug_info = replace(self.run, repeating=True), False
        double.blobs = {name: Blob(blob.shape, self.run.device) for name, blob in self.blobs.items()}
        for name in self.input_values:
            double.blobs[name].data_mirror.set(self.blobs[name].data_mirror.tensor().clone())
        double._fast = double._seen = None
        return double

    def pull(self) -> None:
        """Take in what people wrote to parameter arrays they hold."""
        for parameter in self.parameters:
            parameter.pull()

    def push(self) -> None:
        """Show new parameter values and gradients in arrays people hold."""
        for parameter in self.parameters:
            parameter.push()

    def clear_gradients(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.clear()

    def weights_of(self, node: int) -> list[torch.Tensor]:
        """The weight tensors of a layer, in its own shapes; detached where this layer adds no gradient to them."""
        tensors = []
        for blob, index in zip(self.rows[node], self.graph.nodes[node].weights, strict=True):
            tensor = blob.owner.tensor if self.graph.weights[index].wanted else blob.owner.tensor.detach()
            tensors.append(tensor.reshape(blob.shape) if isinstance(blob, SharedView) else tensor)
        return tensors

    # -- shapes ---------------------------------------------------------------------------------------------------

    def follow_inputs(self) -> None:
        """Reshape the net when an input blob has another shape than at the last pass."""
        if any(self.graph.values[value].shape != self.blobs[blob].shape for blob, value in self.input_values.items()):
            self.reshape()

    def reshape(self) -> None:
        """Work out all shapes anew from those of the input blobs.

        Raises:
            LayerError: a layer cannot take its new bottoms, or would need weights of another shape.
        """
        values = list(self.graph.values)
        for blob, value in self.input_values.items():
            values[value] = replace(values[value], shape=self.blobs[blob].shape)
        for node in self.graph.nodes:
            if node.type == "Input":
                continue
            tops = node.layer.shapes([values[index].shape for index in node.reads])
            node.layer.raise_faults()
            for index, shape in zip(node.writes, tops, strict=True):
                values[index] = replace(values[index], shape=tuple(shape))
        if tuple(values) != self.graph.values:
            self.graph = replace(self.graph, values=tuple(values))
            self._fast = self._seen = None
        for blob, value in self.graph.blobs.items():
            self.blobs[blob].reshape(*(values[value].shape or ()))

    # -- what it says ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The net's name in its prototxt."""
        return self.graph.name

    def loss_weight(self, blob: str) -> float:
        """The loss weight of a blob; 0 where it is no loss."""
        for node in self.graph.nodes:
            for top, weight in zip(node.tops, node.loss_weights, strict=False):
                if top == blob and weight:
                    return weight
        return 0.0

    def output_values(self) -> list[tuple[str, float, list[float]]]:
        """Name, loss weight and values of every output blob of the last forward."""
        return [
            (blob, self.loss_weight(blob), self.blobs[blob].data_mirror.tensor().detach().flatten().tolist())
            for blob in self.graph.outputs
        ]

    def sources(self) -> Iterator[tuple[str, SourceLayer]]:
        """The layers that read records, with their names."""
        for node in self.graph.nodes:
            if isinstance(node.layer, SourceLayer):
                yield node.name, node.layer

    # -- weights --------------------------------------------------------------------------------------------------

    def load_weights(self, path: str) -> list[weight_loading.Loaded]:
        """Copy the weights of a file into the layers of the same name.

        Raises:
            SnapshotError: the file cannot be read, or a layer's blobs do not fit; nothing is changed then.
        """
        stored = read_weights(path)
        layers = [(layer.name, layer.blobs) for layer in stored.layers]
        return weight_loading.load(list(self.named_rows()), layers, str(path))

    def arrays(self, diff: bool = False) -> list[tuple[Any, list[np.ndarray], list[np.ndarray]]]:
        """For every layer its LayerParameter, weights, and (with `diff`) gradients, as a snapshot writes them."""
        rows = []
        for node, row in zip(self.graph.nodes, self.rows, strict=True):
            values = [blob.data.copy() for blob in row]
            rows.append((node.param, values, [blob.diff.copy() for blob in row] if diff else []))
        return rows

    def save(self, path: str, diff: bool = False) -> None:
        """Write the weights (and gradients) as a caffemodel, atomically.

        Raises:
            SnapshotError: the file cannot be written.
        """
        write_weights(path, NetParts(self.name, [LayerParts(*parts) for parts in self.arrays(diff)]))

    def close(self) -> None:
        """Release files and threads of the layers; a file that a layer writes is whole then."""
        with ExitStack() as closing:  # all of them, even where one fails
            for node in self.graph.nodes:
                closing.callback(node.layer.close)


def _known(graph: Graph, node: Node) -> bool:
    return node.layer is not None and all(graph.values[index].shape is not None for index in node.writes)


def _shared_from(
    node: Node, source: Sequence[Parameter | SharedView], slot: int, shape: Shape, count: int
) -> Parameter | SharedView:
    if len(source) != count:
        raise GraphError(Fault(f"has {count} weights here and {len(source)} in the train net", layer=node.name))
    if source[slot].shape != shape:
        raise GraphError(
            node.fault(
                f"weight {slot} has shape {shape} here and {source[slot].shape} in the train net, "
                "so the two cannot share it"
            )
        )
    return source[slot]
