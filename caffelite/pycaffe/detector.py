"""`caffe.Detector`: a net that classifies windows of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..proto import TEST
from . import io
from .classifier import transformer_of
from .net import Net

Array = NDArray[Any]

PROPOSER = "selective_search_ijcv_with_python"
"""The package (which needs MATLAB) that proposes windows; https://github.com/sergeyk/selective_search_ijcv_with_python"""


class Detector(Net):
    """A net in its TEST phase that is given windows of images, warped to the size of its input, as R-CNN does.

    Args:
        model_file: the net's prototxt, with an input N×K×H×W.
        pretrained_file: its weights.
        mean, input_scale, raw_scale, channel_swap: see :class:`caffelite.pycaffe.io.Transformer`.
        context_pad: pixels around the window, as it lies in the net's input, that show what is around it in the image.

    Source: `python/caffe/detector.py`.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str] | None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        """Classify windows of images.

        Args:
            images_windows: of each image its file, and its windows: ymin, xmin, ymax, xmax each.

        Returns:
            For each window, in order, a dict of `window`, `prediction` (the scores) and `filename`.

        Raises:
            UnreadableImage: an image is missing or damaged.
            UsageError: a window lies outside of its image, or is none.
        """
        name = self.inputs[0]
        color = self.blobs[name].shape[1] != 1
        found: list[dict[str, Any]] = []
        samples: list[Array] = []
        for filename, windows in images_windows:
            image = io.load_image(filename, color)
            for window in windows:
                samples.append(self.transformer.preprocess(name, self.crop(image, window)))
                found.append({"window": window, "filename": filename})
        if not found:
            return []
        scores = self.forward_all([], **{name: np.stack(samples)})[self.outputs[0]]
        return [detection | {"prediction": row} for detection, row in zip(found, scores, strict=True)]

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[dict[str, Any]]:
        """Classify the windows that Selective Search proposes in images.

        Raises:
            UsageError: the package that proposes them is not installed.
        """
        try:
            proposer = import_module(PROPOSER)
        except ImportError as error:
            raise UsageError(
                f"Selective Search needs the Python package {PROPOSER}, which is not installed",
                help=f"https://github.com/sergeyk/{PROPOSER} (it needs MATLAB); or give windows to detect_windows",
            ) from error
        files = [os.path.abspath(name) for name in image_fnames]  # MATLAB runs in a folder of its own
        return self.detect_windows(zip(files, proposer.get_windows(files, cmd="selective_search_rcnn"), strict=True))

    def crop(self, im: Array, window: Sequence[float]) -> Array:
        """A window of an image, H×W×K.

        With `context_pad` it comes in the size of the net's input: the window is enlarged so that, in that size, it has
        `context_pad` pixels of the image on every side; where the image ends, the mean lies.

        Args:
            window: ymin, xmin, ymax, xmax.

        Raises:
            UsageError: it lies outside of the image, or is none.
        """
        if self.context_pad:
            return self._with_context(im, np.asarray(window, np.float64), self.context_pad)
        top, left, bottom, right = (int(edge) for edge in window)
        crop = im[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if not crop.size:
            raise _no_window(im, window)
        return crop

    def _with_context(self, im: Array, window: NDArray[np.float64], context_pad: int) -> Array:
        """Sizes count both edges, as in R-CNN: a window from 3 to 3 is one pixel."""
        side = self.blobs[self.inputs[0]].width
        half = (window[2:] - window[:2] + 1) / 2
        centre = window[:2] + half
        reach = half * (side / (side - 2 * context_pad))
        box = np.round(np.concatenate([centre - reach, centre + reach]))
        scale = side / (box[2:] - box[:2] + 1)
        pad = np.round(np.maximum(0, -box[:2]) * scale).astype(int)
        box = np.clip(box, 0, [*im.shape[:2], *im.shape[:2]])
        size = np.round((box[2:] - box[:2] + 1) * scale).astype(int)
        size = np.minimum(size, side - pad)
        top, left, bottom, right = box.astype(int)
        seen = im[top:bottom, left:right]
        if not seen.size or size.min() < 1:
            raise _no_window(im, window)
        crop = np.ones(self.crop_dims, np.float32) * self.crop_mean
        crop[pad[0] : pad[0] + size[0], pad[1] : pad[1] + size[1]] = io.resize_image(seen, size)
        return crop

    def configure_crop(self, context_pad: int | None) -> None:
        """Set `context_pad`, and work out the mean as an image has it, which lies where an image ends.

        Raises:
            UsageError: it leaves nothing of the window.
        """
        name = self.inputs[0]
        height, width = self.blobs[name].shape[2:]
        if context_pad and not (height == width and 0 < 2 * context_pad < width):
            raise UsageError(
                f"context_pad must be less than half of the side of the net's input, which must be a square; "
                f"got {context_pad} with an input of {height}×{width}"
            )
        back = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].shape[1:])[back]
        self.context_pad = context_pad
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        mean = self.transformer.mean.get(name)
        if not context_pad or mean is None:
            return
        swap, raw_scale = self.transformer.channel_swap.get(name), self.transformer.raw_scale.get(name)
        mean = np.broadcast_to(mean, self.blobs[name].shape[1:])
        if swap is not None:
            mean = mean[np.argsort(swap)]
        self.crop_mean = mean.transpose(back) / (1 if raw_scale is None else raw_scale)


def _no_window(im: Array, window: Iterable[float]) -> UsageError:
    edges = ", ".join(f"{edge:g}" for edge in window)
    return UsageError(
        f"the window {edges} shows nothing of an image of {im.shape[0]}×{im.shape[1]}",
        help="a window is ymin, xmin, ymax, xmax",
    )
