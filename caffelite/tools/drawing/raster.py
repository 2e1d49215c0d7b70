"""A sheet as an image, by Pillow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

from ...errors import UsageError
from .sheet import LINE, OUTLINE, PALE, TEXT, Card, Point, Sheet, Stroke, Words, arrows, bends, bundles

FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "pdf": "PDF"}
"""Endings, and the formats in Pillow's words."""
_SAVING = {"PNG": {"compress_level": 3}, "JPEG": {"quality": 92}}

_FINER = 2
"""Lines are drawn so many times as large and then made smaller, which makes them smooth."""
_TILE = 1024
"""Pixels, squared, that are drawn like that at a time: the memory this takes does not grow with the picture."""
_SCALE, _LONGEST, _MOST = 2.0, 16_000, 25_000_000
"""Pixels to a unit of the sheet, if a side has no more than `_LONGEST` and the image no more than `_MOST` pixels
then; else fewer, but not below 1."""
_LARGEST = 65_000
"""Pixels a side beyond which neither JPEG nor what shows images can follow."""
_STEPS = 12
"""Straight pieces of a curve."""

_ELSEWHERE = ("DejaVuSans.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msyh.ttc", "Arial.ttf")
"""Fonts that may be there, for names that Pillow's own has no letters for."""
_SIZES = 8
"""Of fonts that are kept for the next picture."""


def encoded(sheet: Sheet, ending: str) -> bytes:
    """The sheet as a file of one of :data:`FORMATS`.

    Raises:
        UsageError: it is too large for an image.
    """
    format, buffer = FORMATS[ending], BytesIO()
    image(sheet).save(buffer, format, **_SAVING.get(format, {}))
    return buffer.getvalue()


def image(sheet: Sheet) -> Any:
    """The sheet as an image on white.

    Raises:
        UsageError: it is too large for one.
    """
    from PIL import Image, ImageDraw

    longest = max(sheet.width, sheet.height)
    scale = max(1.0, min(_SCALE, _LONGEST / longest, (_MOST / sheet.width / sheet.height) ** 0.5))
    width, height = round(sheet.width * scale), round(sheet.height * scale)
    if max(width, height) > _LARGEST:
        raise UsageError(
            f"the picture would have {width} x {height} pixels, and {_LARGEST} a side is the most",
            help="write it as .svg, which has no limit",
        )
    picture = Image.new("RGB", (width, height), "white")
    shapes = list(_shapes(sheet))
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            size = min(_TILE, width - left), min(_TILE, height - top)
            picture.paste(_tile(shapes, Point(left / scale, top / scale), size, scale), (left, top))
    draw = ImageDraw.Draw(picture)
    for words in (words for box in sheet.boxes for card in box for words in card.words):
        _write(draw, words, TEXT, scale)
    for words in sheet.words:
        _write(draw, words, PALE, scale)
    return picture


@dataclass(frozen=True, slots=True)
class _Shape:
    """A line, a triangle or a rectangle: its points, and the smallest rectangle around them."""

    points: Sequence[Point]
    around: tuple[float, float, float, float]
    draw: Callable[[Any, list[tuple[float, float]], float], None]

    def reaches(self, corner: Point, end: Point) -> bool:
        left, top, right, bottom = self.around
        return left < end.x and right > corner.x and top < end.y and bottom > corner.y


def _shapes(sheet: Sheet) -> Iterator[_Shape]:
    """Everything but the text, in the order in which one lies on the other."""
    for stroke in (stroke for strokes in bundles(sheet) for stroke in strokes):
        yield _shape(_points(stroke, sheet.upright), lambda on, at, scale: on.line(at, LINE, round(1.4 * scale)))
    for corners in arrows(sheet):
        yield _shape(corners, lambda on, at, scale: on.polygon(at, LINE))
    for box in sheet.boxes:
        yield from (_rectangle(card, 3 if number else 5) for number, card in enumerate(box))
    yield from (_rectangle(chip, 2) for chip in sheet.legend)


def _shape(points: Sequence[Point], draw: Callable[[Any, list[tuple[float, float]], float], None]) -> _Shape:
    xs, ys = zip(*points, strict=True)
    margin = 2
    return _Shape(points, (min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin), draw)


def _rectangle(card: Card, radius: int) -> _Shape:
    x, y, width, height = card.rect
    outline = PALE if card.dashed else OUTLINE

    def draw(on: Any, at: list[tuple[float, float]], scale: float) -> None:
        on.rounded_rectangle(at, radius * scale, card.fill, outline, max(1, round(scale)))

    return _shape([Point(x, y), Point(x + width, y + height)], draw)


def _tile(shapes: Sequence[_Shape], corner: Point, size: tuple[int, int], scale: float) -> Any:
    """A part of the image: lines are drawn larger, and then all of it is made smaller."""
    from PIL import Image, ImageDraw

    end = Point(corner.x + size[0] / scale, corner.y + size[1] / scale)
    here = [shape for shape in shapes if shape.reaches(corner, end)]
    if not here:
        return Image.new("RGB", size, "white")
    finer = scale * _FINER
    tile = Image.new("RGB", (size[0] * _FINER, size[1] * _FINER), "white")
    on = ImageDraw.Draw(tile)
    for shape in here:
        shape.draw(on, [((x - corner.x) * finer, (y - corner.y) * finer) for x, y in shape.points], finer)
    return tile.reduce(_FINER)


def _points(stroke: Stroke, upright: bool) -> list[Point]:
    """A stroke as a line of points: those of a cubic Bezier curve."""
    control = bends(stroke, upright)
    if control is None:
        return [stroke.start, stroke.end]
    corners = (stroke.start, *control, stroke.end)
    points = []
    for step in range(_STEPS + 1):
        t = step / _STEPS
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        points.append(Point(*(sum(w * c[axis] for w, c in zip(weights, corners, strict=True)) for axis in (0, 1))))
    return points


def _write(draw: Any, words: Words, fill: str, scale: float) -> None:
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[words.anchor]
    font = _font(words.text, words.size * scale)
    draw.text((words.x * scale, words.y * scale), words.text, fill, font, anchor=anchor)


def _font(text: str, size: float) -> Any:
    """Pillow's own font; another one that has all letters of the text, where that has not and one is there."""
    own = _own_font(size)
    if all(_shows(own, letter) for letter in text):
        return own
    return next((font for font in _other_fonts(size) if all(_shows(font, letter) for letter in text)), own)


@lru_cache(_SIZES)
def _own_font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@lru_cache(_SIZES)
def _other_fonts(size: float) -> list[Any]:
    from PIL import ImageFont

    found = []
    for name in _ELSEWHERE:
        with suppress(OSError):
            found.append(ImageFont.truetype(name, size))
    return found


@lru_cache(4096)
def _shows(font: Any, letter: str) -> bool:
    """Whether a font has a letter: what it draws is not what it draws for a code point that is none."""
    if letter.isascii():
        return True
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
