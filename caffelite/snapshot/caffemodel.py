"""Weights: binary NetParameters of any age and fork, and HDF5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from .. import proto
from ..errors import Fault, Place, SnapshotError
from ..upgrade import v0, v1
from .atomic import write_atomic
from .blobs import Array, decode, encode_all
from .hdf5 import read_best as best_in_hdf5
from .hdf5 import read_layers
from .kinds import HDF5_MAGIC, Kind, binary_kind, fault, hdf5_kind, read_bytes
from .wire import BYTES, Piece, WireError, bytes_field, fields

LAYERS, LAYER, BLOBS = 2, 100, 7
"""Numbers of fields: `layers` and `layer` of a net, the blobs of a `layer`."""

_NAME, _BEST = 1, 5000


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """What a file holds of one layer.  A blob is None where HDF5 left it to the layer that owns it (shared weights).
    `diffs` is empty unless the file holds gradients too."""

    name: str
    type: str
    blobs: list[Array | None]
    diffs: list[Array | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a weight file holds: the net's name ("" in HDF5) and its layers, in the order of the file."""

    name: str
    layers: list[LayerWeights]


def read_weights(path: str | Path) -> Weights:
    """Read weights of any form, told by their content: today's `layer`, V1 or V0 `layers`, or HDF5.

    Of each layer only name, type and blobs are looked at, so that fields of a fork do no harm.  Types are today's
    spelling; layers of HDF5 have none ("").

    Raises:
        SnapshotError: the file is missing, damaged, or something else (the message says what).
    """
    data = read_bytes(path)
    if data.startswith(HDF5_MAGIC):
        refuse_others(path, hdf5_kind(path), Kind.HDF5_WEIGHTS)
        return Weights("", [LayerWeights(name, "", blobs, diffs) for name, blobs, diffs in read_layers(path)])
    refuse_others(path, binary_kind(data), Kind.WEIGHTS)
    try:
        return _read_net(path, memoryview(data))
    except WireError as error:
        raise fault(path, f"damaged or cut off: {error}") from error


def refuse_others(path: str | Path, kind: Kind, wanted: Kind) -> None:
    """Raise a SnapshotError for a file that is of another kind."""
    if kind is not wanted:
        is_state = kind in (Kind.STATE, Kind.HDF5_STATE)
        help = "weights are in the .caffemodel beside it; a state is resumed with --snapshot" if is_state else None
        raise fault(path, f"no weights can be read: the file is {kind.value}", help)


def _read_net(path: str | Path, data: memoryview) -> Weights:
    name, layers = "", []
    for number, kind, value, _, _ in fields(data):
        if kind != BYTES or not isinstance(value, memoryview):
            continue
        if number == _NAME:
            name = _text(value)
        elif number in _READERS:
            head, blobs = _READERS[number](value)
            layers.append(_decode_layer(path, head, blobs))
    return Weights(name, layers)


def blobs_of(number: int, data: memoryview) -> list[memoryview]:
    """The serialised blobs of an entry of `layer` or `layers` (its field's number says which).

    Raises:
        WireError: the entry is damaged.
    """
    return _READERS[number](data)[1]


def _decode_layer(path: str | Path, head: tuple[str, str], blobs: list[memoryview]) -> LayerWeights:
    decoded = []
    for index, blob in enumerate(blobs):
        try:
            decoded.append(decode(blob))
        except WireError as error:
            text = f"weight blob {index} cannot be read: {error}"
            raise SnapshotError(Fault(text, Place(str(path)), layer=head[0], layer_type=head[1] or None)) from error
    diffs = [diff for _, diff in decoded]
    return LayerWeights(*head, [data for data, _ in decoded], diffs if any(d is not None for d in diffs) else [])


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", "backslashreplace")


def _parts(data: memoryview, name: int, type: int, blobs: int) -> tuple[str, str | int, list[memoryview]]:
    """Name, type and blobs of a layer of any age, given the numbers of these fields."""
    found_name, found_blobs = "", []
    found_type: str | int = ""
    for number, kind, value, _, _ in fields(data):
        if number == type:
            found_type = value if isinstance(value, int) else _text(value)
        elif number == name and kind == BYTES and isinstance(value, memoryview):
            found_name = _text(value)
        elif number == blobs and kind == BYTES and isinstance(value, memoryview):
            found_blobs.append(value)
    return found_name, found_type, found_blobs


def _read_layer(data: memoryview) -> tuple[tuple[str, str], list[memoryview]]:
    name, type, blobs = _parts(data, name=1, type=2, blobs=BLOBS)
    return (name, str(type)), blobs


def _read_old_layer(data: memoryview) -> tuple[tuple[str, str], list[memoryview]]:
    """An entry of `layers`: V0 where it holds a layer of its own, else V1."""
    inner = [value for number, kind, value, _, _ in fields(data) if (number, kind) == (1, BYTES)]
    if inner and isinstance(inner[-1], memoryview):
        name, type, blobs = _parts(inner[-1], name=1, type=2, blobs=50)
        return (name, v1.TYPES.get(v0.TYPES.get(str(type), ""), str(type))), blobs
    name, type, blobs = _parts(data, name=4, type=5, blobs=6)
    known = proto.V1LayerParameter.LayerType.DESCRIPTOR.values_by_number.get(type)
    return (name, v1.TYPES.get(known.name, "") if known else ""), blobs


_READERS = {LAYER: _read_layer, LAYERS: _read_old_layer}


def read_best(path: str | Path) -> Any:
    """What weights are the best of (a BestOf), or None where their file says nothing of it.

    Raises:
        SnapshotError: the file is missing, damaged, or holds no weights.
    """
    data = read_bytes(path)
    if data.startswith(HDF5_MAGIC):
        refuse_others(path, hdf5_kind(path), Kind.HDF5_WEIGHTS)
        found = best_in_hdf5(path)
    else:
        refuse_others(path, binary_kind(data), Kind.WEIGHTS)
        notes = [value for number, kind, value, _, _ in fields(memoryview(data)) if (number, kind) == (_BEST, BYTES)]
        found = bytes(notes[-1]) if notes else None
    try:
        return None if found is None else proto.BestOf.FromString(found)
    except DecodeError as error:
        raise fault(path, f"what it says it is the best of cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class LayerParts:
    """What is to be written of one layer: its LayerParameter (blobs in it are ignored) and its weights, float32.
    `diffs` is empty, or holds a gradient for each blob (`snapshot_diff`)."""

    settings: Any
    blobs: Sequence[Any] = ()
    diffs: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class NetParts:
    """What is to be written of a net: its name and all its layers, shared weights with every layer that has them; and
    what these are the best of (a BestOf), if they were kept for that."""

    name: str
    layers: Sequence[LayerParts]
    best: Any = None


def write_weights(path: str | Path, net: Any) -> None:
    """Write a NetParameter, or a net given as :class:`NetParts`, as `Net::ToProto` of the original does; atomically.

    Raises:
        SnapshotError: the file cannot be written.
    """
    pieces = _encode_net(net) if isinstance(net, NetParts) else [net.SerializeToString()]
    write_atomic(path, lambda file: file.writelines(pieces))


def _encode_net(net: NetParts) -> list[Piece]:
    pieces = bytes_field(_NAME, [net.name.encode()])
    for layer in net.layers:
        pieces += bytes_field(LAYER, _encode_layer(layer))
    if net.best is not None:
        pieces += bytes_field(_BEST, [net.best.SerializeToString(deterministic=True)])
    return pieces


def _encode_layer(layer: LayerParts) -> list[Piece]:
    settings = type(layer.settings)()
    settings.CopyFrom(layer.settings)
    settings.ClearField("blobs")
    return with_blobs(settings, encode_all(layer.blobs, layer.diffs, BLOBS))


def with_blobs(settings: Any, blobs: list[Piece]) -> list[Piece]:
    """A layer's settings with the weights at the place their field number gives them, as protobuf orders fields."""
    written = memoryview(settings.SerializeToString(deterministic=True))
    cut = next((start for number, _, _, start, _ in fields(written) if number > BLOBS), len(written))
    return [written[:cut], *blobs, written[cut:]]
