"""Messages of protos/caffe.proto, made at run time from `caffe.desc` in a descriptor pool of our own.

A pool of our own lets this package live in one process with any other that registers a `caffe` proto, and making the
classes from a descriptor frees it from the version of the code generator: any protobuf runtime from 5 on will do.
Every message and enum is an attribute of this module: ``from caffelite.proto import NetParameter``.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

pool = descriptor_pool.DescriptorPool()


def _load() -> Any:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    for file in FileDescriptorSet.FromString((files(__name__) / "caffe.desc").read_bytes()).file:
        pool.Add(file)
    return pool.FindFileByName("caffe.proto")


_file = _load()


def __getattr__(name: str) -> Any:
    if name in _file.message_types_by_name:
        value: Any = message_factory.GetMessageClass(_file.message_types_by_name[name])
    elif name in _file.enum_types_by_name:
        value = EnumTypeWrapper(_file.enum_types_by_name[name])
    elif name in ("TRAIN", "TEST"):
        value = _file.enum_types_by_name["Phase"].values_by_name[name].number
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_file.message_types_by_name, *_file.enum_types_by_name})
