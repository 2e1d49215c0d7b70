"""The settings of Python layers, `python_param { param_str }`, as the projects of the R-CNN family write them.

A text of keys and values: YAML of the simplest form, or a dictionary of Python's.  It is parsed, never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from ..errors import did_you_mean
from .base import Layer

FIELD = "python_param.param_str"

_LONGEST = 10_000
_LINE = re.compile(r"""\s*(?:'(\w+)'|"(\w+)"|(\w+))\s*:\s*(.*?)\s*,?\s*$""")
_BARE_KEY = re.compile(r"([{,]\s*)(\w+)(\s*:)")
_FAILURES = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)
_WORDS = {"true": True, "false": False, "null": None}


def parse(text: str) -> dict[str, Any]:
    """What a param_str says: `'feat_stride': 16`, a key a line, or `{'feat_stride': 16, 'scales': [8, 16]}`.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        raise ValueError("it is too long")
    if text.startswith("{"):
        found = _literal(text, _BARE_KEY.sub(r"\1'\2'\3", text))
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise ValueError("its keys must be words")
        return found
    found = {}
    for line in filter(str.strip, text.splitlines()):
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"not a key and a value: {line.strip()}")
        *keys, value = match.groups()
        value = value.removeprefix("!!python/tuple").strip()
        word = _WORDS.get(value.lower(), value)
        found[next(filter(None, keys))] = word if word != value else _literal(value)
    return found


def _literal(*forms: str) -> Any:
    """What the first form that is a literal of Python's says."""
    for form in forms:
        try:
            return ast.literal_eval(form)
        except _FAILURES:
            continue
    raise ValueError(f"not a value: {forms[0][:80]}")


class Settings:
    """The settings of a layer by key.  What is wrong with one is noted as a fault of the layer."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self.asked = layer, list[str]()
        try:
            self.values = parse(str(layer.settings("python_param").param_str))
        except ValueError as error:
            help = "write \"'feat_stride': 16\", or \"{'feat_stride': 16, 'scales': [8, 16, 32]}\""
            layer.expect(False, f"cannot read its param_str: {error}", FIELD, help)
            self.values = {}

    def unknown(self) -> dict[str, str | None]:
        """The keys that nobody asked for, and what to do about them."""
        return {key: did_you_mean(key, self.asked) for key in self.values if key not in self.asked}

    def _get(self, key: str, default: Any) -> Any:
        self.asked.append(key)
        if key not in self.values and default is None:
            self.layer.expect(False, f'its param_str must give "{key}"', FIELD, f"write '{key}': …")
        return self.values.get(key, default)

    def _expect(self, ok: bool, key: str, rule: str, value: Any) -> bool:
        return self.layer.expect(ok, f"{key} {rule}, got {value!r}", FIELD)

    def number(self, key: str, default: float | None = None, rule: str = "", ok: Any = None) -> float:
        """A number (in quotes, too); `ok` tells whether it follows the rule."""
        value = self._get(key, default)
        try:
            number = float(value)
        except (TypeError, ValueError):
            self._expect(value is None, key, "must be a number", value)  # that it is missing is told already
            return 1.0
        self._expect(ok is None or bool(ok(number)), key, rule, value)
        return number

    def share(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        return self.number(key, default, "must be from 0 to 1", lambda value: 0 <= value <= 1)

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A whole number that is at least so large."""
        value = self.number(key, default)
        rule, sound = f"must be a whole number from {least} on", value.is_integer() and value >= least
        return int(value) if self._expect(sound, key, rule, value) else max(least, 1)

    def numbers(self, key: str, default: Sequence[float], count: int | None = None) -> list[float]:
        """A list of numbers above 0, of so many if `count` says so."""
        given = self._get(key, default)
        values = list(given) if isinstance(given, (list, tuple)) else [given]
        sound = all(isinstance(value, (int, float)) and value > 0 for value in values)
        rule = f"must be {count or 'some'} numbers above 0"
        if not self._expect(bool(values) and sound and count in (None, len(values)), key, rule, given):
            return list(default)
        return [float(value) for value in values]

    def flag(self, key: str, default: bool) -> bool:
        """True or False."""
        value = self._get(key, default)
        return bool(value) if self._expect(value in (True, False), key, "must be True or False", value) else default

    def word(self, key: str, *known: str) -> str:
        """One of several words."""
        value = self._get(key, None)
        self._expect(value in known or value is None, key, f"must be {' or '.join(known)}", value)
        return str(value)
