"""The title of a picture, and what its colours mean."""

from __future__ import annotations

from collections.abc import Sequence

from . import text
from .faces import SMALL
from .kinds import Kind
from .sheet import Card, Rect, Words

_TITLE, _TITLE_LINE = 17, 26.0
_LINE, _CHIP, _GAP = 19.0, 12.0, 14.0
_BELOW = 14.0
_LEAST_WIDTH = 320.0
_MOST_TITLE = 80


class Head:
    """Title and legend, in lines as wide as the picture or at least so wide that they can be read.

    Attributes:
        width, height: what they take up.
        chips, words: patches of colour, and text.
    """

    def __init__(self, title: str, kinds: Sequence[Kind], width: float, margin: float) -> None:
        shown = text.shortened(title, _MOST_TITLE)
        self.width = max(width, _LEAST_WIDTH, text.width(shown, _TITLE))
        self.chips: list[Card] = []
        self.words = [Words(shown, margin, margin + _TITLE - 2, _TITLE)] if shown else []
        x, y = margin, margin + (_TITLE_LINE if shown else 0)
        for kind in kinds:
            room = _CHIP + 5 + text.width(kind.name, SMALL)
            if x > margin and x + room > margin + self.width:
                x, y = margin, y + _LINE
            self.chips.append(Card(Rect(x, y, _CHIP, _CHIP), kind.fill))
            self.words.append(Words(kind.name, x + _CHIP + 5, y + _CHIP - 2, SMALL))
            x += room + _GAP
        self.height = y - margin + (_LINE + _BELOW if kinds else 0)
