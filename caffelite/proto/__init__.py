"""Messages of protos/caffe.proto, made at run time from `caffe.desc` in a descriptor pool of our own.

A pool of our own lets this package live in one process with any other that registers a `caffe` proto, and making the
classes from a descriptor frees it from the version of the code generator: any protobuf runtime from 5 on will do.
Every message, every enum and every value of a top-level enum is a name of this module::

    from caffelite.proto import NetParameter, Phase, TRAIN

After a change of protos/caffe.proto, `caffe.desc` is made anew with `make proto`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper


def __getattr__(name: str) -> Any:
    """The module that other programs look for messages in, `caffe.proto.caffe_pb2`, imported when it is asked for."""
    if name == "caffe_pb2":
        return importlib.import_module(".caffe_pb2", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


pool = descriptor_pool.DescriptorPool()
"""The pool that holds our schema; its file is called "caffe.proto"."""


def _names() -> Iterator[tuple[str, Any]]:
    for file in FileDescriptorSet.FromString(Path(__file__).with_name("caffe.desc").read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    schema = pool.FindFileByName("caffe.proto")
    for name, message in schema.message_types_by_name.items():
        cls = message_factory.GetMessageClass(message)
        cls.__module__ = __name__  # without it pickle searches every loaded module, and wakes those that load lazily
        yield name, cls
    for name, enum in schema.enum_types_by_name.items():
        yield name, EnumTypeWrapper(enum)
        yield from ((value.name, value.number) for value in enum.values)


globals().update(_names())
