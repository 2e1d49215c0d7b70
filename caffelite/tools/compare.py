"""A net against values recorded elsewhere: run it on the recorded inputs, and see which blob differs first.

A record is an .npz or HDF5 file of arrays under the names of blobs, such as

    numpy.savez("dump.npz", **{name: blob.data for name, blob in net.blobs.items()})

makes in the original's Python module.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault, GraphError, Place, UsageError, did_you_mean
from ..proto import NetParameter
from .differences import array_difference

if TYPE_CHECKING:
    from ..net import Net

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class BlobChange:
    """How a blob differs from what was recorded.

    Attributes:
        layer, type: what makes it: the last layer that writes it.
        shape, recorded: ours, and that of the record; equal unless only leading or trailing ones differ.
        largest: of the absolute differences; infinite where the shapes do not fit.
        relative: that of the whole (see :class:`.differences.ArrayChange`).
        at: index of the largest difference.
        close: whether |ours − recorded| ≤ atol + rtol · (largest |recorded|) everywhere.
        fed: it is an input, and was taken from the record.
    """

    blob: str
    layer: str
    type: str
    shape: tuple[int, ...]
    recorded: tuple[int, ...]
    largest: float = float("inf")
    relative: float = float("inf")
    at: tuple[int, ...] = ()
    close: bool = False
    fed: bool = False


def read_record(path: str | Path) -> Arrays:
    """The numeric arrays of an .npz or HDF5 file by name ("group/name" in HDF5); nothing in it is run.

    Raises:
        DataError: the file is missing, is neither, or is damaged; or an array is not of numbers.
    """
    try:
        return _read_hdf5(path) if h5py.is_hdf5(path) else _read_npz(path)
    except FileNotFoundError:
        raise DataError(Fault("no such file", Place(str(path)))) from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        help = 'a record is made by numpy.savez("dump.npz", data=…, fc7=…) or by h5py'
        raise DataError(Fault(f"no arrays can be read: {error}", Place(str(path)), help)) from None


def _read_npz(path: str | Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        if not hasattr(file, "files"):
            raise ValueError(
                "it holds one array without a name: an .npz file holds several, each with the name of a blob"
            )
        return {name: _numeric(name, file[name]) for name in file.files}


def _read_hdf5(path: str | Path) -> Arrays:
    found: Arrays = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = _numeric(name, item[()])

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return found


def _numeric(name: str, array: Any) -> NDArray[Any]:
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ValueError(f'"{name}" is an array of {array.dtype}, not of numbers')
    return array


def fed_by(message: Any, record: Mapping[str, Any]) -> Any:
    """The net with an Input layer for every source of data all of whose tops are recorded, in their recorded shapes.

    Args:
        message: a NetParameter with the layers of one state (its rules are taken out).

    Raises:
        GraphError: a top of a source is not recorded.
    """
    net = NetParameter()
    net.CopyFrom(message)
    faults = []
    for layer in net.layer:
        layer.ClearField("include")
        layer.ClearField("exclude")
        if layer.bottom or layer.type in ("DummyData", "Parameter"):
            continue
        tops = list(layer.top)
        missing = [top for top in tops if top not in record]
        faults += [_missing(layer, top, record) for top in missing]
        if not missing:
            layer.CopyFrom(type(layer)(name=layer.name, type="Input", top=tops))
            for top in tops:
                layer.input_param.shape.add().dim.extend(record[top].shape)
    if faults:
        raise GraphError(faults)
    return net


def _missing(layer: Any, top: str, record: Mapping[str, Any]) -> Fault:
    help = did_you_mean(top, record) or f"it has: {', '.join(record)}"
    return Fault(f'the record has no "{top}", which the net reads from here', None, help, layer.name, layer.type)


def compare(net: Net, record: Mapping[str, Any], rtol: float = 1e-4, atol: float = 1e-6) -> list[BlobChange]:
    """Run a net on the recorded inputs, and compare each of its blobs that is recorded, in the order of the layers.

    Args:
        net: with all its blobs (`observed`), its inputs of the recorded shapes.
        record: arrays by blob.
        rtol: in proportion to the largest recorded magnitude of the blob.
        atol: beyond that.

    Raises:
        UsageError: nothing but inputs is recorded under the name of a blob.
    """
    fed = {blob for blob in net.graph.inputs if blob in record}
    for blob in fed:
        net.blobs[blob].data[...] = record[blob]
    net.forward()
    compared = [
        _compared(net, blob, record[blob], rtol, atol, blob in fed) for blob in _in_order(net) if blob in record
    ]
    if all(change.fed for change in compared):
        blobs = ", ".join(net.blobs)
        raise UsageError(
            f"the record has no blob of the net but its inputs: {', '.join(record)}", help=f"its blobs: {blobs}"
        )
    return compared


def _in_order(net: Net) -> Iterator[str]:
    """The blobs, each where its last writer stands."""
    makers = _makers(net)
    yield from sorted(net.blobs, key=lambda blob: makers[blob].index)


def _makers(net: Net) -> dict[str, Any]:
    return {blob: node for node in net.graph.nodes for blob in node.tops}


def _compared(net: Net, blob: str, recorded: NDArray[Any], rtol: float, atol: float, fed: bool) -> BlobChange:
    maker, ours = _makers(net)[blob], np.array(net.blobs[blob].data)
    head = (blob, maker.name, maker.type, ours.shape, recorded.shape)
    if _squeezed(ours.shape) != _squeezed(recorded.shape):
        return BlobChange(*head, fed=fed)
    theirs = np.asarray(recorded, np.float64).reshape(ours.shape)
    largest, relative, at = array_difference(theirs, ours)
    finite = np.abs(theirs[np.isfinite(theirs)])
    return BlobChange(*head, largest, relative, at, largest <= atol + rtol * float(finite.max(initial=0)), fed)


def _squeezed(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]
