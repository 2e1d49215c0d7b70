"""Layers, tops and nets: names, order, in place, several tops or none; and what is told at once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

import caffelite as caffe
from caffelite import CaffeliteError, prototxt
from caffelite import layers as L
from caffelite import params as P
from caffelite.netspec import Function, NotATop, SettingError, Top, UnknownName, to_proto
from caffelite.proto import NetParameter

IMAGE, LABEL = dict(dim=[4, 1, 8, 8]), dict(dim=[4])


def rows(net: Any) -> list[tuple[str, str, list[str], list[str]]]:
    """Name, type, bottoms and tops of every layer."""
    return [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in net.layer]


def data_and_label() -> Any:
    return L.DummyData(shape=[IMAGE, LABEL], ntop=2, transform_param=dict(scale=1 / 255))


def anonymous() -> Top:
    """A net without names, seen from its loss."""
    data, label = data_and_label()
    conv1 = L.Convolution(data, num_output=3, kernel_size=3)
    conv2 = L.Convolution(L.Pooling(conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2), num_output=5, kernel_size=1)
    ip = L.InnerProduct(L.ReLU(conv2, in_place=True), num_output=10)
    loss: Top = L.SoftmaxWithLoss(ip, label)
    return loss


def named() -> Any:
    n = caffe.NetSpec()
    n.data, n.label = data_and_label()
    n.conv1 = L.Convolution(n.data, num_output=3, kernel_size=3)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.ip = L.InnerProduct(n.relu1, num_output=10)
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    return n


# -- names and order


def test_names_of_a_net_that_has_none() -> None:
    assert rows(anonymous().to_proto()) == [
        ("DummyData1", "DummyData", [], ["DummyData1", "DummyData2"]),
        ("Convolution1", "Convolution", ["DummyData1"], ["Convolution1"]),
        ("Pooling1", "Pooling", ["Convolution1"], ["Pooling1"]),
        ("Convolution2", "Convolution", ["Pooling1"], ["Convolution2"]),
        ("ReLU1", "ReLU", ["Convolution2"], ["Convolution2"]),
        ("InnerProduct1", "InnerProduct", ["Convolution2"], ["InnerProduct1"]),
        ("SoftmaxWithLoss1", "SoftmaxWithLoss", ["InnerProduct1", "DummyData2"], ["SoftmaxWithLoss1"]),
    ]


def test_names_that_are_given() -> None:
    assert rows(named().to_proto()) == [
        ("data", "DummyData", [], ["data", "label"]),
        ("conv1", "Convolution", ["data"], ["conv1"]),
        ("relu1", "ReLU", ["conv1"], ["conv1"]),
        ("ip", "InnerProduct", ["conv1"], ["ip"]),
        ("loss", "SoftmaxWithLoss", ["ip", "label"], ["loss"]),
    ]


def test_what_is_needed_and_has_no_name_stands_in_front() -> None:
    n = caffe.NetSpec()
    n.b = L.ReLU(L.ReLU(L.Input(shape=IMAGE)))
    n.a = L.Input(shape=IMAGE)
    n.both = L.Eltwise(n.a, L.TanH(n.b), operation=P.Eltwise.SUM)
    assert [row[0] for row in rows(n.to_proto())] == ["Input1", "ReLU1", "b", "a", "TanH1", "both"]


def test_what_no_name_leads_to_is_left_out() -> None:
    n = caffe.NetSpec()
    n.a = L.Input(shape=IMAGE)
    L.ReLU(n.a)
    assert [row[0] for row in rows(n.to_proto())] == ["a"]


def test_only_some_tops_of_a_layer_may_have_names() -> None:
    n = caffe.NetSpec()
    _, n.second, _ = L.Slice(L.Input(shape=IMAGE), ntop=3, slice_point=[1, 2])
    assert rows(n.to_proto())[1] == ("Slice1", "Slice", ["Input1"], ["Slice1", "second", "Slice2"])


def test_the_last_of_several_names_counts_at_the_place_of_the_first() -> None:
    n = caffe.NetSpec()
    n.a = L.Input(shape=IMAGE)
    n.b = L.Input(shape=LABEL)
    n.c = n.a
    assert [row[0] for row in rows(n.to_proto())] == ["c", "b"]


def test_a_name_given_anew_keeps_its_place() -> None:
    n = caffe.NetSpec()
    n.a = L.Input(shape=IMAGE)
    n.b = L.Input(shape=LABEL)
    n.a = L.ReLU(n.a)
    assert rows(n.to_proto())[:2] == [("Input1", "Input", [], ["Input1"]), ("a", "ReLU", ["Input1"], ["a"])]


def test_a_layer_in_place_under_two_names() -> None:
    """Its own name is the last; its blob keeps that of the bottom."""
    n = caffe.NetSpec()
    n.x = L.Input(shape=IMAGE)
    n.first = n.second = L.ReLU(n.x, in_place=True)
    n.y = L.Power(n.first)
    assert rows(n.to_proto())[1:] == [("second", "ReLU", ["x"], ["x"]), ("y", "Power", ["x"], ["y"])]


def test_a_helper_that_gives_a_layer_and_its_relu() -> None:
    n = caffe.NetSpec()
    n.x = L.Input(shape=IMAGE)
    ip = L.InnerProduct(n.x, num_output=2)
    n.ip, n.relu = ip, L.ReLU(ip, in_place=True)
    n.out = L.Sigmoid(n.ip)
    assert rows(n.to_proto())[2:] == [("relu", "ReLU", ["ip"], ["ip"]), ("out", "Sigmoid", ["ip"], ["out"])]


def test_a_layer_without_tops_has_a_name_all_the_same() -> None:
    n = caffe.NetSpec()
    n.a, b = L.DummyData(shape=dict(dim=3), ntop=2)
    n.quiet = L.Silence(n.a, ntop=0)
    assert isinstance(n.quiet, Function)
    assert rows(n.to_proto())[1:] == [("quiet", "Silence", ["a"], [])]
    net = to_proto(L.Silence(n.a, ntop=0), L.Silence(n.a, b, ntop=0))
    assert rows(net) == [
        ("DummyData1", "DummyData", [], ["DummyData1", "DummyData2"]),
        ("Silence1", "Silence", ["DummyData1"], []),
        ("Silence2", "Silence", ["DummyData1", "DummyData2"], []),
    ]


def test_layers_that_two_tops_share_are_written_once() -> None:
    x = L.Input(shape=IMAGE)
    a, b = L.ReLU(x), L.TanH(x)
    assert [row[0] for row in rows(to_proto(a, b))] == ["Input1", "ReLU1", "TanH1"]
    assert [row[0] for row in rows(to_proto(b, a))] == ["Input1", "TanH1", "ReLU1"]
    assert rows(caffe.to_proto()) == []


def test_a_net_can_be_written_twice_and_go_on_in_between() -> None:
    n = named()
    first = n.to_proto()
    assert n.to_proto() == first
    n.accuracy = L.Accuracy(n.ip, n.label, include=dict(phase=caffe.TEST))
    assert n.to_proto().layer[:-1] == first.layer[:]
    loss = anonymous()
    assert loss.to_proto() == loss.to_proto()


def test_names_with_signs_that_python_does_not_allow() -> None:
    n = caffe.NetSpec()
    n["inception/1x1"] = L.Input(shape=IMAGE)
    setattr(n, "res2a-relu", L.ReLU(n["inception/1x1"]))
    assert [row[0] for row in rows(n.to_proto())] == ["inception/1x1", "res2a-relu"]


def test_a_name_that_is_an_attribute_is_reached_by_brackets() -> None:
    n = caffe.NetSpec()
    n.tops = L.Input(shape=IMAGE)
    assert list(n.tops) == ["tops"]
    assert n["tops"] is n.tops["tops"]


def test_names_and_blobs_given_by_keyword() -> None:
    """A second layer for a blob that is there, as for the data of TRAIN and TEST."""
    n = caffe.NetSpec()
    n.data = L.Data(source="train", include=dict(phase=caffe.TRAIN))
    n.other = L.Data(source="test", include=dict(phase=caffe.TEST), name="data", top="data", ntop=0)
    train, test = n.to_proto().layer
    assert rows(n.to_proto()) == [("data", "Data", [], ["data"])] * 2
    assert (train.include[0].phase, test.include[0].phase) == (caffe.TRAIN, caffe.TEST)


def test_what_is_long_needs_no_recursion() -> None:
    top = L.Input(shape=IMAGE)
    for _ in range(3000):
        top = L.ReLU(top)
    assert top.to_proto().layer[-1].name == "ReLU3000"


# -- settings


def test_settings_of_a_python_layer() -> None:
    n = caffe.NetSpec()
    n.data, n.label = L.Python(module="layers", layer="Pairs", ntop=2, param_str=str(dict(batch_size=4)))
    settings = dict(module="layers", layer="Pairs", param_str="{'batch_size': 4}")
    assert n.to_proto() == NetParameter(
        layer=[dict(name="data", type="Python", top=["data", "label"], python_param=settings)]
    )


def test_settings_may_be_changed_until_the_net_is_written() -> None:
    n = named()
    n.conv1.fn.params["num_output"] = 7
    assert n.to_proto().layer[1].convolution_param.num_output == 7
    n.tops["conv1"].fn.params["num_ouput"] = 8
    with pytest.raises(SettingError, match="num_ouput=8"):
        n.to_proto()


def test_what_a_layer_was_made_of_can_be_seen() -> None:
    top = L.Convolution(L.Input(shape=IMAGE), num_output=3, kernel_size=5, ntop=1, in_place=False)
    assert (top.n, top.fn.type_name, top.fn.params) == (0, "Convolution", dict(num_output=3, kernel_size=5))
    assert (top.fn.ntop, top.fn.in_place, top.fn.tops) == (1, False, (top,))
    assert [bottom.fn.type_name for bottom in top.fn.inputs] == ["Input"]


def test_the_keywords_of_the_caller_stay_as_they_are() -> None:
    settings = dict(shape=IMAGE, ntop=2)
    Function("DummyData", (), settings)
    assert settings == dict(shape=IMAGE, ntop=2)


# -- text


def test_texts_of_nets_side_by_side_are_one_net() -> None:
    front, back = L.Input(shape=IMAGE), named()
    text = f'name: "two"\n{front.to_proto()}{back.to_proto()}'
    read = prototxt.loads(text, NetParameter, strict=True).message
    assert read.name == "two"
    assert list(read.layer) == [*front.to_proto().layer, *back.to_proto().layer]
    assert text_format.Parse(text, NetParameter()) == read


def test_the_original_reads_of_it_what_protobuf_writes() -> None:
    net = named().to_proto()
    assert text_format.Parse(text_format.MessageToString(net), NetParameter()) == net
    assert NetParameter.FromString(net.SerializeToString()) == net


def test_the_net_runs(tmp_path: Path) -> None:
    for number, net in enumerate((named().to_proto(), anonymous().to_proto())):
        file = tmp_path / f"{number}.prototxt"
        file.write_text(str(net))
        made = caffe.Net(str(file), caffe.TEST)
        (loss,) = made.forward().values()
        assert loss.shape == ()
        assert len(net.layer) == len(made.layers)


# -- what is wrong


@pytest.mark.parametrize("wrong", [("x",), (3,), (None,), ([],), (L.ReLU,)])
def test_a_bottom_that_is_no_top_is_told(wrong: tuple[Any, ...]) -> None:
    data = L.Input(shape=IMAGE)
    with pytest.raises(TypeError) as caught:
        L.Concat(data, *wrong)
    assert str(caught.value) == f"Concat input 1 is not a Top (type is {type(wrong[0])})"
    assert isinstance(caught.value, NotATop)


def test_a_tuple_of_tops_is_no_top() -> None:
    data = L.DummyData(shape=IMAGE, ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(data, ntop=0)
    assert len(L.Silence(*data, ntop=0).inputs) == 2


def test_a_bottom_without_tops_is_told() -> None:
    quiet = L.Silence(L.Input(shape=IMAGE), ntop=0)
    with pytest.raises(NotATop, match="ReLU input 0 is not a Top"):
        L.ReLU(quiet)


@pytest.mark.parametrize("wrong", [3, "x", None, [1]])
def test_a_name_for_what_is_no_top_is_told_when_the_net_is_written(wrong: Any) -> None:
    n = caffe.NetSpec()
    n.a = wrong
    assert n.a is wrong
    with pytest.raises(TypeError, match=r"NetSpec\.a: .* is not a Top") as caught:
        n.to_proto()
    assert isinstance(caught.value, NotATop)
    n["a"] = L.Input(shape=IMAGE)
    assert [layer.name for layer in n.to_proto().layer] == ["a"]


def test_one_name_for_several_tops_is_told_unless_they_get_names_of_their_own() -> None:
    n = caffe.NetSpec()
    n.data = tops = L.DummyData(shape=IMAGE, ntop=2)
    with pytest.raises(NotATop, match="needs as many names"):
        n.to_proto()
    n.data, n.label = tops
    assert list(n.to_proto().layer[0].top) == ["data", "label"]


def test_a_name_that_is_no_text_is_told() -> None:
    n = caffe.NetSpec()
    with pytest.raises(SettingError, match=r'a name is a text, got 3\n  help: write n\["3"\]'):
        n[3] = L.Input(shape=IMAGE)


def test_what_was_put_among_the_tops_by_hand_is_told() -> None:
    n = named()
    n.tops["x"] = 3
    with pytest.raises(NotATop, match=r"NetSpec\.x"):
        n.to_proto()


@pytest.mark.parametrize("wrong", [3, "x", (anonymous(),)])
def test_what_is_written_must_be_tops(wrong: Any) -> None:
    with pytest.raises(NotATop, match="to_proto: "):
        to_proto(anonymous(), wrong)


@pytest.mark.parametrize("kind", [AttributeError, KeyError, CaffeliteError, UnknownName])
def test_a_missing_top_is_an_attribute_error_and_a_key_error(kind: type[Exception]) -> None:
    for missing in (lambda n: n.conv2, lambda n: n["conv2"]):
        with pytest.raises(kind) as caught:
            missing(named())
        assert str(caught.value) == "the net has no top named conv2\n  help: did you mean conv1?"


def test_names_can_be_asked_for_and_listed() -> None:
    n = named()
    assert hasattr(n, "conv1")
    assert not hasattr(n, "conv2")
    assert not hasattr(n, "_repr_svg_")
    assert {"conv1", "loss", "to_proto"} <= set(dir(n))


@pytest.mark.parametrize(("bottoms", "ntop"), [(0, 1), (1, 2)])
def test_more_tops_in_place_than_bottoms_are_told(bottoms: int, ntop: int) -> None:
    with pytest.raises(SettingError, match=f"ReLU: in_place with {bottoms} bottoms has no room for {ntop} tops"):
        L.ReLU(*[L.Input(shape=IMAGE)] * bottoms, in_place=True, ntop=ntop)


# -- to look at


def test_a_net_is_shown_as_a_table() -> None:
    assert repr(named()).splitlines() == [
        "NetSpec of 5 layers",
        "data   DummyData                  → data, label",
        "conv1  Convolution      data      → conv1",
        "relu1  ReLU             conv1     → conv1",
        "ip     InnerProduct     conv1     → ip",
        "loss   SoftmaxWithLoss  ip, label → loss",
    ]
    assert repr(caffe.NetSpec()) == "NetSpec of 0 layers"


def test_a_copy_is_a_net_of_its_own() -> None:
    n = named()
    other = copy.deepcopy(n)
    other.more = L.ReLU(other.ip)
    other.ip.fn.params["num_output"] = 3
    assert len(n.to_proto().layer) == 5
    assert n.to_proto().layer[3].inner_product_param.num_output == 10
    assert other.to_proto().layer[5].bottom == ["ip"]


# -- nets of any form


@given(st.data())
def test_a_net_of_any_form_is_in_order_and_comes_back_from_its_text(data: st.DataObject) -> None:
    n = caffe.NetSpec()
    tops: list[Top] = list(data_and_label())
    for _ in range(data.draw(st.integers(1, 12))):
        bottoms = data.draw(st.lists(st.sampled_from(tops), min_size=1, max_size=3))
        made = data.draw(
            st.sampled_from(
                [
                    lambda: [L.ReLU(bottoms[0], in_place=True)],  # noqa: B023
                    lambda: [L.Concat(*bottoms)],  # noqa: B023
                    lambda: list(L.Slice(bottoms[0], ntop=2)),  # noqa: B023
                    lambda: [L.Silence(*bottoms, ntop=0)],  # noqa: B023
                ]
            )
        )()
        tops += [top for top in made if isinstance(top, Top)]
        for top in made:
            if data.draw(st.booleans()):
                n[data.draw(st.text("abc", min_size=1, max_size=2))] = top
    net = n.to_proto()
    written: set[str] = set()
    for layer in net.layer:
        assert layer.name
        assert set(layer.bottom) <= written
        written |= set(layer.top)
    assert prototxt.loads(str(net), NetParameter, strict=True).message == net
