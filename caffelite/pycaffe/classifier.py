"""`caffe.Classifier`: a net that is given images and gives scores of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..proto import TEST
from . import io
from .net import Net

Array = NDArray[Any]


def transformer_of(
    net: Net,
    mean: Array | None = None,
    input_scale: float | None = None,
    raw_scale: float | None = None,
    channel_swap: Sequence[int] | None = None,
) -> io.Transformer:
    """The transformer of a net's first input, from images H×W×K.

    Raises:
        UsageError: the net has no input, or it is not N×K×H×W.
    """
    if not net.inputs:
        raise UsageError(
            f"net {net.name!r} has no input to put images into",
            help="deploy nets have: a layer of type Input in place of the data layer",
        )
    name = net.inputs[0]
    shape = net.blobs[name].shape
    if len(shape) != 4:
        raise UsageError(f"the input {name!r} of net {net.name!r} is not N×K×H×W but of shape {shape}")
    transformer = io.Transformer({name: shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer


class Classifier(Net):
    """A net in its TEST phase, and what is to be done to images for it.

    Args:
        model_file: the net's prototxt, with an input N×K×H×W.
        pretrained_file: its weights.
        image_dims: height and width to which images are resized before crops are taken; those of the input where
            nothing is said.
        mean, input_scale, raw_scale, channel_swap: see :class:`caffelite.pycaffe.io.Transformer`.

    Attributes:
        transformer: what is done to each crop.
        crop_dims, image_dims: height and width of the crops, and of the images they are taken of.

    Source: `python/caffe/classifier.py`.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str] | None,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or not len(image_dims) else np.array(image_dims)
        if len(self.image_dims) != 2 or (self.image_dims < self.crop_dims).any():
            crop = "×".join(map(str, self.crop_dims))
            raise UsageError(f"image_dims must be a height and a width of at least {crop}, got {image_dims}")

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> NDArray[np.float32]:
        """The scores of N images, N×C (or as the net's first output has them, without `oversample`).

        Args:
            inputs: H×W×K each, as :func:`caffelite.pycaffe.io.load_image` gives them; sizes may differ.
            oversample: the mean over ten crops (:func:`caffelite.pycaffe.io.oversample`) instead of the centre alone.

        Raises:
            ShapeError: an image has other channels than the net takes.
        """
        name = self.inputs[0]
        images = self._resized(inputs)
        if oversample:
            crops = io.oversample(images, self.crop_dims)
        else:
            top, left = (self.image_dims - self.crop_dims) // 2
            crops = images[:, top : top + self.crop_dims[0], left : left + self.crop_dims[1]]
        samples = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all([], **{name: samples})[self.outputs[0]]
        return scores.reshape(len(images), 10, -1).mean(1) if oversample else scores

    def _resized(self, inputs: Sequence[Array]) -> NDArray[np.float32]:
        """The images in one size, N×H×W×K."""
        channels = self.transformer.inputs[self.inputs[0]][1]
        if not len(inputs):
            raise UsageError("predict needs at least one image")
        for number, image in enumerate(inputs):
            # As in the original, one channel stands for as many as there are to be.
            if np.ndim(image) != 3 or np.shape(image)[2] not in (1, min(channels, np.shape(inputs[0])[-1])):
                what = f"image {number} has shape {np.shape(image)}, the net takes H×W×{channels}"
                help = "load_image(file) gives 3 channels, load_image(file, color=False) gives 1"
                raise io.ShapeError(what, help=help)
        images = np.empty((len(inputs), *self.image_dims, np.shape(inputs[0])[2]), np.float32)
        for place, image in zip(images, inputs, strict=True):
            place[...] = io.resize_image(image, self.image_dims)
        return images
