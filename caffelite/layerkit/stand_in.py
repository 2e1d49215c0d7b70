"""Layers that take the place of well-known Python layers, whose code is not in the prototxt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from ..errors import DataError, Fault, Places, nowhere
from .base import Layer, Shape, at_least, exactly
from .param_str import FIELD, Settings


class StandIn(Layer):
    """Base of layers that compute what a class of Python layers does that many files name, without its code.

    Such a layer is one meaning of the type Python: its `dialect` is the name of the class, `dialects/types.toml` tells
    in which modules the class is known, and `assembly.make_layer` when it is taken.  Its settings are those of the
    class, in `python_param { param_str }`; and under their names there the constants of the project's configuration,
    which are not in a prototxt.

    Attributes:
        unlike: what is different here, for the note; "" where nothing is.
        why: why the class itself is not taken, or what would take it.
    """

    unlike: ClassVar[str] = ""

    def __init__(self, param: Any, phase: int = 0, places: Places = nowhere, why: str = "") -> None:
        super().__init__(param, phase, places)
        self.why = why

    @cached_property
    def keys(self) -> Settings:
        """The settings."""
        return Settings(self)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.read(self.keys)

    def read(self, keys: Settings) -> None:
        """Take the settings; faults are noted."""

    def warnings(self) -> list[Fault]:
        python = self.settings("python_param")
        told = f"caffelite's own layer takes the place of {python.module}.{python.layer}, of {self.fork}{self.unlike}"
        notes = [self.fault(told, "python_param", self.why or None, "note")]
        for key, near in self.keys.unknown().items():
            told = f'"{key}" in param_str has no effect: there is no such setting'
            notes.append(self.fault(told, FIELD, near or f"known: {', '.join(self.keys.asked)}", "warning"))
        return notes


class SourceNotRun(Layer):
    """A Python layer without bottoms whose code may not run: a source of data that is not at hand."""

    type = "Python"
    bottoms, tops = exactly(0), at_least(1)

    def __init__(self, param: Any, phase: int, places: Places, refusal: Fault) -> None:
        super().__init__(param, phase, places)
        self.refusal = refusal

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        raise DataError(self.refusal)
