"""The HDF5 forms of weights and solver states (`Net::ToHDF5` of src/caffe/net.cpp, solvers/sgd_solver.cpp), read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .blobs import Array
from .kinds import fault

_MOST_BLOBS = 100_000
"""More than any net has; a larger number is no number of a blob, and counting up to it would not end."""

LayerArrays = tuple[str, "list[Array | None]", "list[Array | None]"]


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, MemoryError) as error:
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


def read_state_fields(path: str | Path) -> tuple[int, str | None, list[Array], int]:
    """Iteration, learned net, history and current step of a solver state.

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
        return _integer(file["iter"]), text, history, step


def _integer(dataset: Any) -> int:
    return int(np.asarray(dataset[()]).reshape(-1)[0])
