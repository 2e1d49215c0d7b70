"""Snapshots in HDF5 (`snapshot_format: HDF5`), readable by the original.

Source: `Net::ToHDF5` in `src/caffe/net.cpp`, `SnapshotSolverStateToHDF5` in `src/caffe/solvers/sgd_solver.cpp`,
`src/caffe/util/hdf5.cpp`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..errors import Fault, Place, SnapshotError
from ..snapshot import LayerParts, SolverStateData, write_atomic


def write_weights(path: str, layers: Sequence[LayerParts], owned: Collection[tuple[str, int]]) -> None:
    """Write the groups data/<layer> (and diff/<layer>, where there are gradients) with datasets 0, 1, ….

    Args:
        owned: (layer, slot) of the parameters; values that another layer owns are left to that layer (gradients are
            not).

    Raises:
        SnapshotError: a layer name cannot be an HDF5 group of its own, or the file cannot be written.
    """
    names = [str(layer.settings.name) for layer in layers]
    slashed = [Fault("a name with a slash cannot be saved in HDF5", layer=name) for name in names if "/" in name]
    nameless = [Fault("a layer without a name cannot be saved in HDF5", layer="")] if "" in names else []
    twice = {name for name in names if names.count(name) > 1}
    repeated = [Fault("a name of two layers cannot be saved in HDF5", layer=name) for name in sorted(twice - {""})]
    if slashed or nameless or repeated:
        help, faults = "rename the layer, or use snapshot_format: BINARYPROTO", slashed + nameless + repeated
        raise SnapshotError([Fault(fault.message, Place(path), help, fault.layer) for fault in faults])

    def fill(file: Any) -> None:
        for group, part in (("data", "blobs"), ("diff", "diffs")):
            if group == "diff" and not any(layer.diffs for layer in layers):
                continue
            for layer in layers:
                made = file.create_group(f"{group}/{layer.settings.name}")
                for slot, values in enumerate(getattr(layer, part)):
                    if group == "diff" or (layer.settings.name, slot) in owned:
                        made.create_dataset(str(slot), data=np.asarray(values, np.float32))

    _write(path, fill)


def write_state(path: str, state: SolverStateData) -> None:
    """Write iter, learned_net, current_step and the group history with datasets 0, 1, ….

    Raises:
        SnapshotError: the file cannot be written.
    """

    def fill(file: Any) -> None:
        file.create_dataset("iter", data=np.array([state.iter], np.int32))
        file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
        if state.learned_net is not None:
            _string(file, "learned_net", state.learned_net)
        history = file.create_group("history")
        for index, values in enumerate(state.history):
            history.create_dataset(str(index), data=np.asarray(values, np.float32))

    _write(path, fill)


def _string(file: Any, name: str, text: str) -> None:
    """A scalar string of fixed size that ends in NUL: the original reads into a buffer of the stored size and takes
    what is there for a C string, while h5py by itself writes variable-length ones, or leaves the NUL out."""
    import h5py

    encoded = text.encode() + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(encoded))
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(encoded, dtype=f"S{len(encoded)}"), mtype=kind)


def _write(path: str, fill: Callable[[Any], None]) -> None:
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    write_atomic(path, lambda target: target.write(memory.getbuffer()))
