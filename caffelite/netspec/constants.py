"""Constants of settings: the values of their enums."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.message import Message

from .. import proto
from ..errors import did_you_mean
from .errors import UnknownName


@cache
def _messages() -> dict[str, type[Message]]:
    """The messages called …Parameter, by the rest of their name."""
    names = proto.pool.FindFileByName("caffe.proto").message_types_by_name
    return {name.removesuffix("Parameter"): getattr(proto, name) for name in names if name.endswith("Parameter")}


class Constants:
    """What is in the class of a settings message: `params.Pooling` has MAX, AVE and STOCHASTIC."""

    def __init__(self, message: type[Message]) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        try:
            return getattr(self._message, name)
        except AttributeError:
            values = self.__dir__()
            help = did_you_mean(name, values) or (f"known: {', '.join(values)}" if values else None)
            raise UnknownName(f"{self._message.DESCRIPTOR.name} has no constant {name}", help=help) from None

    def __dir__(self) -> list[str]:
        return [value.name for enum in self._message.DESCRIPTOR.enum_types for value in enum.values]


class Parameters:
    """For every settings message its constants: `params.Pooling.MAX`, `params.Data.LMDB`."""

    def __getattr__(self, name: str) -> Constants:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        message = _messages().get(name)
        if message is None:
            raise UnknownName(f"there is no {name}Parameter", help=did_you_mean(name, self.__dir__()))
        return Constants(message)

    def __dir__(self) -> list[str]:
        return [name for name, message in _messages().items() if message.DESCRIPTOR.enum_types]


params = Parameters()
