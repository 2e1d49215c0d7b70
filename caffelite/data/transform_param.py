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
from . import augment, patches, reshaping
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
    for message, field in patches.faults(param):
        yield message, field, None
    crop = crop_of(param)
    if crop is None and (param.crop_h or param.crop_w):
        yield "crop_h and crop_w must both be positive", "crop_h" if param.crop_h else "crop_w", None
    if param.crop_size and (param.crop_h or param.crop_w) and (param.crop_h, param.crop_w) != crop:
        yield "crop_size contradicts crop_h and crop_w", "crop_size", _KEEP_ONE
    yield from reshaping.faults(param, crop)
    for rule, field in augment.faults(param.augmentation):
        yield f"{field} {rule}, got {getattr(param.augmentation, field):g}", f"augmentation.{field}", None


def crop_of(param: Any) -> tuple[int, int] | None:
    """Height and width of what is cut out of an image; None: all of it is taken."""
    if param.crop_size:
        return int(param.crop_size), int(param.crop_size)
    return (int(param.crop_h), int(param.crop_w)) if param.crop_h and param.crop_w else None


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
        said = getattr(error, "strerror", error)
        raise DataError(f'mean file "{path}" cannot be read: {said}', code="CL401") from error
    except DecodeError as error:
        raise DataError(
            Fault(f'mean file "{path}" is not a BlobProto', help="caffelite data compute-mean makes one", code="CL402")
        ) from error
    legacy = any(blob.HasField(field) for field in ("num", "channels", "height", "width"))
    shape = [blob.num, blob.channels, blob.height, blob.width] if legacy else list(blob.shape.dim)
    values = np.array(blob.data or blob.double_data, np.float32)
    if len(shape) > 4 or min(shape, default=1) < 1 or values.size != prod(shape):
        raise DataError(f'mean file "{path}" says shape {by(shape)}, but holds {values.size} values', code="CL403")
    shape += [1] * (4 - len(shape))
    return values.reshape(shape)[0]


def by(shape: Sequence[int]) -> str:
    """A shape for messages: 3×4×5."""
    return "×".join(map(str, shape))
