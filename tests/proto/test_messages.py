"""The messages: names of the module, bytes as Caffe writes them, and peace with other `caffe` protos in the process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caffelite import proto
from caffelite.proto import BlobProto, ConvolutionParameter, LayerParameter, NetParameter, Phase, SolverState

from ..conftest import ALL, CARRIED, find_golden

KINDS = {
    "weights/*.caffemodel": NetParameter,
    "upgrade/*.caffemodel": NetParameter,
    "solvers/*/*.caffemodel": NetParameter,
    "solvers/*/*.solverstate": SolverState,
    "mean/*.binaryproto": BlobProto,
}


def run(script: str, given: bytes = b"") -> str:
    """The output of a script in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def recorded() -> Iterator[Any]:
    for pattern, kind in KINDS.items():
        names = {path.relative_to(folder).as_posix() for folder in (CARRIED, ALL) for path in folder.glob(pattern)}
        for name in sorted(names):
            yield pytest.param(name, kind, id=name)


def test_messages_enums_and_phases_are_names_of_the_module() -> None:
    assert (proto.TRAIN, proto.TEST) == (0, 1)
    assert Phase.Name(1) == "TEST"
    assert proto.PoolingParameter.AVE == proto.PoolingParameter.PoolMethod.Value("AVE") == 1
    assert {"NetParameter", "Phase", "TRAIN"} <= set(dir(proto))


def test_a_name_the_schema_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="NotParameter"):
        _ = proto.NotParameter


def test_a_default_is_told_from_a_value_that_was_given() -> None:
    dropout = proto.DropoutParameter()
    assert dropout.dropout_ratio == 0.5
    assert not dropout.HasField("dropout_ratio")
    dropout.dropout_ratio = 0.5
    assert dropout.HasField("dropout_ratio")


def test_bytes_follow_the_field_numbers() -> None:
    """Written out by hand from the encoding of protocol buffers: tag = number << 3 | wire type."""
    layer = LayerParameter(name="ip", type="InnerProduct")
    layer.blobs.add(data=[1.0, -2.0]).shape.dim.extend([1, 2])
    blob = b"\x2a\x08" + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\xc0" + b"\x3a\x04" + b"\x0a\x02\x01\x02"
    inner = b"\x0a\x02ip" + b"\x12\x0cInnerProduct" + b"\x3a\x10" + blob
    assert layer.SerializeToString() == inner
    net = NetParameter(name="n", layer=[layer])
    assert net.SerializeToString() == b"\x0a\x01n" + b"\xa2\x06" + bytes([len(inner)]) + inner


def test_repeated_settings_are_not_packed() -> None:
    assert ConvolutionParameter(pad=[2, 3]).SerializeToString() == b"\x18\x02\x18\x03"


@pytest.mark.parametrize(("name", "kind"), list(recorded()))
def test_files_of_the_original_come_back_byte_for_byte(name: str, kind: Any) -> None:
    written = find_golden(name).read_bytes()
    message = kind.FromString(written)
    message.DiscardUnknownFields()  # a field we did not know would be lost here
    assert message.SerializeToString() == written


def test_a_message_can_be_sent_to_another_process() -> None:
    net = NetParameter(name="n")
    net.layer.add(type="ReLU")
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer).type)"
    assert run(script, pickle.dumps(net.layer[0])) == "ReLU"


def test_importing_the_messages_loads_nothing_heavy() -> None:
    script = "import sys, caffelite.proto; print([m for m in ('torch._C', 'numpy', 'click') if m in sys.modules])"
    assert run(script) == "[]"


OTHER = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
field = file.message_type.add(name="NetParameter").field.add(name="elsewhere", number=1, label=1, type=5)
pool = descriptor_pool.Default()
pool.AddSerializedFile(file.SerializeToString())
Theirs = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))
"""
OURS = "from caffelite.proto import NetParameter as Ours\n"
USE_BOTH = """
print(Theirs(elsewhere=3).SerializeToString(), Ours(name="n").SerializeToString(), Ours is Theirs)
"""


@pytest.mark.parametrize("script", [OTHER + OURS, OURS + OTHER], ids=["theirs first", "ours first"])
def test_another_caffe_proto_may_live_in_the_process(script: str) -> None:
    assert run(script + USE_BOTH) == r"b'\x08\x03' b'\n\x01n' False"


def test_the_other_caffe_proto_of_these_tests_does_clash_in_one_pool() -> None:
    """So that the test above would notice if we went back to the default pool."""
    desc = Path(proto.__file__).with_name("caffe.desc")
    script = f"""
from google.protobuf.descriptor_pb2 import FileDescriptorSet
ours = FileDescriptorSet.FromString(open({str(desc)!r}, "rb").read()).file[0]
try:
    pool.AddSerializedFile(ours.SerializeToString())
    pool.FindFileByName("caffe.proto").message_types_by_name["LayerParameter"]
except (TypeError, KeyError) as error:
    print("clash")
"""
    assert run(OTHER + script) == "clash"
