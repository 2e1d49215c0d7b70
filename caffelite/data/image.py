"""Encoded images (PNG, JPEG …) to arrays, as OpenCV's imdecode gives them: 8 bits, channels in the order B, G, R."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Colour = Literal["as stored", "colour", "gray"]

_STORED_MODES = {"1": "L", "L": "L", "LA": "RGBA", "RGBA": "RGBA"} | dict.fromkeys(("RGB", "P", "CMYK", "YCbCr"), "RGB")
"""What each of Pillow's modes becomes where no colour is forced; other modes have more than 8 bits."""


_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "SUN", "TIFF", "WEBP")
"""Those that OpenCV decodes, and GIF.  Pillow knows more, some of which start other programs (EPS: Ghostscript)."""


def decode_image(data: bytes, colour: Colour = "as stored") -> NDArray[np.uint8]:
    """The pixels, C×H×W, of an encoded image: 1 channel for gray, 3 for colour, 4 with transparency.

    Raises:
        DataError: the bytes are no image, are damaged, or have more than 8 bits a channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            if image.mode not in _STORED_MODES:
                raise DataError(f"an encoded image must have 8 bits a channel; this one is of mode {image.mode}")
            if colour == "gray":
                image.draft("L", image.size)
            mode = {"gray": "L", "colour": "RGB", "as stored": _STORED_MODES[image.mode]}[colour]
            pixels = np.asarray(image.convert(mode))
    except UnidentifiedImageError as error:
        raise DataError("the encoded image is in no format that can be decoded") from error
    except DataError:
        raise
    except Exception as error:  # what decoders raise on damaged bytes is not limited to a few types
        raise DataError(f"the encoded image is damaged: {error}") from error
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    swapped = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return np.ascontiguousarray(swapped.transpose(2, 0, 1))
