"""From images to what a net reads, and back, as `caffe.io.Transformer` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CaffeliteError, UsageError, did_you_mean
from .resize import resize_image

Array = NDArray[Any]


class ShapeError(CaffeliteError, ValueError):
    """Values do not have, or do not fill, the shape that they are to have.  A ValueError, too, as in the original."""


class Transformer:
    """Brings images, H×W×K, into the form of a net's inputs, K×H×W, and takes them back.

    What is set for an input is done in this order, in float32:

    1. resize to the input's height and width (:func:`resize_image`)
    2. transpose, mostly by (2, 0, 1)
    3. channel_swap: reorder the channels, mostly by (2, 1, 0): R, G, B become B, G, R
    4. · raw_scale
    5. − mean
    6. · input_scale

    Args:
        inputs: the shapes of the inputs, N×K×H×W, by name: `{"data": net.blobs["data"].data.shape}`.

    Source: `python/caffe/io.py`.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, Any] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, Any] = {}

    def preprocess(self, in_: str, data: Array) -> NDArray[np.float32]:
        """An image, H′×W′×K, as the input `in_` takes it.

        The image itself stays as it is; the original wrote into one that was float32 and of the right size.

        Raises:
            ShapeError: channel_swap or the mean are for another number of channels.
        """
        self._check(in_)
        image = np.asarray(data, np.float32)
        sizes = self.inputs[in_][2:]
        image = resize_image(image, sizes) if image.shape[:2] != sizes else image.copy()
        transpose, swap = self.transpose.get(in_), self.channel_swap.get(in_)
        if transpose is not None:
            image = image.transpose(transpose)
        if swap is not None:
            self._expect_channels(in_, image)
            image = image[list(swap)]
        if self.raw_scale.get(in_) is not None:
            image *= _plain(self.raw_scale[in_])
        if self.mean.get(in_) is not None:
            image -= self._mean_for(in_, image)
        if self.input_scale.get(in_) is not None:
            image *= _plain(self.input_scale[in_])
        return image

    def deprocess(self, in_: str, data: Array) -> Array:
        """What the input `in_` holds, one sample of it, as an image again: `preprocess` backwards, but for the size.

        Raises:
            ShapeError: it is no single sample, or of another number of channels.
        """
        self._check(in_)
        transpose, swap = self.transpose.get(in_), self.channel_swap.get(in_)
        image = np.array(data)
        image = image.squeeze() if transpose is None and swap is None else self._single(in_, image)
        if image.dtype.kind in "iub":
            image = image.astype(np.float32)
        if self.input_scale.get(in_) is not None:
            image /= _plain(self.input_scale[in_])
        if self.mean.get(in_) is not None:
            image += self._mean_for(in_, image)
        if self.raw_scale.get(in_) is not None:
            image /= _plain(self.raw_scale[in_])
        if swap is not None:
            self._expect_channels(in_, image)
            image = image[np.argsort(swap)]
        if transpose is not None:
            image = image.transpose(np.argsort(transpose))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Which axis of an image becomes each of the input's: (2, 0, 1) makes K×H×W of H×W×K."""
        self._check(in_)
        axes = len(self.inputs[in_]) - 1
        if len(order) != axes or {axis % axes for axis in order} != {*range(axes)}:
            what = f"transpose of {in_!r} takes an order of {axes} axes, got {tuple(order)}"
            raise UsageError(what, help="(2, 0, 1) makes K×H×W of H×W×K")
        self.transpose[in_] = tuple(axis % axes for axis in order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Which channel, counted after transposing, becomes each of the input's: (2, 1, 0) turns RGB into BGR."""
        self._check(in_)
        channels = self.inputs[in_][1]
        if len(order) != channels or not all(channel in range(channels) for channel in order):
            raise UsageError(f"channel_swap of {in_!r} takes an order of its {channels} channels, got {tuple(order)}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """What to multiply an image by before the mean is subtracted: 255 for a net that learned from values of
        0 … 255, as those of an image here are 0 … 1."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """What to subtract: K values (shape K or K×1×1), or an image K×H×W or H×W, which is resized to the input.

        Its channels are in the order of the input's, after channel_swap.

        Raises:
            ShapeError: it is none of these.
        """
        self._check(in_)
        channels, *sizes = self.inputs[in_][1:]
        given = mean = np.asarray(mean)
        if mean.ndim == 1:
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim == 2:
            mean = mean[np.newaxis]
        fitting = (channels,) if given.ndim == 1 else (1, channels)
        if mean.ndim != 3 or mean.shape[0] not in fitting or not mean.size:
            here = "×".join(map(str, given.shape)) or "a scalar"
            raise ShapeError(f"the mean of {in_!r} must be {channels} values or {channels}×H×W, got {here}")
        if mean.shape[1:] not in ((1, 1), tuple(sizes)):
            mean = resize_image(mean.transpose(1, 2, 0), sizes).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """What to multiply by at the end, after the mean is subtracted."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            help = did_you_mean(in_, self.inputs) or f"there are: {', '.join(self.inputs)}"
            raise UsageError(f"{in_!r} is not one of the net's inputs", help=help)

    def _expect_channels(self, in_: str, image: Array) -> None:
        channels = self.inputs[in_][1]
        if image.shape[0] != channels:
            raise ShapeError(f"{in_!r} takes {channels} channels, the image has {image.shape[0]}")

    def _mean_for(self, in_: str, image: Array) -> Array:
        """The mean, laid over an image."""
        mean = self.mean[in_]
        try:
            return np.broadcast_to(mean, image.shape)
        except ValueError:
            here, there = ("×".join(map(str, array.shape)) for array in (image, mean))
            raise ShapeError(f"the mean of {in_!r}, {there}, cannot be taken from an image of {here}") from None

    def _single(self, in_: str, data: Array) -> Array:
        """One sample, K×H×W, without the axis of the batch."""
        axes = len(self.inputs[in_]) - 1
        squeezed = data.squeeze()
        if squeezed.ndim == axes:
            return squeezed
        if data.ndim < axes or prod(data.shape[:-axes]) != 1:
            raise ShapeError(f"deprocess takes one sample of {in_!r}, K×H×W, got shape {data.shape}")
        return data.reshape(data.shape[-axes:])


def _plain(scale: Any) -> Any:
    """A scale as NumPy multiplies single precision by it without leaving single precision."""
    return scale if np.ndim(scale) else float(scale)
