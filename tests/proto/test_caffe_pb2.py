"""`caffe_pb2`: what scripts know of the module that protoc generates."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import json_format, text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor

from caffelite import proto
from caffelite.proto import caffe_pb2

SCHEMA = proto.pool.FindFileByName("caffe.proto")

MESSAGES = """
BlobShape BlobProto BlobProtoVector Datum FillerParameter NetParameter SolverParameter SolverState NetState NetStateRule
ParamSpec LayerParameter TransformationParameter LossParameter AccuracyParameter ArgMaxParameter ClipParameter
ConcatParameter BatchNormParameter BiasParameter ContrastiveLossParameter ConvolutionParameter CropParameter
DataParameter DropoutParameter DummyDataParameter EltwiseParameter ELUParameter EmbedParameter ExpParameter
FlattenParameter HDF5DataParameter HDF5OutputParameter HingeLossParameter ImageDataParameter InfogainLossParameter
InnerProductParameter InputParameter LogParameter LRNParameter MemoryDataParameter MVNParameter ParameterParameter
PoolingParameter PowerParameter PythonParameter RecurrentParameter ReductionParameter ReLUParameter ReshapeParameter
ScaleParameter SigmoidParameter SliceParameter SoftmaxParameter SwishParameter TanHParameter TileParameter
ThresholdParameter WindowDataParameter SPPParameter V1LayerParameter V0LayerParameter PReLUParameter
"""
"""Every message of the original's schema."""


@pytest.mark.parametrize("name", MESSAGES.split())
def test_every_message_of_the_original_is_there(name: str) -> None:
    message = getattr(caffe_pb2, name)
    assert message().DESCRIPTOR.name == name
    assert message is getattr(proto, name)
    assert getattr(caffe_pb2, f"_{name.upper()}") is message.DESCRIPTOR


def test_text_format_need_not_be_imported() -> None:
    """Scripts say `google.protobuf.text_format` after importing google.protobuf alone, which sufficed once."""
    script = "import google.protobuf as pb; from caffelite.proto import caffe_pb2; pb.text_format.Merge"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_nothing_of_the_schema_is_left_out() -> None:
    assert {*SCHEMA.message_types_by_name, *SCHEMA.enum_types_by_name} <= set(dir(caffe_pb2))


def test_phases_and_their_enum() -> None:
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert (caffe_pb2.Phase.Value("TEST"), caffe_pb2.Phase.Name(0)) == (1, "TRAIN")
    assert caffe_pb2.Phase.items() == [("TRAIN", 0), ("TEST", 1)]


def test_values_of_enums_inside_messages() -> None:
    assert (caffe_pb2.SolverParameter.CPU, caffe_pb2.SolverParameter.GPU) == (0, 1)
    assert (caffe_pb2.PoolingParameter.MAX, caffe_pb2.PoolingParameter.AVE) == (0, 1)
    assert caffe_pb2.V1LayerParameter.CONVOLUTION == 4
    assert caffe_pb2.V1LayerParameter.LayerType.Name(14) == "INNER_PRODUCT"
    assert caffe_pb2.PoolingParameter.PoolMethod.Value("STOCHASTIC") == 2
    assert caffe_pb2.SolverParameter.SnapshotFormat.keys() == ["HDF5", "BINARYPROTO"]


def test_descriptors() -> None:
    assert isinstance(caffe_pb2.DESCRIPTOR, FileDescriptor)
    assert (caffe_pb2.DESCRIPTOR.name, caffe_pb2.DESCRIPTOR.package) == ("caffe.proto", "caffe")
    assert caffe_pb2.PoolingParameter.PoolMethod.DESCRIPTOR.values_by_name["AVE"].number == 1
    assert caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["pooling_param"].number == 121


@pytest.mark.parametrize(
    ("name", "kind", "full"),
    [
        ("_LAYERPARAMETER", Descriptor, "caffe.LayerParameter"),
        ("_PHASE", EnumDescriptor, "caffe.Phase"),
        ("_POOLINGPARAMETER_POOLMETHOD", EnumDescriptor, "caffe.PoolingParameter.PoolMethod"),
        ("_V1LAYERPARAMETER_LAYERTYPE", EnumDescriptor, "caffe.V1LayerParameter.LayerType"),
        ("_SOLVERPARAMETER_SOLVERMODE", EnumDescriptor, "caffe.SolverParameter.SolverMode"),
    ],
)
def test_descriptors_under_their_old_names(name: str, kind: type, full: str) -> None:
    descriptor = getattr(caffe_pb2, name)
    assert isinstance(descriptor, kind)
    assert descriptor.full_name == full  # type: ignore[attr-defined]


def test_a_name_the_schema_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="NotParameter"):
        _ = caffe_pb2.NotParameter


def layer() -> Any:
    made = caffe_pb2.LayerParameter(name="p", type="Pooling", bottom=["a"])
    made.pooling_param.pool = caffe_pb2.PoolingParameter.AVE
    made.param.add().lr_mult = 2
    return made


def test_text_format() -> None:
    net = caffe_pb2.NetParameter()
    text_format.Merge('layer { name: "p" type: "Pooling" bottom: "a" param { lr_mult: 2 } }', net)
    text_format.Merge("layer { pooling_param { pool: AVE } } name: 'n'", net)
    assert len(net.layer) == 2
    assert net.layer[1].pooling_param.pool == 1
    assert text_format.Parse(text_format.MessageToString(net), caffe_pb2.NetParameter()) == net
    assert text_format.Parse(str(net), caffe_pb2.NetParameter()) == net
    with pytest.raises(text_format.ParseError, match="layre"):
        text_format.Merge("layre { }", net)


def test_bytes_json_and_pickle() -> None:
    written = layer().SerializeToString()
    read = caffe_pb2.LayerParameter()
    read.ParseFromString(written)
    assert read == layer() == caffe_pb2.LayerParameter.FromString(written)
    assert json_format.Parse(json_format.MessageToJson(layer()), caffe_pb2.LayerParameter()) == layer()
    assert pickle.loads(pickle.dumps(layer())) == layer()


def test_messages_can_be_copied_merged_and_cleared() -> None:
    net = caffe_pb2.NetParameter()
    net.layer.extend([layer(), layer()])
    net.layer[0].ClearField("pooling_param")
    net.layer.add().CopyFrom(layer())
    del net.layer[1]
    assert [one.HasField("pooling_param") for one in net.layer] == [False, True]
