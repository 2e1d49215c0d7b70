"""IDX files, the form MNIST comes in: a magic number, the sizes of the axes, then bytes.  Gzipped or not."""

from __future__ import annotations

import gzip
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault

_UNSIGNED_BYTE = 0x08
_GZIP = b"\x1f\x8b"
_MOST_BYTES = 256 << 20
"""A few kilobytes can be uncompressed to gigabytes; the largest file of MNIST has 45 MiB."""


def read(path: Path) -> bytes:
    """The file's content, uncompressed.

    Raises:
        DataError: it cannot be read, or its compression is damaged.
    """
    try:
        return unpack(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f'"{path}" cannot be read: {error.strerror}') from error


def unpack(content: bytes, name: str) -> bytes:
    """The content, uncompressed if it is gzipped (whatever its name says).

    Raises:
        DataError: the compression is damaged, or the content far larger than any file of MNIST.
    """
    if not content.startswith(_GZIP):
        return content
    try:
        unpacked = gzip.GzipFile(fileobj=BytesIO(content)).read(_MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f'"{name}" is damaged: it cannot be uncompressed ({error})'
        raise DataError(Fault(message, help="get the file again")) from error
    if len(unpacked) > _MOST_BYTES:
        message = f'"{name}" holds more than {_MOST_BYTES >> 20} MiB: it is no file of MNIST'
        raise DataError(Fault(message, help="get the file again"))
    return unpacked


def parse(content: bytes, axes: int, name: str) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file's content.

    Args:
        axes: how many axes it must have (3 for images, 1 for labels).
        name: the file's name, for messages.

    Raises:
        DataError: another magic number, or more or fewer bytes than the sizes say.
    """
    magic = bytes([0, 0, _UNSIGNED_BYTE, axes])
    if content[:4] != magic:
        found = int.from_bytes(content[:4], "big")
        wanted = int.from_bytes(magic, "big")
        help = "is it the images' file under the labels' name, or no IDX file at all?"
        raise DataError(Fault(f'"{name}" must begin with the magic number {wanted}, got {found}', help=help))
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(Fault(f'"{name}" ends inside its header', help="get the file again"))
    sizes = struct.unpack(f">{axes}I", content[4:start])
    wanted = int(np.prod(sizes, dtype=object))
    if len(content) - start != wanted:
        rule = f"{'×'.join(map(str, sizes))} = {wanted} bytes after its header"
        raise DataError(Fault(f'"{name}" must have {rule}, got {len(content) - start}', help="get the file again"))
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
