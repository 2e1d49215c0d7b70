"""Layers, their tops, and nets of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import Fault, did_you_mean
from ..proto import LayerParameter, NetParameter
from .assign import plain, shown
from .errors import NotATop, SettingError, UnknownName
from .keywords import assign_keyword


class Top:
    """Output `n`, counted from 0, of the layer `fn`."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """The NetParameter of all layers that this top needs."""
        return to_proto(self)


class Function:
    """A layer: its type, the tops it reads, its settings.

    Attributes:
        type_name, inputs: the type, and the tops that are its bottoms.
        params: its settings by keyword.
        ntop, in_place: how many tops it has; whether these are its bottoms.
        tops: the tops.

    Raises:
        NotATop: a bottom is none.
        SettingError: with everything that is wrong with the keywords.
    """

    def __init__(self, type_name: str, inputs: Sequence[Any], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise NotATop(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.inputs: tuple[Top, ...] = tuple(inputs)
        self.params = dict(params)
        self.ntop = plain(self.params.pop("ntop", 1))
        self.in_place = bool(self.params.pop("in_place", False))
        if not isinstance(self.ntop, int) or self.ntop < 0:
            raise SettingError(f"{type_name}: ntop takes a number from 0 on, got {shown(self.ntop)}")
        if self.in_place and self.ntop > len(self.inputs):
            few = f"{type_name}: in_place with {len(self.inputs)} bottoms has no room for {self.ntop} tops"
            raise SettingError(few, help="tops in place are the bottoms: give as many, or leave in_place out")
        self.tops = tuple(Top(self, n) for n in range(self.ntop))
        self.layer()

    def layer(self, name: str | None = None, bottoms: Sequence[str] = (), tops: Sequence[str] = ()) -> Any:
        """The LayerParameter, under a name and between blobs of these names.

        Raises:
            SettingError: with everything that is wrong with `params`.
        """
        layer = LayerParameter(name=name, type=self.type_name, bottom=bottoms, top=tops)
        faults: list[Fault] = []
        for keyword, value in self.params.items():
            try:
                assign_keyword(layer, keyword, value)
            except SettingError as error:
                faults += [replace(fault, message=f"{self.type_name}: {fault.message}") for fault in error.faults]
        faults += [Fault(f"{self.type_name}: {field} is missing") for field in layer.FindInitializationErrors()]
        if faults:
            raise SettingError(faults)
        return layer


class Layers:
    """For every layer type a function that makes a layer of it: `layers.ReLU(top, negative_slope=0.1)`.

    It gives the Top; a tuple of them where `ntop` is more than 1, and the Function where it is 0.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def make(*bottoms: Any, **settings: Any) -> Any:
            fn = Function(name, bottoms, settings)
            return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops

        make.__name__ = make.__qualname__ = name
        return make


layers = Layers()


class _Writer:
    """Puts layers into a NetParameter, each behind those it reads.

    Names are drawn in the order of the layers, and for a layer those of its tops before its own, which is that of its
    first top: as in the original, whose nets have the same names.
    """

    def __init__(self, names: Mapping[Any, str]) -> None:
        self.net = NetParameter()
        self.names = dict(names)
        self.drawn: Counter[str] = Counter()
        self.tops: dict[Function, list[str]] = {}

    def add(self, what: Any) -> None:
        """A layer and all that it needs, unless they are there."""
        waiting = [what.fn if isinstance(what, Top) else what]
        while waiting:
            fn = waiting[-1]
            needed = next((bottom.fn for bottom in fn.inputs if bottom.fn not in self.tops), None)
            if needed is not None:
                waiting.append(needed)
            else:
                waiting.pop()
                if fn not in self.tops:
                    self._write(fn)

    def _write(self, fn: Function) -> None:
        bottoms = [self.tops[bottom.fn][bottom.n] for bottom in fn.inputs]
        tops = bottoms if fn.in_place else [self._name(top, fn.type_name) for top in fn.tops]
        name = self.names.get(fn) or self._name(fn.tops[0] if fn.tops else fn, fn.type_name)
        layer = fn.layer(name, bottoms, tops)
        self.net.layer.append(layer)
        self.tops[fn] = list(layer.top)

    def _name(self, what: Top | Function, type_name: str) -> str:
        if what not in self.names:
            self.drawn[type_name] += 1
            self.names[what] = f"{type_name}{self.drawn[type_name]}"
        return self.names[what]


def to_proto(*tops: Any) -> Any:
    """The NetParameter of all layers that these tops (or layers without tops) need; names are automatic.

    Raises:
        NotATop: one of them is neither.
    """
    writer = _Writer({})
    for top in tops:
        writer.add(_checked(top, "to_proto"))
    return writer.net


_SEVERAL = "a layer with several tops needs as many names: n.data, n.label = L.Data(…, ntop=2)"


def _checked(value: Any, where: str) -> Any:
    if not isinstance(value, Top | Function):
        several = isinstance(value, tuple) and all(isinstance(one, Top) for one in value)
        help = _SEVERAL if several else "a top is what a call such as L.ReLU(…) gives"
        raise NotATop(f"{where}: {shown(value)} is not a Top (type is {type(value)})", help=help)
    return value


class NetSpec:
    """Tops under names: `n.conv1 = L.Convolution(n.data, …)`, or `n["conv1"] = …`.

    `tops` is a dict of them, in the order in which the names were first used.  Whether they are tops is asked by
    `to_proto` only: a name may hold something else until then.
    """

    tops: dict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise SettingError(f"NetSpec: a name is a text, got {shown(name)}", help=f'write n["{name}"]')
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        tops = self.__dict__.get("tops", {})  # not there yet while a copy is made
        if name in tops:
            return tops[name]
        raise UnknownName(f"the net has no top named {name}", help=did_you_mean(str(name), tops))

    __setitem__ = __setattr__
    __getitem__ = __getattr__

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tops]

    def to_proto(self) -> Any:
        """The NetParameter of all layers that the tops need; a layer bears the name of its first top."""
        writer = _Writer({_checked(top, f"NetSpec.{name}"): name for name, top in self.tops.items()})
        for top in self.tops.values():
            writer.add(top)
        return writer.net

    def __repr__(self) -> str:
        """A line for every layer: its name, its type, bottoms → tops."""
        found = self.to_proto().layer
        rows = [(layer.name, layer.type, ", ".join(layer.bottom), ", ".join(layer.top)) for layer in found]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{name:{widths[0]}}  {kind:{widths[1]}}  {bottoms:{widths[2]}} → {tops}"
            for name, kind, bottoms, tops in rows
        ]
        return "\n".join([f"NetSpec of {len(rows)} layer{'s' * (len(rows) != 1)}", *lines])
