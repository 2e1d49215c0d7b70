"""What a TransformationParameter says by itself, and the mean file that it names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import DataError, Fault
from ..proto import BlobProto
from . import augment
from .image import Colour

Floats = NDArray[np.float32]

_KEEP_ONE = "keep one of the two"


def faults(param: Any) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with it whatever the data: messages, the fields they are about, and what to do."""
    if param.HasField("mean_file") and param.mean_value:
        yield "mean_file and mean_value cannot both be given", "mean_value", _KEEP_ONE
    if param.force_color and param.force_gray:
        yield "force_color and force_gray cannot both be true", "force_gray", _KEEP_ONE
    for field, values in (("scale", [param.scale]), ("mean_value", param.mean_value)):
        if not all(map(math.isfinite, values)):
            yield f"{field} must be a number", field, None
    for rule, field in augment.faults(param.augmentation):
        yield f"{field} {rule}, got {getattr(param.augmentation, field):g}", f"augmentation.{field}", None


def colour_of(param: Any) -> Colour:
    """How encoded images are decoded."""
    return "colour" if param.force_color else "gray" if param.force_gray else "as stored"


def read_mean(path: Path) -> Floats:
    """The mean image, C×H×W, in a binary BlobProto.

    Raises:
        DataError: the file is missing, is no BlobProto, or holds another number of values than its shape says.
    """
    try:
        blob = BlobProto.FromString(path.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise DataError(f'mean file "{path}" cannot be read: {getattr(error, "strerror", error)}') from error
    except DecodeError as error:
        raise DataError(
            Fault(f'mean file "{path}" is not a BlobProto', help="caffelite data compute-mean makes one")
        ) from error
    legacy = any(blob.HasField(field) for field in ("num", "channels", "height", "width"))
    shape = [blob.num, blob.channels, blob.height, blob.width] if legacy else list(blob.shape.dim)
    values = np.array(blob.data or blob.double_data, np.float32)
    if len(shape) > 4 or min(shape, default=1) < 1 or values.size != prod(shape):
        raise DataError(f'mean file "{path}" says shape {by(shape)}, but holds {values.size} values')
    shape += [1] * (4 - len(shape))
    return values.reshape(shape)[0]


def by(shape: Sequence[int]) -> str:
    """A shape for messages: 3×4×5."""
    return "×".join(map(str, shape))
