"""Blobs and weights by name, as scripts look them up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from ..errors import UsageError, did_you_mean

T = TypeVar("T")


class UnknownName(UsageError, KeyError):
    """There is nothing of this name.  It is a KeyError, as of any dictionary."""

    __str__ = UsageError.__str__


class Named(OrderedDict[str, T]):
    """An OrderedDict that stays as it is, and knows what was meant by a misspelt name.

    Args:
        what: what it holds: "blob".
        items: names and things.
    """

    def __init__(self, what: str, items: Iterable[tuple[str, T]]) -> None:
        super().__init__()
        self._what = what
        for name, item in items:
            super().__setitem__(name, item)

    def __missing__(self, name: object) -> NoReturn:
        help = did_you_mean(str(name), self) or f"there are: {', '.join(self) or 'none'}"
        raise UnknownName(f"there is no {self._what} {name!r}", help=help)

    def __setitem__(self, name: str, item: Any) -> NoReturn:
        raise UsageError(
            f"a {self._what} cannot be replaced, only written to",
            help=f"net.{self._what}s[{name!r}].data[...] = values" if self._what == "blob" else "….data[...] = values",
        )

    def copy(self) -> OrderedDict[str, T]:  # type: ignore[override]
        """A dictionary of the same things, which may be changed."""
        return OrderedDict(self)

    def __reduce__(self) -> Any:
        return OrderedDict, (), None, None, iter(self.items())
