"""Pictures: grids of images to be looked at, and images in a file's format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault, did_you_mean
from ..snapshot.atomic import write_atomic

_SMALLEST = 64
"""Pixels; smaller images are enlarged by a whole factor, so that every pixel stays a square."""

_JPEG_QUALITY = 95
"""What OpenCV encodes with where nothing is said."""

_CAPTION = 14
_MARGIN = 2
_BACKGROUND = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Shown:
    """Images as 0 … 255, and the values that became these two."""

    images: list[NDArray[np.uint8]]
    range: tuple[float, float]

    @classmethod
    def of(cls, images: Sequence[NDArray[Any]]) -> Shown:
        """Images of uint8 as they are; of others, the least value of all becomes 0 and the greatest 255."""
        if all(image.dtype == np.uint8 for image in images):
            return cls(list(images), (0, 255))
        finite = [image[np.isfinite(image)] for image in images]
        low = min((float(part.min()) for part in finite if part.size), default=0.0)
        high = max((float(part.max()) for part in finite if part.size), default=0.0)
        step = 255 / (high - low) if high > low else 0.0
        scaled = [np.nan_to_num((image.astype(np.float64) - low) * step) for image in images]
        return cls([np.clip(image + 0.5, 0, 255).astype(np.uint8) for image in scaled], (low, high))


def seen(image: NDArray[np.uint8], rgb: bool = False) -> NDArray[np.uint8]:
    """A C×H×W image as a screen shows it, H×W×3.

    Three channels are B, G, R (`rgb`: R, G, B), a fourth is transparency and left out, and any other number of
    channels is laid side by side.
    """
    if image.shape[0] in (3, 4):
        return image[:3].transpose(1, 2, 0)[..., :: 1 if rgb else -1]
    return np.repeat(np.concatenate(list(image), axis=1)[..., np.newaxis], 3, axis=2)


def caption(numbers: Iterable[float]) -> str:
    """Labels in few characters: whole numbers as they are, others rounded to three digits."""
    return " ".join(f"{number:.0f}" if float(number).is_integer() else f"{number:.3g}" for number in numbers)


def write_grid(path: Path, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], rgb: bool = False) -> None:
    """Draw images, each C×H×W, row after row with a caption under each, into a picture whose name says its format.

    Raises:
        DataError: the name's ending is of no format that can be written.
        SnapshotError: the file cannot be written.
    """
    format = format_of(path.suffix[1:].lower())
    picture = _grid([seen(image, rgb) for image in images], captions)
    buffer = BytesIO()
    picture.save(buffer, format)
    write_atomic(path, lambda file: file.write(buffer.getvalue()))


def _grid(images: Sequence[NDArray[np.uint8]], captions: Sequence[str]) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    tall, wide = (max(image.shape[axis] for image in images) for axis in (0, 1))
    factor = max(1, math.ceil(_SMALLEST / max(tall, wide)))
    height, width = tall * factor + _CAPTION + _MARGIN, wide * factor + _MARGIN
    columns = _columns(len(images), height / width)
    picture = Image.new("RGB", (columns * width + _MARGIN, -(-len(images) // columns) * height + _MARGIN), _BACKGROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default()
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = index % columns * width + _MARGIN, index // columns * height + _MARGIN
        tile = Image.fromarray(np.ascontiguousarray(image))
        picture.paste(tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST), (left, top))
        fitting = _cut(caption, lambda text: draw.textlength(text, font=font) <= width - _MARGIN)
        draw.text((left + 1, top + tall * factor), fitting, fill=(0, 0, 0), font=font)
    return picture


def _cut(text: str, fits: Callable[[str], bool]) -> str:
    """As much of the beginning as fits; two dots say that something is left out."""
    if fits(text):
        return text
    return next((part for end in range(len(text), 0, -1) if fits(part := text[:end].rstrip() + "..")), "..")


def _columns(count: int, aspect: float) -> int:
    """Columns that make the grid about a square, and of those the ones that leave the fewest cells empty.

    Args:
        aspect: the height of a cell, over its width.
    """
    square = math.sqrt(count * aspect)
    near = range(max(1, math.ceil(0.8 * square)), min(count, math.floor(1.25 * square)) + 1)
    return min(
        near, key=lambda columns: (-count % columns, abs(columns - square)), default=min(count, max(1, round(square)))
    )


def format_of(ending: str) -> str:
    """The format that an ending ("png", "jpg") stands for, in Pillow's words.

    Raises:
        DataError: there is none that can be written.
    """
    from PIL import Image

    known = Image.registered_extensions()
    if known.get(f".{ending}") not in Image.SAVE:
        near = did_you_mean(ending, (name[1:] for name in known))
        raise DataError(Fault(f'images cannot be encoded as "{ending}"', help=near or "png and jpg can"))
    return str(known[f".{ending}"])


def encoded(image: NDArray[np.uint8], format: str) -> bytes:
    """A C×H×W image, channels B, G, R, in this format."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)[..., [2, 1, 0, 3][: len(image)]]
    buffer = BytesIO()
    settings = {"quality": _JPEG_QUALITY} if format == "JPEG" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format, **settings)
    return buffer.getvalue()
