"""Text in a picture: how wide it will be, and how it is made to fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

FONT = "Helvetica, Arial, sans-serif"
"""What an SVG asks for.  Widths are bounds for these, and for the font that Pillow brings."""

_BY_WIDTH = {
    200: "'",
    250: "ijl",
    300: " !,.:;I]f|·",
    350: "()-/[\\`rt{}",
    400: '"',
    500: "sxz",
    550: "Jckvy",
    600: "#$*+0123456789<=>?L^_aehnou~",
    650: "FTZbdgpq…",
    700: "&ABEKPSVXY",
    750: "CDHNRU",
    800: "GOQw",
    900: "%Mm",
    1000: "W",
    1050: "@",
}
"""Thousandths of the size."""

_WIDTHS = {character: width for width, characters in _BY_WIDTH.items() for character in characters}
_UNKNOWN, _FULL = 800, 1000


def width(text: str, size: float) -> float:
    """How much room a line of text takes, at most; `size` is that of the font."""
    return sum(map(_advance, text)) * size / 1000


def _advance(character: str) -> int:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if unicodedata.combining(character):
        return 0
    return _FULL if unicodedata.east_asian_width(character) in "WF" else _UNKNOWN


_RANGES = (0, 32), (127, 160), (0x202A, 0x202F), (0x2066, 0x206A), (0xD800, 0xE000), (0xFFFE, 0x10000)
_UNSEEN = {code: "\ufffd" for start, end in _RANGES for code in range(start, end)}
"""What is no letter, turns the letters around it about, or is not allowed in XML."""


def clean(text: str) -> str:
    """The text as a picture can show it."""
    return text.translate(_UNSEEN)


def shortened(text: str, most: int) -> str:
    """The text itself, or its beginning and end with dots between them: `most` characters."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def wrapped(items: Iterable[str], most: int) -> list[str]:
    """Items joined by commas, in lines of about `most` characters; an item is never broken."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(item) + 2 <= most:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return lines
