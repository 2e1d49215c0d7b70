"""A graph with memory: blobs, parameters, and a plan to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import GraphError
from ..graph import Graph, Node, reshaped
from ..layerkit import Run, SourceLayer
from ..proto import SolverParameter
from ..runtime import device as devices
from ..snapshot import LayerParts, NetParts, hdf5, read_weights, write_weights
from . import class_weights
from . import weights as weight_loading
from .batch_norms import in_two_layers
from .blob import Blob, Parameter, SharedView
from .captured import Captured
from .debug import Watcher
from .fast import FastPlan
from .first_weights import FirstWeights
from .observed import ObservedPlan
from .steps import graded_from_above, weighted

Shape = tuple[int, ...]


class Net:
    """A runnable net.

    Args:
        graph: filtered, wired and shaped (:func:`caffelite.graph.build`).
        device: where it computes.
        seed: names every random draw together with layer and position.
        observed: keep every blob and gradient instead of only losses and outputs (see `observe`).
        share: a net whose weights this one uses, matched by layer name (a solver's test nets), with gradients of its
            own; class weights that come from counted labels, too.
        precision: how exactly products are computed by the fast plan (the others compute in single precision), and
            whether GPUs may use TF32 for those in single precision.

    Attributes:
        blobs: every blob by name.
        params: by layer name its weights, parameters or views of shared ones (of layers of one name, the last's).
        parameters: the learnable parameters, owners only, in the original's order.
        input_values: the values that passes begin with, by blob: of Input layers, and others that the net holds
            (`Layer.held`).
        callbacks: what to call with a layer's index "before_forward", "after_forward", "before_backward" and
            "after_backward"; while there are any, passes go layer by layer.
    """

    def __init__(
        self,
        graph: Graph,
        device: torch.device | None = None,
        seed: int = 0,
        *,
        observed: bool = False,
        share: Net | None = None,
        precision: int = SolverParameter.FLOAT32,
    ) -> None:
        unknown = [node.fault("its shapes are not known") for node in graph.nodes if not _known(graph, node)]
        if unknown:
            raise GraphError(unknown)
        self.graph = graph
        self.observed = observed
        self.precision = precision
        self.run = Run(device or torch.device("cpu"), seed)
        self.channels_last: bool = share.channels_last if share is not None else self._lies_channels_last()
        self.blobs = self._blobs({blob: graph.values[value].shape or () for blob, value in graph.blobs.items()})
        self.input_values = dict(self._held())
        first = FirstWeights(graph, seed, self._placed, share.named_rows() if share else ())
        self.rows, self.parameters = first.rows, first.parameters
        class_weights.settle(graph, share.graph if share else None)
        self.params = {name: row for name, row in self.named_rows() if row}
        self._loss_weights = {graph.values[value].blob: weight for value, weight in reversed(weighted(graph))}
        self._weigh_losses()
        self.debug_info = bool(graph.message.debug_info)
        self.callbacks: dict[str, list[Callable[[int], object]]] = {}
        self._fast: FastPlan | None = None
        self._seen: ObservedPlan | None = None
        self._unasked: frozenset[int] = frozenset()  # layers that do not know of the last change of shapes

    # -- making ---------------------------------------------------------------------------------------------------

    def _lies_channels_last(self) -> bool:
        types, rounds = (node.type for node in self.graph.nodes), self.precision != SolverParameter.FLOAT32
        return devices.channels_last(types, self.run.device, rounds=rounds)

    def _blobs(self, shapes: Mapping[str, Shape]) -> dict[str, Blob]:
        """Fresh blobs; those of a Split have their data in the memory of its bottom, as in the original."""
        blobs = {name: Blob(shape, self.run.device) for name, shape in shapes.items()}
        for node in self.graph.nodes:
            if node.layer.sharing_bottoms:
                for top in node.tops:
                    blobs[top].data_mirror = blobs[node.bottoms[0]].data_mirror
        return blobs

    def _held(self) -> Iterator[tuple[str, int]]:
        """The blobs that passes begin with, and their values; those that a layer fills once are filled."""
        for node in self.graph.nodes:
            filled = node.layer.held(self.run)
            for position, (blob, value) in enumerate(zip(node.tops, node.writes, strict=True)):
                if node.type == "Input" or position in filled:
                    yield blob, value
                if position in filled:
                    self.blobs[blob].data_mirror.set(self.arranged(filled[position]))

    def named_rows(self) -> Iterator[tuple[str, list[Parameter | SharedView]]]:
        """The weights of every layer, with its name."""
        for node, row in zip(self.graph.nodes, self.rows, strict=True):
            yield node.name, row

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor on the net's device, in its memory order."""
        return self.arranged(tensor.to(self.run.device))

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
        self.pull(adding=False)
        loss = self.observed_plan.forward() if self._layerwise() else self.fast_plan.forward(backward=False)
        self.push()
        return loss

    def ahead(self, most: int) -> int:
        """How many passes `forwards` makes at once, `most` at most."""
        captured = self._fast.captured if self._fast is not None and not self._watched else None
        return 1 if captured is None else captured.ahead(most)

    def forwards(self, count: int) -> list[list[torch.Tensor]]:
        """`forward` as often as `ahead` said, or less often if data cannot be read: for each pass the loss, and the
        values of all output blobs, which stay.  Blobs show the last one."""
        if count == 1 or self._fast is None or self._fast.captured is None:
            return [[self.forward(), *(one.clone() for one in self.outputs())]]
        self.follow_inputs()
        self.pull(adding=False)
        with torch.no_grad(), self.arithmetic():
            made = self._fast.captured.forwards(count)
            self._fast.tell(made[-1][1])
        self.push()
        held = self.outputs()  # what is always the same, no pass gives
        each = ((loss, zip(outputs, held, strict=False)) for loss, outputs in made)
        return [[loss, *(mine if mine is not None else its for mine, its in row)] for loss, row in each]

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
            loss = self.fast_plan.forward_backward()
        self.push()
        return loss

    def unseen(self) -> Captured | None:
        """What makes passes forward and back that blobs and parameters do not show; None unless it does so without
        Python by now, and nobody looks on: at layers one by one, or at arrays of parameters."""
        if self._watched or self._fast is None:
            return None
        self.pull(adding=False)
        if any(parameter.lent for parameter in self.parameters):
            return None
        captured = self._fast.captured
        return captured if captured is not None and captured.settled else None

    def arithmetic(self) -> AbstractContextManager[None]:
        """What plans compute in, so that `precision` holds on a GPU."""
        return devices.arithmetic(self.run.device, tf32=self.precision == SolverParameter.TF32)

    def _weigh_losses(self) -> None:
        for value, weight in weighted(self.graph):
            self.weigh(self.graph.values[value].blob, weight)

    def reweighted(self) -> bool:
        """Whether somebody has written another weight into the gradient of a loss, which only the observed plan heeds.
        Waits for the device."""
        graph, graded = self.graph, graded_from_above(self.graph)
        losses = {graph.values[value].blob: weight for value, weight in weighted(graph) if value not in graded}
        return any(bool((self.blobs[blob].diff_mirror.tensor() != weight).any()) for blob, weight in losses.items())

    def weigh(self, blob: str, weight: float) -> None:
        """Put a loss weight where the original keeps it: in the blob's gradient."""
        mirror = self.blobs[blob].diff_mirror
        mirror.set(torch.full(mirror.shape, weight, device=self.run.device))

    def observe(self, wanted: bool) -> None:
        """Keep every blob and gradient of the passes to come; or only losses and outputs, and let go of the rest, at
        which nobody but callbacks may look."""
        if not wanted and not self.callbacks and self._seen is not None and self._seen.played:
            self._seen.forget()
        self.observed = wanted

    def tell(self, moment: str, layer: int) -> None:
        """Call who wants to know of this moment, with the layer's index."""
        for callback in self.callbacks.get(moment, ()):
            callback(layer)

    @property
    def _watched(self) -> bool:
        """Whether somebody looks at the layers one by one."""
        return self.observed or self.debug_info or bool(self.callbacks)

    def _layerwise(self) -> bool:
        if not self._watched:
            return False
        self.observed_plan.watch = Watcher(self) if self.debug_info else None
        return True

    def backward(self, first: int | None = None, last: int = 0) -> None:
        """Backward through the observed plan, from the `diff` of the output blobs; or from a layer down to another."""
        self.follow_inputs(last, first)
        self.pull()
        self.observed_plan.backward(first, last)
        self.push()

    def double(self) -> Net:
        """A net of the same layers and weights to repeat passes with: its blobs are its own, so that whoever looks at
        those of this net notices nothing."""
        double = copy(self)
        double.run, double.debug_info, double.callbacks = replace(self.run, repeating=True), False, {}
        double.blobs = self._blobs({name: blob.shape for name, blob in self.blobs.items()})
        double._weigh_losses()
        for name in self.input_values:
            double.blobs[name].data_mirror.set(self.blobs[name].data_mirror.tensor().clone())
        double._fast = double._seen = None
        return double

    def __deepcopy__(self, memo: dict[int, Any]) -> Net:
        """The same net with weights, blobs and layers of its own; it opens files anew, and calls nobody."""
        twin = memo[id(self)] = copy(self)
        twin.callbacks, twin._fast, twin._seen = {}, None, None
        vars(twin).update(deepcopy(vars(twin), memo))
        return twin

    def move_to(self, device: torch.device) -> None:
        """Compute on another device from now on: that of the weights."""
        self.run.device = device
        self.channels_last = self._lies_channels_last()
        for parameter in self.parameters:
            parameter.tensor.data = self.arranged(parameter.tensor.data.contiguous())
            parameter.become(parameter.tensor)
        for blob in self.blobs.values():
            blob.to(device)
        self.replan()

    def replan(self) -> None:
        """Plan anew before the next pass: tensors lie elsewhere, or nobody needs the plans any more."""
        self._fast = self._seen = None

    def pull(self, *, adding: bool = True) -> None:
        """Take in what people wrote to parameter arrays they hold; `adding`: gradients are going to be added."""
        for parameter in self.parameters:
            parameter.pull(adding=adding)

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
            tensor = blob.owner.tensor
            if tensor.requires_grad and not self.graph.weights[index].wanted:
                tensor = tensor.detach()
            tensors.append(tensor.reshape(blob.shape) if isinstance(blob, SharedView) else tensor)
        return tensors

    # -- shapes ---------------------------------------------------------------------------------------------------

    def follow_inputs(self, first: int = 0, last: int | None = None) -> None:
        """Reshape the layers of a pass when a blob that it begins with has another shape than they know.

        As in the original, the layers before `first` and behind `last` are not asked: they may be unable to take what a
        part of the net can.
        """
        part = slice(first, None if last is None else last + 1)
        if self.outdated(self._beginnings(part) if first or last is not None else self._inputs(), part):
            self.reshape(part)

    def _inputs(self) -> dict[int, Shape]:
        """The shapes of the values that a whole pass begins with, as their blobs have them."""
        return {value: self.blobs[blob].shape for blob, value in self.input_values.items()}

    def outdated(self, given: Mapping[int, Shape], part: slice = slice(None)) -> bool:
        """Whether layers know other shapes than follow from these, of values that a pass begins with."""
        unasked = self._unasked and not self._unasked.isdisjoint(range(len(self.graph.nodes))[part])
        return unasked or any(self.graph.values[value].shape != shape for value, shape in given.items())

    def _beginnings(self, part: slice) -> dict[int, Shape]:
        """The shapes of the values that a pass through some layers begins with, as their blobs have them; but for those
        that layers are told, or find, in every pass."""
        nodes = self.graph.nodes[part]
        begin = {value: blob for blob, value in self.input_values.items()}
        if len(nodes) < len(self.graph.nodes):
            varying = self.observed_plan.varying
            written = {value for node in nodes for value in node.writes}
            begin = {value: blob for value, blob in begin.items() if value in written}
            for node in nodes:
                if node.index not in varying and not node.layer.reshapes:
                    reads = zip(node.reads, node.bottoms, strict=True)
                    begin.update((value, blob) for value, blob in reads if value not in written)
        return {value: self.blobs[blob].shape for value, blob in begin.items()}

    def reshape(self, part: slice = slice(None)) -> None:
        """Work out the shapes of all layers, or of some, anew from those of the blobs that they begin with.

        Raises:
            LayerError: a layer cannot take its new bottoms, or would need weights of another shape.
        """
        self.tell_shapes(self._beginnings(part), part)
        values = [value for node in self.graph.nodes[part] for value in node.writes]
        shapes = {self.graph.values[value].blob: self.graph.values[value].shape or () for value in values}
        if any(self.blobs[blob].shape != shape for blob, shape in shapes.items()):
            self._seen = None  # what it keeps for a backward has other shapes
        for blob, shape in shapes.items():
            self.resize(blob, shape)

    def resize(self, blob: str, shape: Shape) -> None:
        """Let a blob have the shape of its values; a loss keeps its weight."""
        if self.blobs[blob].shape != shape:
            self.blobs[blob].reshape(*shape)
            weight = self.loss_weight(blob)
            if weight:
                self.weigh(blob, weight)

    def tell_shapes(self, given: Mapping[int, Shape], part: slice = slice(None)) -> None:
        """Tell all layers, or some, the shapes that follow from those of the values that they begin with; blobs keep
        theirs.

        Raises:
            LayerError: as in `reshape`; the layers know the shapes they knew before, then.
        """
        graph, everyone = reshaped(self.graph, given, part), range(len(self.graph.nodes))
        if graph.values != self.graph.values:
            self.graph, self._fast, self._unasked = graph, None, frozenset(everyone)
        self._unasked -= frozenset(everyone[part])

    # -- what it says ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The net's name in its prototxt."""
        return self.graph.name

    def loss_weight(self, blob: str) -> float:
        """The loss weight of a blob; 0 where it is no loss."""
        return self._loss_weights.get(blob, 0.0)

    def named_outputs(self) -> list[tuple[str, float]]:
        """Name and loss weight of every output blob."""
        return [(blob, self.loss_weight(blob)) for blob in self.graph.outputs]

    def outputs(self) -> list[torch.Tensor]:
        """The values of every output blob of the last forward."""
        return [self.blobs[blob].data_mirror.tensor() for blob in self.graph.outputs]

    def output_values(self) -> list[tuple[str, float, list[float]]]:
        """Name, loss weight and values of every output blob of the last forward."""
        values = devices.numbers(self.outputs())
        return [(*named, row) for named, row in zip(self.named_outputs(), values, strict=True)]

    def sources(self) -> Iterator[tuple[str, SourceLayer]]:
        """The layers that read records, with their names."""
        for node in self.graph.nodes:
            if isinstance(node.layer, SourceLayer):
                yield node.name, node.layer

    # -- weights --------------------------------------------------------------------------------------------------

    def load_weights(self, path: str) -> list[weight_loading.Loaded]:
        """Copy the weights of a file into the layers of the same name; a BatchNorm of NVIDIA's fork into two.

        Raises:
            SnapshotError: the file cannot be read, or a layer's blobs do not fit; nothing is changed then.
        """
        stored = read_weights(path)
        layers = [(layer.name, layer.type, layer.blobs) for layer in stored.layers]
        rows = list(self.named_rows())
        return weight_loading.load(rows, in_two_layers(layers, self.graph.nodes), str(path))

    def arrays(self, diff: bool = False) -> list[tuple[Any, list[np.ndarray], list[np.ndarray]]]:
        """For every layer its LayerParameter, weights, and (with `diff`) gradients, as a snapshot writes them."""
        rows = []
        for node, row in zip(self.graph.nodes, self.rows, strict=True):
            values = [blob.data.copy() for blob in row]
            rows.append((node.param, values, [blob.diff.copy() for blob in row] if diff else []))
        return rows

    def share(self, other: Net) -> None:
        """Use the weights of another net's layers of the same names, in their memory; gradients stay this net's own.

        Raises:
            SnapshotError: layers of one name have weights of other shapes, or lie on other devices; nothing is changed.
        """
        weight_loading.share(list(self.named_rows()), list(other.named_rows()))

    def save(self, path: str, *, diff: bool = False, best: Any = None, as_hdf5: bool = False) -> None:
        """Write the weights (and gradients) as a caffemodel or in HDF5, atomically.

        Args:
            best: what they are the best of (a BestOf), to be noted in the file.

        Raises:
            SnapshotError: the file cannot be written, or HDF5 cannot hold a layer's name.
        """
        layers = [LayerParts(*parts) for parts in self.arrays(diff)]
        if as_hdf5:
            owned = {(parameter.layer, parameter.slot) for parameter in self.parameters}
            hdf5.write_weights(path, layers, owned, best)
        else:
            write_weights(path, NetParts(self.name, layers, best))

    def close(self) -> None:
        """Release files and threads of the layers, and the plans; a file that a layer writes is whole then."""
        self.replan()
        with ExitStack() as closing:  # all of them, even where one fails
            for node in self.graph.nodes:
                closing.callback(node.layer.close)


def _known(graph: Graph, node: Node) -> bool:
    return node.layer is not None and all(graph.values[index].shape is not None for index in node.writes)
