"""From a file or a text to a message, with everything that is wrong in it told at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from .. import proto
from ..errors import Fault, Place, Places, PrototxtError, nearest, nowhere
from .build import build
from .hints import other_kind, root_label
from .parse import parse
from .tree import Document
from .where import TreePlaces

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[M]):
    """A message that was read, what was irregular in its text, where its fields stand, and the text's tree."""

    message: M
    warnings: list[Fault]
    places: Places
    document: Document

    @classmethod
    def of(cls, message: M) -> Loaded[M]:
        """A message that was not read from a text, so that :func:`override` can work on it too."""
        return cls(message, [], nowhere, Document([], []))


def load(path: str | Path, message_type: type[M], strict: bool = False) -> Loaded[M]:
    """Read a prototxt file.

    Args:
        path: the file; places name it as it is given here.
        message_type: what the file describes, such as ``NetParameter``.
        strict: take warnings for errors.

    Raises:
        PrototxtError: the file cannot be read, is no text, is empty, or has faults: all of them, in their order.
    """
    text = text_of(path, root_label(message_type.DESCRIPTOR))
    loaded = loads(text, message_type, file=str(path), strict=strict)
    refuse_empty(loaded, path)
    return loaded


def refuse_empty(loaded: Loaded[Any], path: str | Path) -> None:
    """Raise PrototxtError where nothing stands in the file but comments."""
    if not loaded.document.fields:
        what = "holds only comments" if loaded.document.text().strip("\ufeff \t\r\n") else "is empty"
        message = f"the file {what}; {root_label(loaded.message.DESCRIPTOR)} was expected"
        raise _refused(path, message, _EMPTY_HELP, code="CL003")


def loads(text: str, message_type: type[M], file: str | None = None, strict: bool = False) -> Loaded[M]:
    """Read prototxt from a string; `file` is the name that its places bear.  Otherwise as :func:`load`; an empty
    text gives an empty message.

    Raises:
        PrototxtError: the text has faults: all of them, in their order.
    """
    loaded = survey(text, message_type, file)
    refuse(loaded.warnings, strict)
    return loaded


def survey(text: str, message_type: type[M], file: str | None = None) -> Loaded[M]:
    """As :func:`loads`, for somebody who goes on after faults: errors are among the warnings, and what has them is left
    out of the message.

    Raises:
        PrototxtError: the text describes a net where a solver is wanted, or the other way round.
    """
    document, findings = parse(text, file)
    roots = [proto.NetParameter.DESCRIPTOR, proto.SolverParameter.DESCRIPTOR]
    others = [*roots, proto.LabelMap.DESCRIPTOR]
    stranger = other_kind(document, message_type.DESCRIPTOR, others) if message_type.DESCRIPTOR in roots else None
    if stranger is not None:
        raise PrototxtError(stranger)
    message = build(document, message_type, findings)
    return Loaded(message, findings.in_order(), TreePlaces(document), document)


def refuse(found: list[Fault], strict: bool) -> None:
    """Raise what was found if an error is among it, or, when strict, a warning."""
    if strict:
        found = [replace(fault, severity="error") if fault.severity == "warning" else fault for fault in found]
    if any(fault.severity == "error" for fault in found):
        raise PrototxtError(found)


# Files that are no prototxt

_HEAD = 4096
"""Bytes by which a file is judged."""

_EMPTY_HELP = "was it written to the end? is it the right file?"
_BINARY_HELP = {
    ".caffemodel": "a .caffemodel holds trained weights, not a net: give it with --weights",
    ".solverstate": "a .solverstate holds the state of a run: give it with --snapshot",
    ".h5": "an HDF5 file holds weights or data: give weights with --weights",
    ".binaryproto": "a .binaryproto holds a mean image: name it as mean_file in transform_param",
}


def _refused(path: str | Path, message: str, help: str | None = None, code: str = "CL001") -> PrototxtError:
    return PrototxtError(Fault(message, Place(str(path)), help, code=code))


def text_of(path: str | Path, wanted: str) -> str:
    """The text of a file in which `wanted` was expected; bytes that are no UTF-8 are kept as lone surrogates.

    Raises:
        PrototxtError: the file cannot be read, or is no text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD)
            if not _is_binary(data):  # one that is may be large, or a device that never ends
                data += file.read()
    except FileNotFoundError:
        raise _refused(path, "no such file", _neighbours(Path(path))) from None
    except IsADirectoryError:
        raise _refused(path, "this is a folder, not a file", _inside(Path(path))) from None
    except OSError as error:
        raise _refused(path, f"the file cannot be read: {error.strerror}") from None
    except ValueError as error:  # a path that holds a NUL
        raise _refused(path, f"the file cannot be read: {error}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refused(path, "the file is in UTF-16", "save it in UTF-8", code="CL002")
    if _is_binary(data):
        help = _BINARY_HELP.get(Path(path).suffix, "prototxt is text; this may be weights, data or an archive")
        raise _refused(path, f"this is a binary file; {wanted} in prototxt was expected", help, code="CL002")
    # Old files have comments in other encodings: their bytes are carried along, and refused only inside a value.
    return data.decode("utf-8", "surrogateescape")


def _is_binary(data: bytes) -> bool:
    controls = sum(byte < 32 and byte not in b"\t\n\v\f\r" for byte in data[:_HEAD])
    return b"\0" in data or controls > 0.1 * min(len(data), _HEAD)


def _neighbours(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either, seen from {Path.cwd()}"
    stems = {entry.stem: entry.name for entry in path.parent.iterdir() if entry.is_file()}
    near = nearest(path.stem, stems)
    return f"did you mean {stems[near]}?" if near else None


def _inside(path: Path) -> str | None:
    files = sorted(entry.name for entry in path.glob("*.prototxt"))[:4]
    return f"it holds {', '.join(files)}" if files else None
