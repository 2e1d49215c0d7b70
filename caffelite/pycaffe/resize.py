"""Resizing as `caffe.io.resize_image` does it: with scikit-image's and SciPy's arithmetic, which the original calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[Any]

Sizes = Sequence[int] | NDArray[np.integer[Any]]
"""A height and a width."""

_HIGHEST_ORDER = 5


def resize_image(im: Array, new_dims: Sizes, interp_order: int = 1) -> NDArray[np.float32]:
    """An H×W×K image as H′×W′×K, float32.

    With 1 or 3 channels pixel i of H′ lies at (i + ½) · H / H′ − ½, and beyond the image lies its least value, so that
    an enlarged image fades to it in its outermost pixels (`skimage.transform.resize` with mode "constant").  With any
    other number of channels pixel i lies at i · (H − 1) / (H′ − 1), and whole numbers stay whole
    (`scipy.ndimage.zoom`, but without the noughts that it writes into the last row or column of some sizes).  There is
    no smoothing before an image is made smaller.

    Args:
        new_dims: H′, W′.
        interp_order: 0 nearest pixel, 1 bilinear; 2 … 5: splines, with SciPy.

    Raises:
        UsageError: the image, the sizes or the order are none of these, or SciPy is needed and not there.

    Source: `python/caffe/io.py`.
    """
    im = np.asarray(im)
    height, width = _checked(im, new_dims, interp_order)
    if im.shape[:2] == (height, width):
        return im.astype(np.float32)
    if im.shape[2] not in (1, 3):
        return _zoomed(im, (height, width), interp_order).astype(np.float32)
    least = im.min()
    if interp_order <= 1:
        return _resized(im, (height, width), interp_order, beyond=least).astype(np.float32)
    above = im.astype(np.float64) - least
    resized = _spline(above, (height, width), interp_order, mode="grid-constant", grid_mode=True)
    return (resized.clip(0, above.max()) + least).astype(np.float32)


def _checked(im: Array, new_dims: Sizes, order: int) -> tuple[int, int]:
    if im.ndim != 3 or not im.size:
        help = "give a gray image an axis of channels: im[:, :, np.newaxis]" if im.ndim == 2 else None
        raise UsageError(f"resize_image takes an H×W×K image, got an array of shape {im.shape}", help=help)
    if len(new_dims) != 2 or min(new_dims) < 1:
        raise UsageError(f"resize_image takes a height and a width to resize to, got {tuple(new_dims)}")
    if order not in range(_HIGHEST_ORDER + 1):
        raise UsageError(f"interp_order is 0, 1 … {_HIGHEST_ORDER}, got {order}")
    return int(new_dims[0]), int(new_dims[1])


def _zoomed(im: Array, dims: tuple[int, int], order: int) -> Array:
    if order > 1:
        return _spline(im, dims, order)
    resized = _resized(im, dims, order)
    return np.trunc(resized + np.copysign(0.5, resized)) if im.dtype.kind in "iu" else resized


def _resized(im: Array, dims: tuple[int, int], order: int, beyond: Any = None) -> Array:
    """The image interpolated in float64, with corner pixels on corner pixels; or, where a value `beyond` the image is
    given, with corners on corners."""
    for axis, wanted in enumerate(dims):
        size = im.shape[axis]
        if beyond is None:
            at = np.arange(wanted) * ((size - 1) / max(wanted - 1, 1))
        else:
            at = (np.arange(wanted) + 0.5) * (size / wanted) - 0.5
        im = reduce(np.add, _weighted(im, axis, at, order, beyond))
    return im


def _weighted(im: Array, axis: int, at: NDArray[np.float64], order: int, beyond: Any) -> Iterator[Array]:
    """For each place along an axis the pixels it lies between (order 0: the nearest), times their weights."""
    size, row = im.shape[axis], (-1, *[1] * (2 - axis))
    before = np.floor(at if order else at + 0.5)
    parts = [(before, 1 - (at - before)), (before + 1, at - before)] if order else [(before, np.ones(len(at)))]
    for pixel, weight in parts:
        inside = (pixel >= 0) & (pixel < size)
        values = im.take(pixel.clip(0, size - 1).astype(np.intp), axis)
        if beyond is not None and not inside.all():
            values = np.where(inside.reshape(row), values, beyond)
        yield values * weight.reshape(row)


def _spline(im: Array, dims: tuple[int, int], order: int, **how: Any) -> Array:
    try:
        from scipy.ndimage import zoom
    except ImportError as error:
        raise UsageError(f"interp_order {order} needs SciPy", help="pip install scipy; or use order 0 or 1") from error

    resized: Array = zoom(im, (dims[0] / im.shape[0], dims[1] / im.shape[1], 1), order=order, **how)
    return resized
