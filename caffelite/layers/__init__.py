"""The layer types, one in each file, found by their names.

To scripts this is a function for every type, which makes a layer of a net (:mod:`caffelite.netspec`):

    from caffelite import layers as L
    conv1 = L.Convolution(data, num_output=20, kernel_size=5)
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The function of a layer type.  Types begin with a capital, the modules here do not.

    Raises:
        UnknownName: there is no such type; the message proposes the nearest.  (`netspec.layers` takes any type.)
    """
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .. import dialects, netspec
    from ..errors import did_you_mean
    from ..layerkit import layers

    meanings = [f"{name}@{reading.fork}" for reading in dialects.readings(name)] or [name]
    kinds = [kind for kind in map(layers.get, meanings) if kind is not None]
    if not kinds:
        help = did_you_mean(name, _types()) or f"known: {', '.join(_types())}"
        raise netspec.UnknownName(f'unknown layer type "{name}"', help=help)
    function = getattr(netspec.layers, name)
    function.__doc__ = "\n\n".join(kind.__doc__ or "" for kind in kinds)
    return function


def _types() -> list[str]:
    """Every type, one that has several meanings once."""
    from ..layerkit import layers

    return sorted({name.partition("@")[0] for name in layers.names()})


def __dir__() -> list[str]:
    return sorted({*globals(), *_types()})
