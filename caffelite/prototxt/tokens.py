"""Text to tokens: nothing is dropped, nothing is refused.

The tokens of a text, joined, are the text again, whatever the text is; what cannot begin any token becomes a token of
kind "bad" and is left to the parser to report.  The kinds follow protobuf's text format
(https://protobuf.dev/reference/protobuf/textformat-spec/), with ``//`` comments besides.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PATTERN = re.compile(
    r"""
      (?P<space>\A\ufeff\s*|\s+)
    | (?P<comment>\#[^\n]*|//[^\n]*)
    | (?P<name>[A-Za-z_][0-9A-Za-z_+-]*)
    | (?P<mark>[:{}<>\[\],;])
    | (?P<number>(?:[0-9+-]|\.[0-9])[0-9A-Za-z_.+-]*)
    | (?P<string>"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|'[^'\\\n]*+(?:\\[^\n][^'\\\n]*+)*+')
    | (?P<open>["'][^\n]*)
    | (?P<bad>/\*(?s:.*?)\*/|(?s:.))
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the text.

    `kind` is one of space, comment, name, number, string, mark (``: { } < > [ ] , ;``), open (a string without its
    closing quote, to the end of the line), bad (anything else), end (empty, after the last token).
    """

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset of the first character after the token."""
        return self.start + len(self.text)


def tokenize(text: str) -> list[Token]:
    """All tokens of the text, blanks and comments included."""
    return [Token(match.lastgroup or "bad", match.group(), match.start()) for match in _PATTERN.finditer(text)]
