"""What a file is, by its content: file names lie, and people give the wrong one of two files."""

from __future__ import annotations

import enum
import re
from pathlib import Path

from ..errors import Fault, Place, SnapshotError
from .wire import BYTES, VARINT, WireError, fields

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_OWN_EXTENSIONS = 5000


class Kind(enum.Enum):
    """Kinds of files; the value names them in a sentence."""

    WEIGHTS = "weights (a caffemodel)"
    STATE = "a solver state"
    HDF5_WEIGHTS = "weights in HDF5"
    HDF5_STATE = "a solver state in HDF5"
    HDF5_OTHER = "an HDF5 file, but neither weights nor a solver state of Caffe"
    BLOB = "a single blob (such as a mean file)"
    EMPTY = "empty"
    PROTOTXT = "a prototxt (text)"
    LFS = "a Git LFS pointer: the file itself was never downloaded"
    WEB_PAGE = "a web page: the download went wrong"
    ARCHIVE = "a zip archive (PyTorch or NumPy write such files)"
    DAMAGED = "damaged or cut off"
    UNKNOWN = "no file of Caffe's"


def read_bytes(path: str | Path) -> bytes:
    """The whole file.

    Raises:
        SnapshotError: it is not there or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise fault(path, f"cannot be read: {getattr(error, 'strerror', error)}") from error


def fault(path: str | Path, message: str, help: str | None = None) -> SnapshotError:
    """An error that names the file."""
    return SnapshotError(Fault(message, Place(file=str(path)), help))


def kind_of(path: str | Path) -> Kind:
    """What kind of file lies at `path`.

    Raises:
        SnapshotError: it is not there or cannot be read.
    """
    data = read_bytes(path)
    return hdf5_kind(path) if data.startswith(HDF5_MAGIC) else binary_kind(data)


def hdf5_kind(path: str | Path) -> Kind:
    """What an HDF5 file holds."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "history" in file or "iter" in file:
                return Kind.HDF5_STATE
            return Kind.HDF5_WEIGHTS if isinstance(file.get("data"), h5py.Group) else Kind.HDF5_OTHER
    except (OSError, RuntimeError, KeyError, ValueError):
        return Kind.DAMAGED


def binary_kind(data: bytes) -> Kind:
    """What the content of a file that is not HDF5 is."""
    if not data:
        return Kind.EMPTY
    if data.startswith(b"PK\x03\x04"):
        return Kind.ARCHIVE
    return _text_kind(data) or _message_kind(data)


def _text_kind(data: bytes) -> Kind | None:
    beginning = data[:4096]
    if re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", beginning):
        return None
    text = beginning.decode("utf-8-sig", "replace").lstrip()
    if text.startswith("version https://git-lfs"):
        return Kind.LFS
    if text.startswith("<"):
        return Kind.WEB_PAGE
    return Kind.PROTOTXT if re.match(r"#|//|\w+\s*[:{]", text) else None


def _message_kind(data: bytes) -> Kind:
    """Tell messages apart by the kinds of their first fields: field 1 is a net's name, but a state's iteration."""
    seen: set[tuple[int, int]] = set()
    try:
        for number, kind, _, _, _ in fields(memoryview(data)):
            seen.add((number, kind))
    except WireError:
        return Kind.DAMAGED
    ours = {(number, kind) for number, kind in seen if number < _OWN_EXTENSIONS}
    if (1, VARINT) in ours and ours <= {(1, VARINT), (2, BYTES), (3, BYTES), (4, VARINT)}:
        return Kind.STATE
    if {(5, BYTES), (8, BYTES)} & ours and not {(100, BYTES), (2, BYTES)} & ours:
        return Kind.BLOB
    return Kind.WEIGHTS if {(1, BYTES), (2, BYTES), (100, BYTES)} & ours else Kind.UNKNOWN
