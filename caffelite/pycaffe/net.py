"""`Net` as scripts know it."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np

from .. import assembly
from ..errors import UsageError, did_you_mean
from ..net import Blob
from ..net import Net as Core
from ..proto import TEST, TRAIN
from . import state


class LayerView:
    """A layer of a net: its type and its weight blobs; what else is asked of a Python layer, its own instance says."""

    def __init__(self, name: str, type: str, blobs: list[Any], user: Any = None) -> None:
        self.name, self.type, self.blobs, self._user = name, type, blobs, user

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__dict__.get("_user") is None:
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        return getattr(self._user, name)

    def __repr__(self) -> str:
        return f"<{self.type} {self.name!r}>"


class Net:
    """A net whose every blob can be looked at.

    Args:
        network_file: path of the prototxt.
        phase: TRAIN or TEST.
        level, stages: the rest of the NetState.
        weights: path of a caffemodel to copy weights from.

    The old order `Net(network_file, weights, phase)` is understood too.

    Raises:
        CaffeliteError: the file does not parse, the net does not fit together, or the weights do not fit the net.
    """

    def __init__(
        self,
        network_file: str | os.PathLike[str],
        phase: int | str = -1,
        *old: int,
        level: int = 0,
        stages: list[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            weights, phase = phase, old[0] if old else -1
        if phase not in (TRAIN, TEST):
            raise UsageError("Net needs a phase", help="Net('net.prototxt', caffelite.TEST)")
        core = assembly.load_net(
            network_file,
            phase,
            level=level,
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
        self.core = core
        # As in the original, `del net` closes files; at the end of the process the layers see to that.
        weakref.finalize(self, core.close).atexit = False
        self.blobs: OrderedDict[str, Blob] = OrderedDict(core.blobs)
        self.params: OrderedDict[str, list[Any]] = OrderedDict(core.params)
        nodes = list(zip(core.graph.nodes, core.rows, strict=True))
        self.layers = [
            LayerView(node.name, node.type, list(row), getattr(node.layer, "user", None)) for node, row in nodes
        ]
        self._layer_names = [layer.name for layer in self.layers]
        self.layer_dict = OrderedDict((layer.name, layer) for layer in self.layers)

    @property
    def name(self) -> str:
        """The net's name in its prototxt."""
        return self.core.name

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

    def _index(self, layer: str, last: bool = False) -> int:
        if layer not in self.layer_dict:
            raise UsageError(f"there is no layer {layer!r}", help=did_you_mean(layer, self._layer_names))
        if last:
            return len(self._layer_names) - 1 - self._layer_names[::-1].index(layer)
        return self._layer_names.index(layer)

    @staticmethod
    def _put(blob: str, target: np.ndarray, values: np.ndarray) -> None:
        """Copy values into an array of a blob, without repeating a batch of another size."""
        shape = np.shape(values)
        try:
            if len(shape) == target.ndim and shape[:1] != target.shape[:1]:
                raise ValueError
            target[...] = values
        except ValueError:
            raise UsageError(
                f"values of shape {shape} do not fit blob {blob!r} of shape {target.shape}",
                help=f"net.blobs[{blob!r}].reshape(...) takes the net along",
            ) from None

    def forward(
        self,
        blobs: list[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Forward, from the layer `start` to the layer `end`, after copying `inputs` into the input blobs.

        Returns:
            By name the arrays of the output blobs (of `end`'s tops where it is given) and of `blobs`.
        """
        for blob, values in inputs.items():
            if blob not in self.core.graph.inputs:
                raise UsageError(f"{blob!r} is no input of this net", help=f"its inputs: {', '.join(self.inputs)}")
            self._put(blob, self.blobs[blob].data, values)
        self.core.follow_inputs()
        self.core.pull()
        first = self._index(start) if start is not None else 0
        last = self._index(end, last=True) if end is not None else len(self.layers) - 1
        self.core.observed_plan.forward(first, last)
        self.core.push()
        names = self.top_names[end] if end is not None else self.outputs
        return {blob: self.blobs[blob].data for blob in [*names, *(blobs or [])]}

    def backward(
        self,
        diffs: list[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **top_diffs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Backward, from the layer `start` down to the layer `end`, after copying `top_diffs` into those blobs' diff.

        Blob gradients are overwritten, parameter gradients added to.

        Returns:
            By name the gradients of the inputs (of `end`'s bottoms where it is given) and of `diffs`.
        """
        for blob, values in top_diffs.items():
            if blob not in self.blobs:
                raise UsageError(f"there is no blob {blob!r}", help=did_you_mean(blob, self.blobs))
            self._put(blob, self.blobs[blob].diff, values)
        self.core.pull()
        first = self._index(start, last=True) if start is not None else len(self.layers) - 1
        last = self._index(end) if end is not None else 0
        self.core.observed_plan.backward(first, last)
        self.core.push()
        names = self.bottom_names[end] if end is not None else self.inputs
        return {blob: self.blobs[blob].diff for blob in [*names, *(diffs or [])]}

    def reshape(self) -> None:
        """Work out the shapes of all blobs from those of the inputs."""
        self.core.reshape()

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

    def copy_from(self, weights: str | os.PathLike[str]) -> None:
        """Copy trained weights into the layers of the same name.

        Raises:
            SnapshotError: the file cannot be read or does not fit.
        """
        self.core.load_weights(os.fspath(weights))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as a caffemodel, atomically."""
        self.core.save(os.fspath(path))

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        self.core.clear_gradients()
