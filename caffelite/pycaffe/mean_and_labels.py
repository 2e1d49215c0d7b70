"""What comes with a net that classifies: the mean of the images it learned from, and the names of its classes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..data.transform_param import by, read_mean
from ..errors import DataError, Fault
from ..snapshot import Kind, kind_of

Mean = str | os.PathLike[str] | Sequence[float] | NDArray[Any]
"""A file, numbers (as text, too: "104,117,123"), or an array."""

_NUMBER = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*"
_NUMBERS = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*")
_NPY, _NPZ = b"\x93NUMPY", b"PK\x03\x04"


def mean_of(given: Mean, channels: int, *, by_pixel: bool = False) -> NDArray[np.float32]:
    """The mean for a net with so many input channels: of each channel, K; or an image, K×H×W, where there is one and it
    is wanted `by_pixel`.  One number stands for every channel.

    A file is a .binaryproto, a .npy, or a .npz with one array, whatever it is called; in it lies K×H×W or K.

    Raises:
        DataError: a file cannot be read or holds something else, or what is given does not fit the channels.
    """
    if isinstance(given, str) and _NUMBERS.fullmatch(given):
        given = [float(number) for number in given.split(",")]
    if isinstance(given, (str, os.PathLike)):
        name, mean = f'mean file "{os.fspath(given)}"', _read(Path(given))
    else:
        name, mean = "mean", np.asarray(given)
    mean = _fitting(mean, channels, name)
    return mean if by_pixel or mean.ndim == 1 else mean.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def _fitting(mean: NDArray[Any], channels: int, name: str) -> NDArray[np.float32]:
    """The mean as K or K×H×W."""
    shape = mean.shape
    while mean.ndim > 3 and len(mean) == 1:
        mean = mean[0]
    if mean.ndim == 2 and channels == 1:
        mean = mean[np.newaxis]
    if mean.shape in ((), (1,)):
        mean = np.repeat(mean, channels)
    if mean.dtype.kind not in "fiu" or mean.ndim not in (1, 3) or len(mean) != channels or not mean.size:
        wanted = f"{channels} channel{'s' * (channels != 1)}"
        here = f"{shape[0]} numbers" if len(shape) == 1 else by(shape) or "no number"
        turned = mean.ndim == 3 and mean.shape[2] == channels
        help = "mean.transpose(2, 0, 1) makes K×H×W of it" if turned else f"{channels}×H×W, or one number a channel"
        raise DataError(Fault(f"the {name} is {here}, and the net's input has {wanted}", help=help))
    if not np.isfinite(mean).all():
        raise DataError(f"the {name} holds values that are not finite")
    return mean.astype(np.float32)


def _read(path: Path) -> NDArray[Any]:
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(_NPY))
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise DataError(f'mean file "{path}" cannot be read: {getattr(error, "strerror", error)}') from error
    if beginning != _NPY and not beginning.startswith(_NPZ):
        return _read_blob(path)
    try:
        loaded = np.load(path)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) == 1:
                return np.asarray(loaded[loaded.files[0]])
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f'mean file "{path}" cannot be read: {error}') from error
    names = ", ".join(loaded.files) or "none"
    raise DataError(Fault(f'mean file "{path}" must hold one array, got {names}', help="np.save writes one"))


def _read_blob(path: Path) -> NDArray[Any]:
    try:
        return read_mean(path)
    except DataError as error:
        kind = kind_of(path)
        if kind in (Kind.BLOB, Kind.UNKNOWN):
            raise
        help = "caffelite data compute-mean makes a mean file"
        raise DataError(Fault(f'"{path}" is no mean file: it is {kind.value}', help=help)) from error


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """The names of classes, a line each, class 0 first; such lines as "n01440764 tench, Tinca tinca" stay whole.

    Raises:
        DataError: the file cannot be read, is no text, or is empty.
    """
    try:
        text = Path(path).read_text("utf-8-sig", "replace")
    except (OSError, ValueError) as error:
        raise DataError(f'labels "{path}" cannot be read: {getattr(error, "strerror", error)}') from error
    if "\0" in text:
        raise DataError(Fault(f'labels "{path}" is no text file', help="it has a line for each class, class 0 first"))
    lines = text.rstrip().split("\n")
    if not lines[0] and len(lines) == 1:
        raise DataError(f'labels "{path}" is empty')
    return ["".join(letter if letter.isprintable() else "\ufffd" for letter in line.strip()) for line in lines]
