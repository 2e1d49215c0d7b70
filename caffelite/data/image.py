"""Encoded images (PNG, JPEG …) to arrays, as OpenCV's imdecode gives them: 8 bits, channels in the order B, G, R."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

# Pillow reads this when it is imported.  Without it every image's memory goes back to the system, and having pages
# cleared for the next one costs a fifth of the time that ImageData takes.
os.environ.setdefault("PILLOW_BLOCKS_MAX", "16")

Colour = Literal["as stored", "colour", "gray"]

_STORED_MODES = {"1": "L", "L": "L", "LA": "RGBA", "RGBA": "RGBA"} | dict.fromkeys(("RGB", "P", "CMYK", "YCbCr"), "RGB")
"""What each of Pillow's modes becomes where no colour is forced; other modes have more than 8 bits."""

_GRAY_MODES = ("1", "L", "LA")

_PNG_LUMA = np.array([9798, 19235, 3735], np.int32)
"""What libpng, which OpenCV reads PNG with, makes of the weights 0.299 and 0.587: 32768ths of R, G, B, cut off."""


_PNG = b"\x89PNG"
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "SUN", "TIFF", "WEBP")
"""Those that OpenCV decodes, and GIF.  Pillow knows more, some of which start other programs (EPS: Ghostscript)."""


class Picture:
    """A decoded image whose pixels still lie as Pillow keeps them: taking a window costs what the window is large.

    Attributes:
        shape: C×H×W.
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, image: Any) -> None:
        """`image` is of mode L, RGB or RGBA, and loaded."""
        self._image = image
        self.shape = (len(image.getbands()), image.height, image.width)

    def array(self) -> NDArray[np.uint8]:
        """The pixels, C×H×W; channels in the order B, G, R, A."""
        return np.ascontiguousarray(self._interleaved(self._image))

    def window(self, row: int, column: int, height: int, width: int, turned: bool = False) -> NDArray[np.uint8]:
        """Part of the pixels, C×height×width, mirrored where `turned`; channels lie side by side in memory."""
        part = self._image.crop((column, row, column + width, row + height))
        if turned:
            from PIL.Image import Transpose

            part = part.transpose(Transpose.FLIP_LEFT_RIGHT)
        return self._interleaved(part)

    def _interleaved(self, image: Any) -> NDArray[np.uint8]:
        order = {1: "L", 3: "BGR", 4: "BGRA"}[self.shape[0]]
        pixels = np.frombuffer(image.tobytes("raw", order), np.uint8)
        return pixels.reshape(image.height, image.width, self.shape[0]).transpose(2, 0, 1)


def pixels_of(image: NDArray[Any] | Picture) -> NDArray[Any]:
    """An image as an array, C×H×W."""
    return image.array() if isinstance(image, Picture) else image


def decode_image(data: bytes, colour: Colour = "as stored") -> NDArray[np.uint8]:
    """The pixels, C×H×W, of an encoded image; as :func:`open_image`."""
    return pixels_of(open_image(data, colour))


def open_image(data: bytes, colour: Colour = "as stored") -> Picture | NDArray[np.uint8]:
    """An encoded image, decoded: 1 channel for gray, 3 for colour, 4 with transparency.

    Of 16-bit gray the upper 8 bits are taken where a colour is asked for, as OpenCV does.

    Raises:
        DataError: the bytes are no image, are damaged, or (as stored) have more than 8 bits a channel.
    """
    with opened(data) as opened_image:
        image = opened_image if colour == "as stored" else _of_8_bits(opened_image)
        if image.mode not in _STORED_MODES:
            raise DataError(f"an encoded image must have 8 bits a channel; this one is of mode {image.mode}")
        if colour == "gray":
            image.draft("L", image.size)
        if colour == "gray" and opened_image.format == "PNG" and image.mode not in _GRAY_MODES:
            return _luma_of_png(np.asarray(image.convert("RGB")))
        mode = {"gray": "L", "colour": "RGB", "as stored": _STORED_MODES[image.mode]}[colour]
        image.load()
        return Picture(image if image.mode == mode and not image.info.get("transparency") else image.convert(mode))


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Pillow's image of an encoded one, its pixels not decoded yet.

    Raises:
        DataError: the bytes are no image, or (out of the block, too) are damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if data.startswith(_PNG):  # Pillow looks at the checksums of a PNG only where it is asked to
            Image.open(BytesIO(data), formats=("PNG",)).verify()
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise DataError("the encoded image is in no format that can be decoded") from error
    except DataError:
        raise
    except Exception as error:  # what decoders raise on damaged bytes is not limited to a few types
        raise DataError(f"the encoded image is damaged: {error or type(error).__name__}") from error


def _of_8_bits(image: Any) -> Any:
    """A 16-bit gray image cut to its upper 8 bits; any other as it is."""
    from PIL import Image

    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _luma_of_png(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The gray of RGB pixels, H×W×3, as 1×H×W.  (JPEG files hold theirs, and other formats round as Pillow does.)"""
    return ((pixels @ _PNG_LUMA) >> 15).astype(np.uint8)[np.newaxis]
