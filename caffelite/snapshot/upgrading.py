"""Weights of any age as files of today: layers of today's form, and numbers where every Caffe reads them.

Of the settings of old layers those are kept that the schema of today reads.  What a fork numbered otherwise is left
out, without harm: weights are found by name.  Blobs stay as they are but for the raw numbers of NVIDIA's fork; the
original reads sizes of the old form (num, channels, height, width) more leniently than a shape, so these stay, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from .. import proto
from ..errors import CaffeliteError, Fault, Place
from ..upgrade import upgrade_net
from .blobs import without_raw
from .caffemodel import BLOBS, LAYER, LAYERS, blobs_of, refuse_others, with_blobs
from .kinds import HDF5_MAGIC, Kind, binary_kind, fault, hdf5_kind, read_bytes
from .wire import BYTES, Piece, WireError, bytes_field, fields

_V0_LAYER, _V0_BLOBS, _V1_BLOBS = 1, 50, 6


def upgraded_weights(path: str | Path) -> tuple[list[Piece] | None, list[Fault]]:
    """The content of a weight file as today's, and what was done; None where there is nothing to do.

    Raises:
        SnapshotError: the file is missing, damaged, holds no weights, or its layers have no single reading.
    """
    data = read_bytes(path)
    if data.startswith(HDF5_MAGIC):
        refuse_others(path, hdf5_kind(path), Kind.HDF5_WEIGHTS)
        return None, []
    refuse_others(path, binary_kind(data), Kind.WEIGHTS)
    net = memoryview(data)
    notes: list[Fault] = []
    try:
        if any((number, kind) == (LAYERS, BYTES) for number, kind, _, _, _ in fields(net)):
            pieces, notes = _with_layers_of_today(path, net)
            net = memoryview(b"".join(pieces))
        new, count = _without_raw(net)
    except WireError as error:
        raise fault(path, f"damaged or cut off: {error}") from error
    if count:
        what = f"{count} weight blob{'s' * (count != 1)} of NVIDIA's raw form"
        notes.append(Fault(f"{what} written as numbers of 32 bits", Place(str(path)), severity="note"))
    return (new if notes else None), notes


def _without_raw(net: memoryview) -> tuple[list[Piece], int]:
    """A net of today's form with its raw blobs written as others are, and their number."""
    pieces: list[Piece] = []
    count = 0
    for number, kind, value, start, end in fields(net):
        whole: list[Piece] = [net[start:end]]
        if (number, kind) == (LAYER, BYTES) and isinstance(value, memoryview):
            inside, found = _layer_without_raw(value)
            whole, count = (bytes_field(LAYER, inside) if found else whole), count + found
        pieces += whole
    return pieces, count


def _layer_without_raw(layer: memoryview) -> tuple[list[Piece], int]:
    pieces: list[Piece] = []
    count = 0
    for number, kind, value, start, end in fields(layer):
        blob = without_raw(value) if (number, kind) == (BLOBS, BYTES) and isinstance(value, memoryview) else None
        pieces += [layer[start:end]] if blob is None else bytes_field(BLOBS, blob)
        count += blob is not None
    return pieces, count


# -- `layers`, V1 or V0 -----------------------------------------------------------------------------------------------


def _with_layers_of_today(path: str | Path, data: memoryview) -> tuple[list[Piece], list[Fault]]:
    """A net that has layers of an old form, brought to today's."""
    net, blobs, left_out = proto.NetParameter(), dict[str, list[memoryview]](), 0
    for number, kind, value, start, end in fields(data):
        if number in (LAYERS, LAYER) and kind == BYTES and isinstance(value, memoryview):
            name, holder = ("layers", net.layers) if number == LAYERS else ("layer", net.layer)
            blobs[f"{name}[{len(holder)}]"] = blobs_of(number, value)
            left_out += _fill(holder.add(), _settings(number, value))
        else:
            left_out += _fill(net, [data[start:end]])
    place = Place(str(path))
    try:
        upgraded = upgrade_net(net, lambda _: place, dialects=False)
    except CaffeliteError as error:
        why = error.faults[0]
        raise fault(path, f"its layers cannot be brought to today's form: {why.message}", why.help) from error
    notes = list(upgraded.notes)
    if left_out:
        what = f"{left_out} setting{'s' * (left_out != 1)} that the schema does not read left out"
        notes.append(Fault(f"{what}; weights are not concerned", place, severity="warning"))
    return list(_pieces(upgraded, blobs)), notes


def _pieces(upgraded: Any, blobs: dict[str, list[memoryview]]) -> Iterator[Piece]:
    """The fields of the new net, its layers with their old blobs."""
    rest = type(upgraded.message)()
    rest.CopyFrom(upgraded.message)
    rest.ClearField("layer")
    written = memoryview(rest.SerializeToString(deterministic=True))
    cut = next((start for number, _, _, start, _ in fields(written) if number > LAYER), len(written))
    yield written[:cut]
    for index, settings in enumerate(upgraded.message.layer):
        held = blobs.get(upgraded.origin(f"layer[{index}]"), [])
        inside = [piece for blob in held for piece in bytes_field(BLOBS, [blob])]
        yield from bytes_field(LAYER, with_blobs(settings, inside))
    yield written[cut:]


def _settings(number: int, layer: memoryview) -> Iterator[Piece]:
    """The fields of a layer of any age that are no weights; those of a V0 layer's inside, too."""
    for field, kind, value, start, end in fields(layer):
        if number == LAYERS and (field, kind) == (_V0_LAYER, BYTES) and isinstance(value, memoryview):
            inside = [value[a:b] for f, k, _, a, b in fields(value) if (f, k) != (_V0_BLOBS, BYTES)]
            yield b"".join(bytes_field(_V0_LAYER, inside))
        elif (field, kind) != (_V1_BLOBS if number == LAYERS else BLOBS, BYTES):
            yield layer[start:end]


def _fill(message: Any, entries: Iterable[Piece]) -> int:
    """Read fields one by one into a message; how many of them it cannot read."""
    failed = 0
    for entry in entries:
        one = type(message)()
        try:
            one.MergeFromString(bytes(entry))
        except DecodeError:
            failed += 1
            continue
        message.MergeFrom(one)
    return failed
