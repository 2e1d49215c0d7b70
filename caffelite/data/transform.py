"""`transform_param`: crop, subtract the mean, scale, mirror; of a whole batch at once.

The arithmetic is that of the original's `src/caffe/data_transformer.cpp`: every value becomes (x − mean) · scale in
float32, the mean file being read at the crop's place in the full image; mirroring happens in either phase and turns
the result, so a mirrored image has the mean of where its pixels came from subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..errors import DataError, Fault, Places, nowhere
from ..proto import TRAIN, BlobProto
from ..runtime import seeds
from .datum import Array
from .image import Colour

Floats = NDArray[np.float32]

_WORDS = 4
"""Random 64-bit words a record has to itself: one step of Philox's counter.  Used: mirror, row, column of the crop."""


def contradictions(param: Any) -> list[tuple[str, str]]:
    """What is wrong with a TransformationParameter whatever the data: messages, and the fields they are about."""
    found = []
    if param.HasField("mean_file") and param.mean_value:
        found.append(("mean_file and mean_value cannot both be given", "transform_param.mean_value"))
    if param.force_color and param.force_gray:
        found.append(("force_color and force_gray cannot both be true", "transform_param.force_gray"))
    return found


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
            Fault(f'mean file "{path}" is not a BlobProto', help="it is made by compute_image_mean (.binaryproto)")
        ) from error
    legacy = any(blob.HasField(field) for field in ("num", "channels", "height", "width"))
    shape = [blob.num, blob.channels, blob.height, blob.width] if legacy else list(blob.shape.dim)
    values = np.array(blob.data or blob.double_data, np.float32)
    if len(shape) > 4 or min(shape, default=1) < 1 or values.size != prod(shape):
        raise DataError(f'mean file "{path}" says shape {_by(shape)}, but holds {values.size} values')
    shape += [1] * (4 - len(shape))
    return values.reshape(shape)[0]


class Transform:
    """A layer's transformation.  What is random in it depends on (seed, layer, position of the record) alone."""

    def __init__(self, param: Any, phase: int, mean: Floats | None = None, places: Places = nowhere) -> None:
        self.crop = int(param.crop_size)
        self.scale = np.float32(param.scale)
        self.mirror = bool(param.mirror)
        self.random_crop = bool(self.crop) and phase == TRAIN
        self._mean_file = mean
        self._mean_values = np.array(param.mean_value, np.float32).reshape(-1, 1, 1)
        self._places = places

    @property
    def plain(self) -> bool:
        """Whether it is arithmetic alone: nothing cropped, nothing mirrored."""
        return not self.crop and not self.mirror

    def shape(self, image: tuple[int, ...]) -> tuple[int, int, int]:
        """The transformed shape of a C×H×W image.

        Raises:
            DataError: crop, mean file or mean values do not fit it; every fault found.
        """
        channels, height, width = image
        faults = []
        if self.crop > min(height, width):
            faults.append(self._fault("crop_size", f"crop_size {self.crop} is larger than the {height}×{width} image"))
        if self._mean_file is not None and self._mean_file.shape != image:
            faults.append(
                self._fault("mean_file", f"the mean file is {_by(self._mean_file.shape)}, the image {_by(image)}")
            )
        if len(self._mean_values) not in (0, 1, channels):
            rule = "one mean_value, or as many as channels"
            faults.append(
                self._fault("mean_value", f"expected {rule} ({channels}), got {len(self._mean_values)} mean_value")
            )
        if faults:
            raise DataError(faults)
        return (channels, self.crop or height, self.crop or width)

    def _fault(self, field: str, message: str) -> Fault:
        return Fault(message, self._places(f"transform_param.{field}"))

    def __call__(self, images: Array | Sequence[Array], seed: int, layer: str, position: int) -> Floats:
        """Transform the images at positions position … of the stream.

        Args:
            images: uint8 or float32, N×C×H×W; or, with crop_size and no mean file, a list of C×H×W of different
                heights and widths.
            seed, layer, position: name the random draws.

        Returns:
            float32, N×C×crop×crop, or N×C×H×W without a crop; a new array.
        """
        mean = self._mean_values if self._mean_file is None else self._mean_file
        if self.plain:
            return self._scaled(images, mean)
        draws = self._draws(len(images), seed, layer, position)
        if self.crop:
            images, mean = self._crop(images, draws)
        result = self._scaled(images, mean)
        if self.mirror:
            turned = np.flatnonzero(draws[:, 0] & 1)
            result[turned] = result[turned][..., ::-1]
        return result

    def _draws(self, count: int, seed: int, layer: str, position: int) -> NDArray[np.uint64]:
        """Random words, a row a record."""
        if not (self.mirror or self.random_crop):
            return np.zeros((count, _WORDS), np.uint64)
        generator = np.random.Philox(key=seeds.derive(seed, layer, "transform"), counter=position)
        return generator.random_raw(count * _WORDS).reshape(count, _WORDS)

    def _crop(self, images: Array | Sequence[Array], draws: NDArray[np.uint64]) -> tuple[Array, Floats]:
        """The crops, and the mean at each (broadcastable)."""
        if not isinstance(images, np.ndarray):
            parts = [self._crop(image[np.newaxis], draws[[index]])[0] for index, image in enumerate(images)]
            return np.concatenate(parts), self._mean_values
        rows, columns = self._corners(images.shape[2], images.shape[3], draws)
        crops = _windows(images, self.crop)[np.arange(len(images)), :, rows, columns]
        if self._mean_file is None:
            return crops, self._mean_values
        return crops, _windows(self._mean_file[np.newaxis], self.crop)[0][:, rows, columns].swapaxes(0, 1)

    def _corners(self, height: int, width: int, draws: NDArray[np.uint64]) -> tuple[Array, Array]:
        """The first row and column of every crop."""
        spare = np.array([height - self.crop, width - self.crop], np.uint64)
        corners = draws[:, 1:3] % (spare + np.uint64(1)) if self.random_crop else np.tile(spare // 2, (len(draws), 1))
        rows, columns = corners.astype(np.int64).T
        return rows, columns

    def _scaled(self, images: Array | Sequence[Array], mean: Floats) -> Floats:
        """(x − mean) · scale; a step that changes nothing is left out."""
        if not mean.size:
            return np.multiply(images, self.scale, dtype=np.float32)
        result = np.subtract(images, mean, dtype=np.float32)
        if self.scale != 1:
            result *= self.scale
        return result


def _windows(images: Array, size: int) -> Array:
    """Every size×size window of N×C×H×W images: N×C×rows×columns×size×size, a view."""
    return sliding_window_view(images, (size, size), axis=(2, 3))


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
