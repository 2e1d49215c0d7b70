"""Keywords of layer types: which message they go to, and what is said of those that are none."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from caffelite import layers as L
from caffelite import netspec, prototxt
from caffelite.layerkit import layers as registry
from caffelite.netspec import SettingError, param_name_dict
from caffelite.netspec.keywords import BORROWED
from caffelite.proto import LayerParameter, NetParameter

TRANSFORM = {"transform_param"}
"""A message that several types read and no keyword reaches: data types have old fields of the same names."""


def read_by(type_name: str) -> set[str]:
    """The settings messages that a type reads, as its documentation names them."""
    kind = registry[type_name]
    shown = set(re.findall(r"`(\w+_param)\b", kind.__doc__ or ""))
    for param in prototxt.loads(inspect.cleandoc(kind.example), NetParameter).message.layer:
        shown |= {field.name for field, _ in param.ListFields() if param.type == type_name}
    return {name for name in shown if name.endswith("_param")}


def reached(type_name: str) -> set[str]:
    own = param_name_dict().get(type_name)
    return ({f"{own}_param"} if own else set()) | set(BORROWED.get(type_name, ()))


def made(type_name: str, **settings: Any) -> Any:
    """A LayerParameter of one layer without bottoms."""
    return netspec.Function(type_name, (), settings).layer()


@pytest.mark.parametrize("type_name", list(registry))
def test_keywords_reach_every_message_that_a_type_is_documented_to_read(type_name: str) -> None:
    assert read_by(type_name) - TRANSFORM <= reached(type_name)


def test_all_that_is_borrowed_is_there() -> None:
    fields = LayerParameter.DESCRIPTOR.fields_by_name
    assert set(BORROWED) <= set(registry)
    for messages in BORROWED.values():
        for message, names in messages.items():
            assert set(names) <= set(fields[message].message_type.fields_by_name)


def test_the_dictionary_of_names() -> None:
    names = param_name_dict()
    assert names["InnerProduct"] == "inner_product"
    assert names["ArgMax"] == "argmax"
    assert names["HDF5Data"] == "hdf5_data"
    assert names["Transformation"] == "transform"
    assert "Deconvolution" not in names


@pytest.mark.parametrize(
    ("type_name", "settings", "message"),
    [
        ("Convolution", dict(num_output=2), "convolution_param"),
        ("Deconvolution", dict(num_output=2, kernel_size=[4], stride=[2]), "convolution_param"),
        ("Im2col", dict(kernel_size=[3]), "convolution_param"),
        ("LpPooling", dict(kernel_size=3, p=2), "pooling_param"),
        ("RNN", dict(num_output=2), "recurrent_param"),
        ("LSTM", dict(num_output=2, expose_hidden=True), "recurrent_param"),
        ("SoftmaxWithLoss", dict(axis=2), "softmax_param"),
        ("SoftmaxWithLoss", dict(ignore_label=255, normalization="VALID"), "loss_param"),
        ("SigmoidCrossEntropyLoss", dict(normalization="FULL"), "loss_param"),
        ("InfogainLoss", dict(ignore_label=0), "loss_param"),
        ("InfogainLoss", dict(source="H.binaryproto"), "infogain_loss_param"),
        ("HingeLoss", dict(norm="L2"), "hinge_loss_param"),
        ("HingeLoss", dict(class_weighting=[1, 2]), "loss_param"),
        ("ImageData", dict(prefetch=3), "data_param"),
        ("ImageData", dict(batch_size=3, source="list.txt"), "image_data_param"),
        ("Parameter", dict(shape=dict(dim=[2])), "parameter_param"),
    ],
)
def test_a_keyword_goes_to_the_message_that_the_type_reads(
    type_name: str, settings: dict[str, Any], message: str
) -> None:
    assert made(type_name, **settings) == LayerParameter(type=type_name, **{message: settings})


def test_a_keyword_that_ends_in_param_is_a_field_of_the_layer() -> None:
    given = dict(param=[dict(lr_mult=0)], transform_param=dict(scale=0.5), convolution_param=dict(num_output=3))
    assert made("Convolution", kernel_size=2, **given) == LayerParameter(
        type="Convolution",
        param=[dict(lr_mult=0)],
        transform_param=dict(scale=0.5),
        convolution_param=dict(num_output=3, kernel_size=[2]),
    )


def test_other_keywords_are_fields_of_the_layer() -> None:
    given = dict(name="a", loss_weight=[0.5], phase="TEST", include=dict(stage="deploy"), propagate_down=[True, False])
    wanted = dict(name="a", loss_weight=[0.5], phase=1, include=[dict(stage=["deploy"])], propagate_down=[True, False])
    assert made("EuclideanLoss", **given) == LayerParameter(type="EuclideanLoss", **wanted)


def test_a_type_that_the_schema_does_not_know_has_the_keywords_of_every_layer() -> None:
    assert netspec.layers.LpqLoss(loss_weight=2, ntop=0).layer() == LayerParameter(type="LpqLoss", loss_weight=[2])
    with pytest.raises(SettingError, match="LpqLoss: unknown setting fill_value=7"):
        netspec.layers.LpqLoss(fill_value=7)


@pytest.mark.parametrize(
    ("call", "said", "help"),
    [
        ("Convolution(kernal_size=3)", "unknown setting kernal_size=3", "did you mean kernel_size?"),
        ("Convolution(num_outputs=[3])", "unknown setting num_outputs=[3]", "did you mean num_output?"),
        ("Dropout(inplace=True)", "unknown setting inplace=True", "did you mean in_place?"),
        ("Data(nTop=2)", "unknown setting nTop=2", "did you mean ntop?"),
        ("Data(data_params={})", "unknown setting data_params={}", "did you mean data_param?"),
        ("MemoryData(scale=2)", "unknown setting scale=2", "write transform_param=dict(scale=…)"),
        ("Dropout(p=0.5)", "unknown setting p=0.5", "known: dropout_ratio, sample_weights_test, scale_train"),
        ("AbsVal(slope=1)", "unknown setting slope=1", "AbsVal has no settings of its own"),
        ("ReLU(num_output=1)", "unknown setting num_output=1", "known: negative_slope, engine"),
        ("Clip(min=0)", "clip_param.max is missing", None),
        ("Input(shape=dict(dims=[1]))", "unknown setting shape.dims=[1]", "did you mean dim?"),
        ("Input(ntop=-1)", "ntop takes a number from 0 on, got -1", None),
        ("Input(ntop='2')", "ntop takes a number from 0 on, got '2'", None),
    ],
)
def test_a_keyword_that_is_none_is_told_by_the_call(call: str, said: str, help: str | None) -> None:
    with pytest.raises(SettingError) as caught:
        eval(f"L.{call}")
    said = f"{call.partition('(')[0]}: {said}"
    assert str(caught.value) == (f"{said}\n  help: {help}" if help else said)


def test_all_that_is_wrong_with_a_call_is_told() -> None:
    with pytest.raises(SettingError) as caught:
        L.Convolution(kernal_size=3, stride="x", weight_filler=dict(typ="xavier"))
    assert len(caught.value.faults) == 3
