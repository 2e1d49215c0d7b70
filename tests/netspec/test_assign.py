"""Python values in messages: lists, arrays, dicts and names of enums, and what is said of values that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite import CaffeliteError, proto
from caffelite.netspec import SettingError, assign_proto
from caffelite.proto import BlobProto, ConvolutionParameter, LayerParameter, PoolingParameter
from caffelite.prototxt.build import is_repeated

SIZE, FILLER = "kernel_size", "weight_filler"
WHOLE = f"{SIZE} takes a whole number"
POOLS = "one of MAX, AVE, STOCHASTIC, AVE_EXC_PAD"
FILLED = f"write {FILLER}=dict(type=…, value=…, min=…, max=…)"


def assigned(name: str, value: Any, message: Any = LayerParameter) -> Any:
    """A message with one field."""
    filled = message()
    assign_proto(filled, name, value)
    return filled


def told(name: str, value: Any, message: Any = LayerParameter) -> str:
    """What is said of a value that does not fit."""
    with pytest.raises(SettingError) as caught:
        assigned(name, value, message)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [[3, 5], (3, 5), range(3, 7, 2), np.array([3, 5]), np.array([3, 5], np.uint8), [np.int64(3), np.int32(5)],
     ConvolutionParameter(kernel_size=[3, 5]).kernel_size],
    ids=["list", "tuple", "range", "array", "bytes", "scalars", "field"],
)  # fmt: skip
def test_a_repeated_field_takes_any_sequence(value: Any) -> None:
    assert assigned("kernel_size", value, ConvolutionParameter) == ConvolutionParameter(kernel_size=[3, 5])


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), np.uint8(3)])
def test_a_repeated_field_takes_a_single_value(value: Any) -> None:
    assert assigned("kernel_size", value, ConvolutionParameter) == ConvolutionParameter(kernel_size=[3])


def test_a_list_is_added_to_what_is_there_and_an_empty_one_adds_nothing() -> None:
    layer = LayerParameter(top=["a"])
    assign_proto(layer, "top", ["b", "c"])
    assign_proto(layer, "top", [])
    assert layer == LayerParameter(top=["a", "b", "c"])


@pytest.mark.parametrize("first", [dict(lr_mult=1), {"lr_mult": np.float32(1)}, proto.ParamSpec(lr_mult=1)])
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_repeated_message_takes_dicts_and_messages(first: Any, kind: Any) -> None:
    assert assigned("param", kind([first, dict(lr_mult=2)])) == LayerParameter(param=[dict(lr_mult=1), dict(lr_mult=2)])


def test_a_repeated_message_takes_a_single_dict() -> None:
    assert assigned("include", dict(phase=proto.TEST)) == LayerParameter(include=[dict(phase=1)])


def test_dicts_nest_and_are_merged() -> None:
    layer = assigned("convolution_param", dict(num_output=2, weight_filler=dict(type="gaussian", std=0.25)))
    assign_proto(layer, "convolution_param", {"weight_filler": {"mean": 1}})
    filler = dict(type="gaussian", std=0.25, mean=1)
    assert layer == LayerParameter(convolution_param=dict(num_output=2, weight_filler=filler))


def test_an_empty_dict_sets_nothing() -> None:
    assert not assigned("relu_param", {}).HasField("relu_param")


@pytest.mark.parametrize("value", ["AVE", PoolingParameter.AVE, 1, np.int32(1), np.str_("AVE")])
def test_an_enum_by_name_or_number(value: Any) -> None:
    assert assigned("pool", value, PoolingParameter).pool == PoolingParameter.AVE


@pytest.mark.parametrize("value", [True, 1, np.bool_(True)])
def test_a_truth_value(value: Any) -> None:
    assert assigned("global_pooling", value, PoolingParameter).global_pooling is True


def test_numbers_of_numpy_are_numbers() -> None:
    filler = assigned("std", np.float32(0.1), proto.FillerParameter)
    assert filler.std == np.float32(0.1)
    assert assigned("data", np.array([[1.5, 2], [3, 4]])[1], BlobProto) == BlobProto(data=[3, 4])


def test_a_path_is_a_text() -> None:
    assert assigned("source", Path("a") / "b", proto.DataParameter).source == str(Path("a/b"))


@pytest.mark.parametrize(
    ("message", "name", "value", "said", "help"),
    [
        (PoolingParameter, "kernel_sizes", 3, "unknown setting kernel_sizes=3", "did you mean kernel_size?"),
        (
            proto.DropoutParameter,
            "p",
            0.5,
            "unknown setting p=0.5",
            "known: dropout_ratio, sample_weights_test, scale_train",
        ),
        (PoolingParameter, "pool", "MAXX", f"pool takes {POOLS}, got 'MAXX'", "did you mean MAX?"),
        (PoolingParameter, "pool", "max", f"pool takes {POOLS}, got 'max'", "did you mean MAX?"),
        (PoolingParameter, "pool", 7, f"pool takes {POOLS}, got 7", None),
        (PoolingParameter, "pool", dict(a=1), f"pool takes {POOLS}, got {{'a': 1}}", None),
        (PoolingParameter, SIZE, (2, 3), f"{SIZE} takes one value, got a list of 2", "write kernel_h=2, kernel_w=3"),
        (PoolingParameter, SIZE, [2], f"{SIZE} takes one value, got a list of 1", None),
        (PoolingParameter, SIZE, -1, f"{SIZE} cannot be negative, got -1", None),
        (PoolingParameter, SIZE, 2**32, f"{SIZE} is out of range, got 4294967296", None),
        (PoolingParameter, SIZE, 2.0, f"{WHOLE}, got 2.0", "write 2; // divides whole numbers into a whole number"),
        (PoolingParameter, SIZE, 2.5, f"{WHOLE}, got 2.5", None),
        (PoolingParameter, SIZE, None, f"{WHOLE}, got None", None),
        (PoolingParameter, SIZE, "2", f"{WHOLE}, got '2'", None),
        (PoolingParameter, "global_pooling", "true", "global_pooling takes true or false, got 'true'", None),
        (ConvolutionParameter, SIZE, [3, "x"], f"{WHOLE}, got 'x'", None),
        (ConvolutionParameter, SIZE, np.eye(2, dtype=int), f"{WHOLE}, got [1, 0]", None),
        (ConvolutionParameter, FILLER, "xavier", f"{FILLER} takes a dict, got 'xavier'", FILLED),
        (ConvolutionParameter, FILLER, proto.ParamSpec(name="x"), f'{FILLER} takes a dict, got name: "x"', FILLED),
        (ConvolutionParameter, FILLER, dict(typ=1), f"unknown setting {FILLER}.typ=1", "did you mean type?"),
        (ConvolutionParameter, FILLER, dict(std="1"), f"{FILLER}.std takes a number, got '1'", None),
        (proto.InputParameter, "shape", [1, 3], "shape takes a dict, got 1", "write shape=dict(dim=…)"),
        (proto.PythonParameter, "layer", dict(a=1), "layer takes a text in quotes, got {'a': 1}", None),
        (proto.PythonParameter, "layer", b"\xff", r"layer takes a text in quotes, got b'\xff'", None),
    ],
)
def test_what_does_not_fit_is_told(message: Any, name: str, value: Any, said: str, help: str | None) -> None:
    assert told(name, value, message) == (f"{said}\n  help: {help}" if help else said)


def test_a_number_too_large_and_an_iterator_that_could_be_read_once_are_told() -> None:
    assert told("std", 10**400, proto.FillerParameter).startswith("std takes a number, got 1000")
    assert told(SIZE, map(int, "35"), ConvolutionParameter).startswith(f"{WHOLE}, got <map object at")


def test_a_long_value_is_cut_off() -> None:
    assert len(told("name", list(range(1000)))) < 80
    assert len(told("param", "x" * 1000).splitlines()[0]) < 80


def test_the_error_is_what_the_original_raised_and_one_of_ours() -> None:
    for kind in (AttributeError, TypeError, ValueError, CaffeliteError):
        with pytest.raises(kind):
            assigned("nome", 1)


def values(field: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """Python values for a field, with all that may be inside."""
    if field.message_type is not None:
        inner = [one for one in field.message_type.fields if one.message_type is None or depth]
        single: Any = st.fixed_dictionaries({}, optional={one.name: values(one, depth - 1) for one in inner[:6]})
    elif field.enum_type is not None:
        single = st.sampled_from([value.name for value in field.enum_type.values])
    else:
        single = {
            field.CPPTYPE_BOOL: st.booleans(),
            field.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
            field.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
            field.CPPTYPE_STRING: st.text(st.characters(codec="utf-8")),
        }.get(field.cpp_type, st.integers(0, 2**31 - 1))
    return st.lists(single, max_size=3) if is_repeated(field) else single


def as_dict(message: Any) -> dict[str, Any]:
    """What `assign_proto` was given, read off the message."""

    def read(field: Any, value: Any) -> Any:
        if field.message_type is not None:
            return as_dict(value)
        return field.enum_type.values_by_number[value].name if field.enum_type is not None else value

    fields = [(field, getattr(message, field.name)) for field, _ in message.ListFields()]
    return {
        field.name: [read(field, item) for item in value] if is_repeated(field) else read(field, value)
        for field, value in fields
    }


def without_empties(value: Any) -> Any:
    """A dict without empty lists and dicts in it: they set nothing.  An empty dict in a list is an entry."""
    if not isinstance(value, dict):
        return [without_empties(item) for item in value] if isinstance(value, list) else value
    kept = {name: without_empties(inner) for name, inner in value.items()}
    return {name: inner for name, inner in kept.items() if inner not in ([], {})}


@given(st.data())
def test_what_was_assigned_can_be_read_back(data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(list(LayerParameter.DESCRIPTOR.fields)))
    value = data.draw(values(field))
    assert as_dict(assigned(field.name, value)) == without_empties({field.name: value})
