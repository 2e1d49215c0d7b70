"""The HDF5 forms of weights and solver states (`snapshot_format: HDF5`), read and written.

Source: `Net::ToHDF5` in `src/caffe/net.cpp`, `SnapshotSolverStateToHDF5` in `src/caffe/solvers/sgd_solver.cpp`,
`src/caffe/util/hdf5.cpp`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaffeliteError, Fault, Place, SnapshotError
from .atomic import write_atomic
from .blobs import Array
from .kinds import fault

if TYPE_CHECKING:
    from .caffemodel import LayerParts
    from .solverstate import SolverStateData

_MOST_BLOBS = 100_000
"""More than any net has; a larger number is no number of a blob, and counting up to it would not end."""

_RUN = "caffelite_run"
"""The data set that holds a RunState; the original has none of that name."""

_BEST = "caffelite_best"
"""The attribute of the root that holds a BestOf."""

_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)
"""What h5py and NumPy raise for files that are not what they should be."""

LayerArrays = tuple[str, "list[Array | None]", "list[Array | None]"]


# -- reading ----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffeliteError:
        raise
    except _DAMAGE as error:
        raise fault(path, f"the HDF5 file is damaged or cut off: {error}") from error


def read_layers(path: str | Path) -> list[LayerArrays]:
    """Name, blobs and diffs of every layer: datasets "0", "1", … in the groups data/<layer> and diff/<layer>.

    A blob that is missing between or before others belongs to another layer, which shares it, and is None.

    Raises:
        SnapshotError: the file is damaged.
    """
    with _opened(path) as file:
        diffs = dict(_layers(file["diff"])) if "diff" in file else {}
        return [(name, blobs, diffs.get(name, [])) for name, blobs in _layers(file["data"])]


def _layers(group: Any, prefix: str = "") -> Iterator[tuple[str, list[Array | None]]]:
    """Layers of a group.  A name with a slash makes a group within a group; the innermost ones are layers."""
    import h5py

    for name, member in group.items():
        inner = [child for child in member.values() if isinstance(child, h5py.Group)]
        if inner:
            yield from _layers(member, f"{prefix}{name}/")
        if len(inner) < len(member) or not inner:
            yield prefix + name, _arrays(member)


def _arrays(group: Any) -> list[Array | None]:
    count = max((int(name) for name in group if name.isdecimal()), default=-1) + 1
    if count > _MOST_BLOBS:
        raise ValueError(f"{group.name} has a blob with the number {count - 1}")
    return [_array(group[str(i)]) if str(i) in group else None for i in range(count)]


def _array(dataset: Any) -> Array:
    if dataset.dtype.kind not in "fiu":
        raise TypeError(f"{dataset.name} holds no numbers")
    return np.asarray(dataset[()], dtype=np.float32)


def read_best(path: str | Path) -> bytes | None:
    """The bytes of the BestOf that weights were written with, if they were.

    Raises:
        SnapshotError: the file is damaged.
    """
    with _opened(path) as file:
        return np.asarray(file.attrs[_BEST], np.uint8).tobytes() if _BEST in file.attrs else None


def read_state_fields(path: str | Path) -> tuple[int, str | None, list[Array], int, bytes | None]:
    """Iteration, learned net, history, current step, and the bytes of the RunState, of a solver state.

    Raises:
        SnapshotError: the file is damaged.
    """
    with _opened(path) as file:
        history = [array for array in _arrays(file["history"]) if array is not None]
        if len(history) != len(file["history"]):
            raise ValueError("the history has gaps")
        learned = file["learned_net"][()] if "learned_net" in file else None
        text = learned.decode("utf-8", "backslashreplace") if isinstance(learned, bytes) else learned
        if not isinstance(text, str | None):
            raise TypeError("learned_net is no text")
        step = _integer(file["current_step"]) if "current_step" in file else 0
        run = np.asarray(file[_RUN][()], np.uint8).tobytes() if _RUN in file else None
        return _integer(file["iter"]), text, history, step, run


def _integer(dataset: Any) -> int:
    return int(np.asarray(dataset[()]).reshape(-1)[0])


# -- writing ----------------------------------------------------------------------------------------------------------


def write_weights(
    path: str, layers: Sequence[LayerParts], owned: Collection[tuple[str, int]], best: Any = None
) -> None:
    """Write the groups data/<layer> (and diff/<layer>, where there are gradients) with datasets 0, 1, ….

    Args:
        owned: (layer, slot) of the parameters; values that another layer owns are left to that layer (gradients are
            not).
        best: what the weights are the best of (a BestOf).

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
        if best is not None:
            file.attrs[_BEST] = np.frombuffer(best.SerializeToString(deterministic=True), np.uint8)
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
    """Write iter, learned_net, current_step, the group history with datasets 0, 1, …, and the RunState's bytes.

    Raises:
        SnapshotError: the file cannot be written.
    """

    def fill(file: Any) -> None:
        file.create_dataset("iter", data=np.array([state.iter], np.int32))
        file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
        if state.learned_net is not None:
            _string(file, "learned_net", state.learned_net)
        if state.run is not None:
            run = state.run.SerializeToString(deterministic=True)
            file.create_dataset(_RUN, data=np.frombuffer(run, np.uint8))
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
