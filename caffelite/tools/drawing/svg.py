"""A sheet as SVG.

Nothing in it has an id or a style sheet, so that several can stand in one page and leave the page alone.  It has no
background; its colours are seen on a light one and on a dark one.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from .sheet import LINE, OUTLINE, PALE, TEXT, Card, Point, Sheet, Stroke, Words, arrows, bends, bundles
from .text import FONT


def write(sheet: Sheet) -> str:
    """The sheet as an <svg> element."""
    return "\n".join([*_lines(sheet), "</svg>\n"])


def _lines(sheet: Sheet) -> Iterator[str]:
    width, height = _number(sheet.width), _number(sheet.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" role="img" aria-label={quoteattr(sheet.title or "net")}>'
    )
    yield f'<g fill="none" stroke="{LINE}" stroke-width="1.4">'
    for strokes in bundles(sheet):
        yield f'<path d="{_path(strokes, sheet.upright)}"/>'
    yield "</g>"
    triangles = ("M" + "L".join(map(_at, corners)) + "Z" for corners in arrows(sheet))
    yield f'<path fill="{LINE}" d="{"".join(triangles)}"/>'
    yield f'<g stroke="{OUTLINE}">'
    yield from (_card(card, 3 if number else 5) for box in sheet.boxes for number, card in enumerate(box))
    yield from (_rect(chip, 2) for chip in sheet.legend)
    yield "</g>"
    yield f'<g fill="{PALE}">'
    yield from map(_words, sheet.words)
    yield "</g>"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _at(point: Point) -> str:
    return f"{_number(point.x)} {_number(point.y)}"


def _path(strokes: list[Stroke], upright: bool) -> str:
    path, at = "", None
    for stroke in strokes:
        path += "" if stroke.start == at else f"M{_at(stroke.start)}"
        curve = bends(stroke, upright)
        path += f"C{' '.join(map(_at, (*curve, stroke.end)))}" if curve else f"L{_at(stroke.end)}"
        at = stroke.end
    return path


def _card(card: Card, radius: int) -> str:
    """A rectangle with its text, and what browsers show when one points at it."""
    title = f"<title>{escape(card.tip)}</title>" if card.tip else ""
    text = "".join(map(_words, card.words))
    return f'<g>{title}{_rect(card, radius)}<g stroke="none" fill="{TEXT}">{text}</g></g>'


def _rect(card: Card, radius: int) -> str:
    x, y, width, height = map(_number, card.rect)
    dashes = ' stroke-dasharray="4 3"' if card.dashed else ""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{card.fill}"{dashes}/>'


def _words(words: Words) -> str:
    anchor = "" if words.anchor == "start" else f' text-anchor="{words.anchor}"'
    at = f'x="{_number(words.x)}" y="{_number(words.y)}"'
    return f'<text {at} font-size="{words.size}"{anchor}>{escape(words.text)}</text>'
