"""`caffe.io`: messages to arrays and back, and images to what nets read.

Source: `python/caffe/io.py`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..data.datum import raw_image
from ..data.image import decode_image, opened
from ..errors import DataError, Fault, Place
from ..proto import BlobProtoVector, Datum, caffe_pb2
from ..snapshot import array_to_blob
from ..snapshot.blobs import decode, encode_all
from ..snapshot.wire import WireError, bytes_field
from .resize import Sizes, resize_image
from .transformer import ShapeError, Transformer

__all__ = [
    "ShapeError",
    "Transformer",
    "UnreadableImage",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

Array = NDArray[Any]

LUMA = (0.2125, 0.7154, 0.0721)
"""How much R, G and B add to gray: scikit-image's weights (`skimage.color.rgb2gray`), which the original's images have.
OpenCV's, which data layers use, are others."""

_BLOBS, _FLOAT_DATA = 1, 6


class UnreadableImage(DataError, OSError):
    """An image file is not there, or cannot be decoded.  An OSError, too, as in the original."""


# -- messages ---------------------------------------------------------------------------------------------------------


def blobproto_to_array(blob: Any, return_diff: bool = False) -> NDArray[np.float64]:
    """The data of a BlobProto, or its diff, as float64 in its shape: num, channels, height and width where any of them
    is given, else `shape`; a single value without a shape is 0-d.

    Raises:
        ShapeError: the values do not fill the shape, or there is no diff.
    """
    try:
        data, diff = decode(memoryview(blob.SerializeToString()))
    except WireError as error:
        help = None if blob.shape.dim else "blob.shape.dim.extend(shape) says a shape"
        raise ShapeError(f"the blob cannot be an array: {error}", help=help) from error
    if return_diff and diff is None:
        raise ShapeError("the blob has no diff", help="a snapshot holds gradients where snapshot_diff is true")
    return np.asarray(diff if return_diff else data, np.float64)


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """A BlobProto that holds an array in single precision, and its gradient.

    Raises:
        ShapeError: the gradient is of another size.
    """
    arr = np.asarray(arr)
    if diff is not None and np.size(diff) != arr.size:
        raise ShapeError(f"the diff has shape {np.shape(diff)}, the array {arr.shape}")
    return array_to_blob(arr, diff)


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """Arrays as a serialised BlobProtoVector."""
    return b"".join(encode_all([np.asarray(array) for array in arraylist], [], _BLOBS))


def blobprotovector_str_to_arraylist(str: bytes) -> list[NDArray[np.float64]]:
    """The arrays of a serialised BlobProtoVector.

    Raises:
        DataError: the bytes are none.
    """
    try:
        vector = BlobProtoVector.FromString(str)
    except DecodeError as error:
        raise DataError("the bytes are not a BlobProtoVector") from error
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """A Datum of a C×H×W image: uint8 as bytes in `data`, any other type in `float_data`, in single precision.

    Raises:
        ShapeError: the array has not 3 axes.
    """
    arr = np.asarray(arr)
    if arr.ndim != 3:
        raise ShapeError(f"a Datum holds an image C×H×W, got an array of shape {arr.shape}")
    channels, height, width = arr.shape
    datum = Datum(channels=channels, height=height, width=width)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:  # a packed list, which a message takes in at once
        floats = np.ascontiguousarray(arr, "<f4").reshape(-1)
        datum.MergeFromString(b"".join(bytes_field(_FLOAT_DATA, [floats.data.cast("B")])))
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """The image of a Datum, C×H×W: uint8, or float64 where its pixels are in `float_data`.

    An encoded image is decoded, to 8 bits in the order B, G, R as in a data layer; the original gives its bytes.

    Raises:
        DataError: the encoded image is damaged.
        ShapeError: the pixels do not fill the shape.
    """
    if datum.encoded:
        return decode_image(datum.data)
    try:
        image = raw_image(datum)
    except DataError as error:
        raise ShapeError(f"the datum's image is wrong: {error.faults[0].message}") from error
    return image.copy() if image.dtype == np.uint8 else image.astype(np.float64)


# -- images -----------------------------------------------------------------------------------------------------------


def load_image(filename: str | os.PathLike[str] | IO[bytes], color: bool = True) -> NDArray[np.float32]:
    """An image file as float32 of 0 … 1: H×W×3 in the order R, G, B, or H×W×1 with `color=False` (see :data:`LUMA`).
    It is given by its name, or open for reading bytes (a BytesIO, too).

    Transparency is left out.  Gray images of 16 and 32 bits keep their precision; colour is of 8 bits.

    Raises:
        UnreadableImage: the file is missing or damaged.
    """
    try:
        with opened(_content(filename)) as image:
            pixels = _pixels(image)
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise unreadable(filename, getattr(error, "strerror", None) or str(error)) from error
    except DataError as error:
        raise unreadable(filename, error.faults[0].message) from error
    values = pixels if pixels.dtype.kind == "f" else pixels / np.iinfo(pixels.dtype).max
    if values.ndim == 3 and not color:
        values = values @ LUMA
    if values.ndim == 2:
        values = np.repeat(values[:, :, np.newaxis], 3 if color else 1, axis=2)
    return values.astype(np.float32)


def _content(given: str | os.PathLike[str] | IO[bytes]) -> bytes:
    if isinstance(given, (str, os.PathLike)):
        with open(given, "rb") as file:
            return file.read()
    content = given.read()
    if not isinstance(content, bytes):
        raise DataError("it is open as text, where bytes are read: open(name, 'rb')")
    return content


def unreadable(filename: str | os.PathLike[str] | IO[bytes], why: str) -> UnreadableImage:
    name = os.fspath(filename) if isinstance(filename, (str, os.PathLike)) else getattr(filename, "name", None)
    place = Place(name) if isinstance(name, str) else None
    return UnreadableImage(Fault(f"the image cannot be read: {why}", place))


def __getattr__(name: str) -> Any:
    """`resize` and `skimage`, which the original's module has because it imports them."""
    if name not in ("resize", "skimage"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        modules = {part: importlib.import_module(part) for part in ("skimage", "skimage.io", "skimage.transform")}
    except ImportError as error:
        help = "pip install scikit-image; resize_image(image, (height, width)) is here without it"
        raise AttributeError(f"{name} is scikit-image's, which is not installed: {help}") from error
    return modules["skimage"] if name == "skimage" else modules["skimage.transform"].resize


def _pixels(image: Any) -> Array:
    """H×W, or H×W×3 in the order R, G, B, of Pillow's image."""
    if image.mode in ("1", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # 16 bits in 32
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        return np.asarray(image)
    see_through = image.mode == "PA" or "transparency" in image.info
    return np.asarray((image.convert("RGBA") if see_through else image).convert("RGB"))


def oversample(images: Iterable[Array], crop_dims: Sizes) -> NDArray[np.float32]:
    """Ten crops of every image, 10·N×H×W×K: upper left, upper right, lower left, lower right, centre, and the five
    mirrored.

    Args:
        images: H′×W′×K each, of one shape.
        crop_dims: H, W.

    Raises:
        ShapeError: images of several shapes, or crops larger than they are.
    """
    images = list(images)
    shapes = list(dict.fromkeys(np.shape(image) for image in images))
    if len(shapes) != 1 or len(shapes[0]) != 3:
        got = ", ".join(map(str, shapes[:3])) or "none"
        raise ShapeError(f"oversample takes images H×W×K of one shape, got {got}", help="resize_image makes them equal")
    (height, width, channels), (rows, columns) = shapes[0], (int(size) for size in crop_dims)
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ShapeError(f"crops of {rows}×{columns} cannot be taken of images of {height}×{width}")
    below, right = height - rows, width - columns
    corners = [(0, 0), (0, right), (below, 0), (below, right), (below // 2, right // 2)]
    crops = np.empty((len(images), 10, rows, columns, channels), np.float32)
    for image, ten in zip(images, crops, strict=True):
        for place, (top, left) in enumerate(corners):
            ten[place] = image[top : top + rows, left : left + columns]
        ten[5:] = ten[:5, :, ::-1]
    return crops.reshape(-1, rows, columns, channels)
