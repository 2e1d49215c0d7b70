"""One small registry for every extensible family: layers, fillers, solver types, rate policies, data sources."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Generic, TypeVar

from .errors import CaffeliteError, Fault, did_you_mean

T = TypeVar("T")


def _key(name: str) -> str:
    return name.replace("_", "").replace("@", "").lower()


class Registry(Generic[T]):
    """Names to things.  With a `package`, a name is looked for in the module whose file name, without underscores
    and in lower case, equals it ("@" does not count either); only that module is imported.

    >>> fillers = Registry("filler")
    >>> @fillers.register("zero")
    ... def zero(): ...
    """

    def __init__(self, family: str, package: str | None = None) -> None:
        self.family = family
        self.package = package
        self._entries: dict[str, T] = {}
        self._modules: dict[str, str] | None = None

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: enter the thing under `name`.  A second thing of that name is a programming error."""

        def enter(entry: T) -> T:
            if self._entries.setdefault(name, entry) is not entry:
                raise ValueError(f"{self.family} {name!r} is registered twice")
            return entry

        return enter

    def _files(self) -> dict[str, str]:
        if self._modules is None:
            spec = find_spec(self.package) if self.package else None
            folders = list(spec.submodule_search_locations or []) if spec else []
            self._modules = {_key(module.name): module.name for module in pkgutil.iter_modules(folders)}
        return self._modules

    def get(self, name: str) -> T | None:
        """The thing called `name` (names are case-sensitive), or None."""
        if name not in self._entries and _key(name) in self._files():
            importlib.import_module(f"{self.package}.{self._files()[_key(name)]}")
        return self._entries.get(name)

    def __getitem__(self, name: str) -> T:
        """The thing called `name`.

        Raises:
            CaffeliteError: there is none; the message lists the nearest name.
        """
        entry = self.get(name)
        if entry is None:
            raise CaffeliteError(
                Fault(f"unknown {self.family} {name!r}", help=did_you_mean(name, self.names()) or self.known())
            )
        return entry

    def known(self) -> str:
        """A line that lists every name."""
        return f"known: {', '.join(self.names())}"

    def names(self) -> list[str]:
        """Every name, sorted.  Imports every module of the package."""
        for module in self._files().values():
            importlib.import_module(f"{self.package}.{module}")
        return sorted(self._entries)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
