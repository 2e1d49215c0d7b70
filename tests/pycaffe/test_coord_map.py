"""Coordinates: where windows lie, by hand; maps through nets; and crops, those of the published FCNs among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import caffelite as caffe
from caffelite import CaffeliteError
from caffelite import layers as L
from caffelite import params as P
from caffelite.errors import LayerError
from caffelite.netspec import Top
from caffelite.pycaffe.coord_map import (
    PASS_THROUGH_LAYERS,
    AxisMismatchException,
    CoordMap,
    CropError,
    UnconnectedError,
    UndefinedMapException,
    compose,
    conv_params,
    coord_map,
    coord_map_from_to,
    crop,
    crop_params,
    inverse,
)

from ..nets import graph_of

Sizes = int | Sequence[int]


def image(*sizes: int) -> Top:
    top: Top = L.Input(shape=dict(dim=[1, 3, *(sizes or (64, 64))]))
    return top


def plain(found: CoordMap) -> tuple[int | None, list[float], list[float]]:
    """A map whose numbers can be compared."""
    axis, *numbers = found
    scale, shift = np.broadcast_arrays(*map(np.atleast_1d, numbers))
    return axis, scale.tolist(), shift.tolist()


def applied(found: CoordMap, position: float) -> float:
    _, scale, shift = found
    return float(np.squeeze(scale * position + shift))


def hourglass(
    kernel: Sizes = 3, stride: Sizes = 1, pad: Sizes = 0, pool: int = 2, up: Sizes = 2, cut: Sizes = 0
) -> Any:
    """A convolution, a pooling, and a deconvolution that enlarges by `up` with kernels twice as large."""
    n = caffe.NetSpec()
    n.data = image(100, 100)
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool)
    size = 2 * up if isinstance(up, int) else [2 * one for one in up]
    n.deconv = L.Deconvolution(n.pool, num_output=4, kernel_size=size, stride=up, pad=cut)
    return n


# -- single layers

WINDOWS = dict(kernel=st.integers(1, 7), stride=st.integers(1, 4), pad=st.integers(0, 5), dilation=st.integers(1, 3))


@given(**WINDOWS, output=st.integers(0, 20))
def test_an_output_of_a_convolution_lies_at_the_middle_of_its_window(
    kernel: int, stride: int, pad: int, dilation: int, output: int
) -> None:
    seen = [output * stride - pad + tap * dilation for tap in range(kernel)]
    for kind in (L.Convolution, L.Im2col):
        top = kind(image(), kernel_size=kernel, stride=stride, pad=pad, dilation=dilation)
        found = coord_map(top.fn)
        assert found[0] == 1
        assert applied(found, np.mean(seen)) == pytest.approx(output)


@given(kernel=st.integers(1, 7), stride=st.integers(1, 4), pad=st.integers(0, 3), output=st.integers(0, 20))
def test_an_output_of_a_pooling_lies_at_the_middle_of_its_window(
    kernel: int, stride: int, pad: int, output: int
) -> None:
    seen = range(output * stride - pad, output * stride - pad + kernel)
    for kind in (L.Pooling, L.LpPooling):
        found = coord_map(kind(image(), kernel_size=kernel, stride=stride, pad=pad).fn)
        assert applied(found, np.mean(seen)) == pytest.approx(output)


@given(**WINDOWS, position=st.integers(0, 20))
def test_an_input_of_a_deconvolution_lies_at_the_middle_of_what_it_adds_to(
    kernel: int, stride: int, pad: int, dilation: int, position: int
) -> None:
    reached = [position * stride - pad + tap * dilation for tap in range(kernel)]
    top = L.Deconvolution(image(), kernel_size=kernel, stride=stride, pad=pad, dilation=dilation)
    assert applied(coord_map(top.fn), position) == pytest.approx(np.mean(reached))


@pytest.mark.parametrize("name", PASS_THROUGH_LAYERS)
def test_other_layers_leave_positions_as_they_are(name: str) -> None:
    settings = dict(min=0, max=1) if name == "Clip" else {}
    assert coord_map(getattr(L, name)(image(), **settings).fn) == (None, 1, 0)


def test_scripts_may_add_to_the_layers_that_leave_positions_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    x = image()
    y = L.Python(x, module="m", layer="l")
    with pytest.raises(UnconnectedError):
        coord_map_from_to(y, x)
    monkeypatch.setattr("caffelite.pycaffe.coord_map.PASS_THROUGH_LAYERS", [*PASS_THROUGH_LAYERS, "Python"])
    assert coord_map_from_to(y, x) == (None, 1, 0)


@pytest.mark.parametrize(("offset", "shift"), [(3, [-3]), ([3, 5], [-3, -5]), (None, [0])])
def test_a_crop_moves_positions_by_its_offset(offset: Any, shift: list[int]) -> None:
    given = {} if offset is None else dict(offset=offset)
    assert plain(coord_map(L.Crop(image(), image(), **given).fn)) == (1, [1] * len(shift), shift)
    assert plain(coord_map(L.Crop(image(), image(), axis=3, **given).fn))[0] == 2


@pytest.mark.parametrize("name", ["InnerProduct", "Flatten", "Concat", "Softmax"])
def test_layers_without_a_map_say_so(name: str) -> None:
    with pytest.raises(UndefinedMapException, match=f"{name} does not map positions"):
        coord_map(getattr(L, name)(image()).fn)
    assert issubclass(UndefinedMapException, CaffeliteError)


def test_settings_are_read_in_any_spelling() -> None:
    given = dict(kernel_size=[3, 5], stride=2, pad=[0, 1])
    by_keyword, by_message = (L.Convolution(image(), **given), L.Convolution(image(), convolution_param=given))
    by_axis = L.Convolution(image(), kernel_h=3, kernel_w=5, stride_h=2, stride_w=2, pad_h=0, pad_w=1)
    expected = (1, [0.5, 0.5], [-0.5, -0.5])
    assert [plain(coord_map(top.fn)) for top in (by_keyword, by_message, by_axis)] == [expected] * 3
    pooled = L.Pooling(image(), pooling_param=dict(kernel_h=3, kernel_w=5, stride=2))
    assert plain(coord_map(pooled.fn)) == (1, [0.5, 0.5], [-0.5, -1])


def test_parameters_of_windows_and_crops() -> None:
    axis, stride, extent, pad = conv_params(L.Convolution(image(), axis=2, kernel_size=3, dilation=4).fn)
    assert (axis, stride.tolist(), extent.tolist(), pad.tolist()) == (2, [1], [9], [0])
    axis, offset = crop_params(L.Crop(image(), image(), crop_param=dict(offset=(1, 2))).fn)
    assert (axis, offset.tolist()) == (2, [1, 2])


def test_a_kernel_without_a_size_is_told() -> None:
    with pytest.raises(LayerError, match="Convolution: kernel_size is missing"):
        coord_map(L.Convolution(image(), num_output=3).fn)


def test_pooling_a_whole_image_has_no_map() -> None:
    with pytest.raises(UndefinedMapException, match="global_pooling"):
        coord_map(L.Pooling(image(), global_pooling=True).fn)


# -- maps of maps

NUMBERS = st.integers(-8, 8).filter(bool).map(float)
MAPS = st.tuples(st.none() | st.just(1), NUMBERS, NUMBERS)


@given(MAPS, MAPS, st.integers(-5, 5))
def test_a_composition_does_the_second_map_first(base: CoordMap, following: CoordMap, position: int) -> None:
    found = compose(base, following)
    assert applied(found, position) == pytest.approx(applied(base, applied(following, position)))
    assert found[0] == (1 if 1 in (base[0], following[0]) else None)


@given(MAPS, st.integers(-5, 5))
def test_an_inverse_leads_back(found: CoordMap, position: int) -> None:
    assert applied(inverse(found), applied(found, position)) == pytest.approx(position)
    assert inverse(found)[0] == found[0]


def test_maps_along_different_axes_do_not_follow_each_other() -> None:
    with pytest.raises(AxisMismatchException, match="axis 1 and behind axis 2"):
        compose((1, 1, 0), (2, 1, 0))
    x = image()
    y = L.Convolution(L.Convolution(x, kernel_size=3), kernel_size=3, axis=2)
    with pytest.raises(AxisMismatchException):
        coord_map_from_to(y, x)
    assert issubclass(AxisMismatchException, CaffeliteError)


# -- from a top to another


@pytest.mark.parametrize(
    ("settings", "shift"),
    [
        (
            dict(),
            0.0,
        ),  # 3×3 without padding loses 1; what pooling by 2 loses (½), deconvolution by 2 (1½) makes good: 1
        (dict(pool=4, up=4), -1.0),
        (dict(pad=7), -7.0),
        (dict(cut=7), 7.0),
        (dict(pad=7, cut=7), 0.0),
    ],
)
def test_from_an_enlarged_top_to_the_image(settings: dict[str, int], shift: float) -> None:
    n = hourglass(**settings)
    assert plain(coord_map_from_to(n.deconv, n.data)) == (1, [1.0], [shift])
    assert plain(coord_map_from_to(n.data, n.deconv)) == (1, [1.0], [-shift])


def test_layers_that_change_no_position_change_no_map() -> None:
    n = hourglass(pad=2)
    n.relu = L.ReLU(n.deconv, in_place=True)
    n.conv1x1 = L.Convolution(n.relu, num_output=4, kernel_size=1)
    n.sum = L.Eltwise(n.conv1x1, n.deconv)
    wanted = plain(coord_map_from_to(n.deconv, n.data))
    for top in (n.relu, n.conv1x1, n.sum):
        assert plain(coord_map_from_to(top, n.data)) == wanted


def test_every_axis_has_a_map_of_its_own() -> None:
    both = hourglass(kernel=[3, 5], stride=[1, 2], pad=[0, 10])
    rows, columns = hourglass(kernel=3), hourglass(kernel=5, stride=2, pad=10)
    (_, [a], [b]), (_, [c], [d]) = (plain(coord_map_from_to(n.deconv, n.data)) for n in (rows, columns))
    assert plain(coord_map_from_to(both.deconv, both.data)) == (1, [a, c], [b, d])


def test_three_spatial_axes() -> None:
    n = caffe.NetSpec()
    n.data = image(20, 20, 20)
    n.conv = L.Convolution(n.data, num_output=2, kernel_size=[3, 3, 3], pad=(0, 1, 2))
    n.deconv = L.Deconvolution(L.Pooling(n.conv, kernel_size=2, stride=2), num_output=2, kernel_size=4, stride=2)
    assert plain(coord_map_from_to(n.deconv, n.data)) == (1, [1, 1, 1], [0, -1, -2])


def test_layers_with_several_bottoms_and_tops_map_all_of_them_alike() -> None:
    x, y = image(), image(20, 20)
    a, b = L.Convolution(x, y, ntop=2, num_output=4, kernel_size=5, stride=2)
    assert plain(coord_map_from_to(a, x)) == plain(coord_map_from_to(b, y)) == (1, [2.0], [2.0])


def test_between_branches_through_the_nearest_blob_that_they_share() -> None:
    x = image()
    stem = L.Convolution(x, num_output=4, kernel_size=3, pad=1)
    coarse, fine = L.Pooling(stem, kernel_size=2, stride=2), L.ReLU(stem)
    assert plain(coord_map_from_to(coarse, fine)) == (1, [2.0], [0.5])
    assert plain(coord_map_from_to(fine, coarse)) == (1, [0.5], [-0.25])
    assert coord_map_from_to(x, x) == (None, 1, 0)


def test_through_a_crop_only_what_is_cropped_is_followed() -> None:
    n = hourglass()
    n.crop = L.Crop(n.deconv, n.data, axis=2, offset=4)
    _, _, [shift] = plain(coord_map_from_to(n.deconv, n.data))
    assert plain(coord_map_from_to(n.crop, n.data)) == (1, [1.0], [shift + 4])


def test_many_diamonds_take_no_longer_than_a_chain() -> None:
    top = x = image()
    for _ in range(200):
        top = L.Eltwise(L.ReLU(top), L.TanH(top))
    assert coord_map_from_to(top, x) == (None, 1, 0)


@pytest.mark.parametrize("kind", [RuntimeError, UnconnectedError, CaffeliteError])
def test_tops_that_nothing_connects_are_told(kind: type[Exception]) -> None:
    n = hourglass()
    n.ip = L.InnerProduct(n.deconv, num_output=10)
    with pytest.raises(kind) as caught:
        coord_map_from_to(n.ip, n.data)
    assert str(caught.value).splitlines() == [
        "tops of InnerProduct and Input are not connected by layers that map positions",
        "  help: the ways down from them end at InnerProduct, Input",
    ]


# -- crops


def published_fcn(stride: int) -> Any:
    """FCN-32s, 16s or 8s (Shelhamer, Long and Darrell, "Fully convolutional networks for semantic segmentation"): VGG
    with 100 pixels of padding, scores enlarged and summed."""
    n = caffe.NetSpec()
    top = n.data = image(500, 375)
    for stage, count in enumerate([2, 2, 3, 3, 3], 1):
        for at in range(count):
            pad = 100 if (stage, at) == (1, 0) else 1
            top = L.ReLU(L.Convolution(top, num_output=1, kernel_size=3, pad=pad), in_place=True)
        top = n[f"pool{stage}"] = L.Pooling(top, kernel_size=2, stride=2)
    top = L.Dropout(L.ReLU(L.Convolution(top, num_output=1, kernel_size=7), in_place=True), in_place=True)
    top = L.Convolution(top, num_output=21, kernel_size=1)
    for at in [4, 3] if stride == 8 else [4] if stride == 16 else []:
        n[f"up{at}"] = L.Deconvolution(top, num_output=21, kernel_size=4, stride=2, bias_term=False)
        score = L.Convolution(n[f"pool{at}"], num_output=21, kernel_size=1)
        n[f"crop{at}"] = crop(score, n[f"up{at}"])
        top = L.Eltwise(n[f"up{at}"], n[f"crop{at}"], operation=P.Eltwise.SUM)
    n.up = L.Deconvolution(top, num_output=21, kernel_size=2 * stride, stride=stride, bias_term=False)
    n.score = crop(n.up, n.data)
    return n


@pytest.mark.parametrize(
    ("stride", "offsets"), [(32, dict(score=19)), (16, dict(crop4=5, score=27)), (8, dict(crop4=5, crop3=9, score=31))]
)
def test_the_published_fcns_have_these_offsets(stride: int, offsets: dict[str, int]) -> None:
    """As in the authors' own prototxt, which `crop` was made for."""
    n = published_fcn(stride)
    found = {name: n[name].fn.params["crop_param"] for name in offsets}
    assert found == {name: dict(axis=2, offset=[offset]) for name, offset in offsets.items()}
    graph = graph_of(str(n.to_proto()))
    shapes = {value.blob: value.shape for value in graph.values}
    assert shapes["score"] == (1, 21, 500, 375)


def test_a_crop_of_what_lies_where_it_should() -> None:
    n = hourglass(pad=[4, 7])
    n.crop = crop(n.deconv, n.data)
    assert n.crop.fn.inputs == (n.deconv, n.data)
    assert n.crop.fn.layer().crop_param == caffe.proto.CropParameter(axis=2, offset=[4, 7])


def test_a_crop_through_layers_that_change_no_position() -> None:
    x = image()
    assert crop(L.ReLU(x), x).fn.params["crop_param"] == dict(axis=2, offset=[0])


@pytest.mark.parametrize("kind", [AssertionError, CropError, CaffeliteError])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(pool=3), "scale mismatch on crop: 1.5"),
        (dict(cut=10), "cannot crop at a negative offset: -10"),
        (dict(kernel=4, pad=5), "cannot crop at an offset that is no whole number: 4.5"),
    ],
)
def test_what_cannot_be_cropped_is_told(settings: dict[str, int], said: str, kind: type[Exception]) -> None:
    n = hourglass(**settings)
    with pytest.raises(kind) as caught:
        crop(n.deconv, n.data)
    assert str(caught.value).splitlines()[0] == said
