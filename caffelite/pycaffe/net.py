"""`Net` as scripts know it."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import assembly
from ..errors import UsageError, did_you_mean
from ..layerkit.python_layer import Blobs as BlobVec
from ..net import Blob
from ..net import Net as Core
from ..proto import TEST, TRAIN
from ..runtime import threads
from . import state
from .former import OF_NET
from .named import Named

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..net.module import NetModule
    from ..netspec import NetSpec

Path = str | os.PathLike[str]
Arrays = dict[str, np.ndarray]


class LayerView:
    """A layer of a net: its type and its weight blobs; any other attribute of a Python layer is its own instance's."""

    def __init__(self, name: str, type: str, blobs: list[Any], user: Any = None) -> None:
        self.__dict__.update(name=name, type=type, blobs=blobs, _user=user)

    def __getattr__(self, name: str) -> Any:
        user = self.__dict__.get("_user")
        if name.startswith("__") or user is None:
            raise AttributeError(f"the layer has no attribute {name!r}")
        return getattr(user, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._user is not None:
            setattr(self._user, name, value)
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{self.type} {self.name!r}>"


class Net:
    """A net whose every blob can be looked at.

    Args:
        network_file: path of the prototxt; or a NetParameter or NetSpec.
        phase: TRAIN or TEST.
        level, stages: the rest of the NetState; 0 and none where nothing is said.
        weights: path of a caffemodel to copy weights from.

    The old order `Net(network_file, weights, phase)` is understood too.

    Attributes:
        name: that of the prototxt, until a script gives it another.
        blobs: every blob by name, in the order in which they are computed.
        params: the weight blobs of every layer that has any, by the layer's name.
        layers: the layers in order, `layer_dict` by name; each has `type` and `blobs`.

    Raises:
        CaffeliteError: the file does not parse, the net does not fit together, or the weights do not fit the net.
    """

    def __init__(
        self,
        network_file: Path | Message | NetSpec,
        phase: int | Path = -1,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: Path | None = None,
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            weights, phase, level = phase, -1 if level is None else level, None
        if hasattr(network_file, "to_proto"):  # a NetSpec
            network_file = network_file.to_proto()
        if isinstance(network_file, str) and "{" in network_file:
            help = "Net takes a file's path, a NetSpec or a NetParameter: Net(spec.to_proto(), phase)"
            raise UsageError("the text of a net is given where a file's path is expected", help=help)
        if phase not in (TRAIN, TEST):
            raise UsageError("Net needs a phase", help="Net('net.prototxt', caffelite.TEST)")
        core = assembly.load_net(
            network_file,
            phase,
            level=level or 0,
            stages=stages or [],
            weights=[os.fspath(weights)] if weights is not None else [],
            device=state.current_device(),
            seed=state.next_seed(),
            observed=True,
            warn=state.warn,
        )
        self._wrap(core)

    @classmethod
    def of(cls, core: Core) -> Net:
        """The view of a net that is there already (a solver's)."""
        net = cls.__new__(cls)
        net._wrap(core)
        return net

    def _wrap(self, core: Core) -> None:
        threads.compute_alone_in_forks()
        self.core, self.name = core, core.name
        # As in the original, `del net` closes files; at the end of the process the layers see to that.
        self._files = weakref.finalize(self, core.close)
        self._files.atexit = False
        self.blobs: OrderedDict[str, Blob] = Named("blob", core.blobs.items())
        nodes = [(node, BlobVec(row)) for node, row in zip(core.graph.nodes, core.rows, strict=True)]
        self.params: OrderedDict[str, BlobVec] = Named(
            "layer with weights", ((node.name, blobs) for node, blobs in nodes if blobs)
        )
        self.layers = [
            LayerView(node.name, node.type, blobs, getattr(node.layer, "user", None)) for node, blobs in nodes
        ]
        self.layer_dict = Named("layer", ((layer.name, layer) for layer in self.layers))

    # -- what it is made of ---------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[str]:
        """Blobs of the Input layers."""
        return list(self.core.graph.inputs)

    @property
    def outputs(self) -> list[str]:
        """Blobs nobody reads."""
        return list(self.core.graph.outputs)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Tops by layer."""
        return OrderedDict((node.name, list(node.tops)) for node in self.core.graph.nodes)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Bottoms by layer."""
        return OrderedDict((node.name, list(node.bottoms)) for node in self.core.graph.nodes)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Loss weight by blob, 0 where there is none."""
        return OrderedDict((blob, self.core.loss_weight(blob)) for blob in self.blobs)

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return self._ids(self.inputs)

    @property
    def _output_list(self) -> list[str]:
        return self.outputs

    @property
    def _outputs(self) -> list[int]:
        return self._ids(self.outputs)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._ids(self.core.graph.nodes[layer].bottoms)

    def _top_ids(self, layer: int) -> list[int]:
        return self._ids(self.core.graph.nodes[layer].tops)

    def _ids(self, blobs: Sequence[str]) -> list[int]:
        names = self._blob_names
        return [names.index(blob) for blob in blobs]

    def _index(self, layer: str, last: bool = False) -> int:
        names = self._layer_names
        self.layer_dict[layer]  # or an error that says what there is
        return len(names) - 1 - names[::-1].index(layer) if last else names.index(layer)

    def __getattr__(self, name: str) -> Any:
        former = OF_NET.get(name)
        text = f"{type(self).__name__!r} object has no attribute {name!r}{f'; {former}' if former else ''}"
        raise AttributeError(text, name=name, obj=self)

    def __repr__(self) -> str:
        from .notebook import text

        return text(self.core.graph)

    def _repr_html_(self) -> str:
        from .notebook import html

        return html(self.core.graph)

    @cached_property
    def module(self) -> NetModule:
        """The net as a torch module, on the same memory (:class:`caffelite.net.module.NetModule`)."""
        from ..net.module import NetModule, close_with

        module = NetModule(self.core)
        self._files.detach()  # the module may go on reading them
        close_with(module)
        return module

    # -- passes ---------------------------------------------------------------------------------------------------

    def _fill(self, values: Mapping[str, np.ndarray], names: Sequence[str], part: str) -> None:
        """Copy values into the data or diff of all blobs that are named, without repeating a batch of another size."""
        what = {"data": "input", "diff": "output"}[part]
        for blob in values:
            if blob not in names:
                help = did_you_mean(blob, names) or f"its {what}s: {', '.join(names) or 'none'}"
                raise UsageError(f"{blob!r} is no {what} of this net", help=help)
        missing = [blob for blob in names if blob not in values]
        if values and missing:
            text = f"values are given for some {what}s and not for {', '.join(map(repr, missing))}"
            raise UsageError(text, help=f"give all of them, or none and write to net.blobs[...].{part}")
        for blob, given in values.items():
            _put(blob, getattr(self.blobs[blob], part), given)

    def _known(self, names: Sequence[str]) -> dict[str, Blob]:
        return {blob: self.blobs[blob] for blob in names}

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: np.ndarray,
    ) -> Arrays:
        """Forward, from the layer `start` to the layer `end`, after copying `inputs` into the input blobs.

        Returns:
            By name the arrays of the output blobs (of `end`'s tops where it is given) and of `blobs`.

        Raises:
            UsageError: there is no such layer or blob, or not all inputs are given, or one of another shape.
        """
        first = self._index(start) if start is not None else 0
        last = self._index(end, last=True) if end is not None else len(self.layers) - 1
        names = self.top_names[end] if end is not None else self.outputs
        wanted = self._known([*names, *(blobs or [])])
        self._fill(inputs, self.inputs, "data")
        self._forward(first, last)
        return {name: blob.data for name, blob in wanted.items()}

    def _forward(self, start: int, end: int) -> float:
        self.core.follow_inputs(start, end)
        self.core.pull()
        loss = self.core.observed_plan.forward(start, end)
        self.core.push()
        return float(loss)

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **outputs: np.ndarray,
    ) -> Arrays:
        """Backward, from the layer `start` down to the layer `end`, after copying `outputs` into their blobs' diff.

        Blob gradients are overwritten, parameter gradients added to.

        Returns:
            By name the gradients of the inputs (of `end`'s bottoms where it is given) and of `diffs`.

        Raises:
            UsageError: there is no such layer or blob, or not all outputs are given, or one of another shape.
        """
        first = self._index(start, last=True) if start is not None else len(self.layers) - 1
        last = self._index(end) if end is not None else 0
        names = self.bottom_names[end] if end is not None else self.inputs
        wanted = self._known([*names, *(diffs or [])])
        self._fill(outputs, self.outputs, "diff")
        self._backward(first, last)
        return {name: blob.diff for name, blob in wanted.items()}

    def _backward(self, start: int, end: int) -> None:
        self.core.backward(start, end)

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: np.ndarray) -> Arrays:
        """Forward of any number of samples, batch by batch; the last is filled up with zeros.

        Args:
            blobs: blobs to collect besides the outputs.
            inputs: for every input an array of as many samples.

        Returns:
            By name an array with an entry a sample.
        """
        found: dict[str, list[np.ndarray]] = {}
        for batch in self._batch(inputs):
            for blob, values in self.forward(blobs, None, None, **batch).items():
                found.setdefault(blob, []).append(values.copy())
        return _joined(found, _count(inputs))

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **arrays: np.ndarray
    ) -> tuple[Arrays, Arrays]:
        """Forward and backward of any number of samples, batch by batch; the last is filled up with zeros.

        Args:
            blobs, diffs: blobs whose data and diff to collect besides those of outputs and inputs.
            arrays: for every input the data, and for every output the diff, of as many samples; where none of either
                are given, blobs are taken as they are.

        Returns:
            Data and diffs by name, with an entry a sample.
        """
        unknown = [name for name in arrays if name not in (*self.inputs, *self.outputs)]
        if unknown:
            help = f"inputs: {', '.join(self.inputs)}; outputs: {', '.join(self.outputs)}"
            raise UsageError(f"{unknown[0]!r} is neither input nor output of this net", help=help)
        forwards = self._batch({name: arrays[name] for name in self.inputs if name in arrays})
        backwards = self._batch({name: arrays[name] for name in self.outputs if name in arrays})
        data: dict[str, list[np.ndarray]] = {}
        gradients: dict[str, list[np.ndarray]] = {}
        none: Arrays = {}
        for inputs, outputs in zip_longest(forwards, backwards, fillvalue=none):
            for blob, values in self.forward(blobs, None, None, **inputs).items():
                data.setdefault(blob, []).append(values.copy())
            for blob, values in self.backward(diffs, None, None, **outputs).items():
                gradients.setdefault(blob, []).append(values.copy())
        return _joined(data, _count(arrays)), _joined(gradients, _count(arrays))

    def _batch(self, arrays: Mapping[str, np.ndarray]) -> Iterator[Arrays]:
        """Batches of the net's size, as its first blob has it."""
        if not arrays:
            return
        size, count = next(iter(self.blobs.values())).shape[0], _count(arrays)
        for begin in range(0, count, size):
            part = {name: np.asarray(values[begin : begin + size]) for name, values in arrays.items()}
            missing = begin + size - count
            if missing > 0:
                part = {name: np.pad(v, [(0, missing), *[(0, 0)] * (v.ndim - 1)]) for name, v in part.items()}
            yield part

    def reshape(self) -> None:
        """Work out the shapes of all blobs from those of the inputs."""
        self.core.reshape()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        self.core.clear_gradients()

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Let the MemoryData layer this net begins with read from these arrays, from their beginning.

        They are not copied: what is written to them is seen by the next forward.

        Args:
            data: float32, C-contiguous, M×C×H×W; M is a multiple of the layer's batch_size.
            labels: float32, C-contiguous, M or M×1×1×1.

        Raises:
            UsageError: the first layer is of another type.
            LayerError: the arrays do not fit it.
        """
        first = self.core.graph.nodes[0]
        if first.type != "MemoryData":
            raise UsageError(
                f"set_input_arrays needs a net whose first layer is MemoryData; {first.name!r} is {first.type}",
                help="write to the input blobs instead: net.blobs['data'].data[...] = values",
            )
        first.layer.set_arrays(data, labels)

    # -- callbacks ------------------------------------------------------------------------------------------------

    def before_forward(self, run: Callable[[int], object]) -> None:
        """Call `run` with a layer's index before its forward."""
        self._call("before_forward", run)

    def after_forward(self, run: Callable[[int], object]) -> None:
        """Call `run` with a layer's index after its forward."""
        self._call("after_forward", run)

    def before_backward(self, run: Callable[[int], object]) -> None:
        """Call `run` with a layer's index before its backward."""
        self._call("before_backward", run)

    def after_backward(self, run: Callable[[int], object]) -> None:
        """Call `run` with a layer's index after its backward."""
        self._call("after_backward", run)

    def _call(self, moment: str, run: Callable[[int], object]) -> None:
        if not callable(run):
            raise UsageError(f"{moment} takes a function of a layer's index, got {run!r}")
        self.core.callbacks.setdefault(moment, []).append(run)

    # -- weights --------------------------------------------------------------------------------------------------

    def copy_from(self, weights: Path) -> None:
        """Copy trained weights into the layers of the same name.

        Raises:
            SnapshotError: the file cannot be read or does not fit.
        """
        self.core.load_weights(os.fspath(weights))

    load_hdf5 = copy_from

    def share_with(self, other: Net) -> None:
        """Use the weights of another net's layers of the same names from now on: the very memory, not a copy.

        Raises:
            SnapshotError: layers of one name have weights of other shapes.
        """
        self.core.share(other.core)

    def save(self, path: Path) -> None:
        """Write the weights as a caffemodel, atomically.

        Raises:
            SnapshotError: the file cannot be written.
        """
        self.core.save(os.fspath(path))

    def save_hdf5(self, path: Path) -> None:
        """Write the weights in HDF5, atomically.

        Raises:
            SnapshotError: the file cannot be written, or HDF5 cannot hold a layer's name.
        """
        self.core.save(os.fspath(path), as_hdf5=True)


def _put(blob: str, target: np.ndarray, values: np.ndarray) -> None:
    shape = np.shape(values)
    try:
        if shape[:1] != target.shape[:1]:
            raise ValueError
        target[...] = values
    except ValueError:
        raise UsageError(
            f"values of shape {shape} do not fit blob {blob!r} of shape {target.shape}",
            help=f"net.blobs[{blob!r}].reshape(...) takes the net along",
        ) from None


def _count(arrays: Mapping[str, np.ndarray]) -> int:
    """How many samples the arrays have."""
    counts = {name: len(values) for name, values in arrays.items()}
    if not counts:
        raise UsageError("no arrays are given", help="net.forward_all(data=images)")
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UsageError(f"the arrays are of different lengths: {each}")
    return next(iter(counts.values()))


def _joined(found: Mapping[str, list[np.ndarray]], count: int) -> Arrays:
    """The collected batches as arrays, less what the last was filled up with."""
    return {
        blob: np.concatenate([np.atleast_1d(values) for values in batches])[:count] for blob, batches in found.items()
    }
