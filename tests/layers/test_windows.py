"""Kernel, stride, pad and dilation: every spelling, what a wrong one is told, and the sizes that follow."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import LayerError
from caffelite.layerkit.windows import Window, convolution_window, convolved, pooled, pooling_window
from caffelite.layers.convolution import Convolution
from caffelite.layers.pooling import Pooling

from .alone import settings


def _convolution(text: str, axes: int = 2) -> Window:
    return convolution_window(Convolution(settings(f'name: "c" convolution_param {{ {text} }}')), axes)


def _pooling(text: str) -> Window | None:
    return pooling_window(Pooling(settings(f'name: "p" pooling_param {{ {text} }}')))


@pytest.mark.parametrize(
    ("text", "axes", "window"),
    [
        ("kernel_size: 3", 2, Window((3, 3), (1, 1), (0, 0), (1, 1))),
        ("kernel_size: 3 stride: 2 pad: 1 dilation: 4", 1, Window((3,), (2,), (1,), (4,))),
        ("kernel_size: 3 kernel_size: 5 stride: 2 stride: 1", 2, Window((3, 5), (2, 1), (0, 0), (1, 1))),
        ("kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 3", 2, Window((3, 5), (2, 3), (0, 0), (1, 1))),
        ("kernel_size: 3 pad_h: 2 pad_w: 1", 2, Window((3, 3), (1, 1), (2, 1), (1, 1))),
        ("kernel_size: 3 pad_h: 2", 2, Window((3, 3), (1, 1), (2, 0), (1, 1))),
        ("kernel_size: 3 pad_w: 2", 2, Window((3, 3), (1, 1), (0, 2), (1, 1))),
        (
            "kernel_size: 3 pad: 1 pad: 2 pad: 0 dilation: 1 dilation: 2 dilation: 3",
            3,
            Window((3, 3, 3), (1, 1, 1), (1, 2, 0), (1, 2, 3)),
        ),
        ("kernel_size: 2", 0, Window((), (), (), ())),
        ("", 0, Window((), (), (), ())),
    ],
)
def test_convolution_spellings(text: str, axes: int, window: Window) -> None:
    assert _convolution(text, axes) == window


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("kernel_size: 3", Window((3, 3), (1, 1), (0, 0), (1, 1))),
        ("kernel_h: 3 kernel_w: 2 stride: 2 pad: 1", Window((3, 2), (2, 2), (1, 1), (1, 1))),
        ("kernel_size: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2", Window((3, 3), (2, 1), (0, 2), (1, 1))),
        ("global_pooling: true", None),
        ("global_pooling: true stride: 1 pad: 0", None),
        ("global_pooling: true stride_h: 1 stride_w: 1 pad_h: 0 pad_w: 0", None),
    ],
)
def test_pooling_spellings(text: str, window: Window | None) -> None:
    assert _pooling(text) == window


BOTH = "keep {0} (every axis), or {1}_h and {1}_w (rows and columns), not both"


@pytest.mark.parametrize(
    ("text", "axes", "faults"),
    [
        ("", 2, [("kernel_size is missing", "give kernel_size: 3, or kernel_h and kernel_w")]),
        ("kernel_size: 0", 2, [("kernel must be positive, got kernel_size: 0", None)]),
        ("kernel_h: 3", 2, [("kernel_h is given without kernel_w", "give kernel_h and kernel_w")]),
        ("kernel_w: 3", 2, [("kernel_w is given without kernel_h", "give kernel_h and kernel_w")]),
        ("kernel_h: 3 kernel_w: 0", 2, [("kernel must be positive, got kernel_w: 0", None)]),
        (
            "kernel_size: 3 kernel_h: 3 kernel_w: 3",
            2,
            [("kernel_size and kernel_h are both given", BOTH.format("kernel_size", "kernel"))],
        ),
        (
            "kernel_size: 3 stride: 2 stride_w: 3",
            2,
            [("stride and stride_w are both given", BOTH.format("stride", "stride"))],
        ),
        ("kernel_size: 3 pad: 2 pad_w: 3", 2, [("pad and pad_w are both given", BOTH.format("pad", "pad"))]),
        (
            "kernel_h: 3 kernel_w: 3",
            1,
            [
                (
                    "kernel_h is for 2 spatial axes, this input has 1",
                    "give kernel_size once, or once for every spatial axis",
                )
            ],
        ),
        (
            "kernel_size: 3 kernel_size: 3",
            3,
            [("kernel_size is given 2 times for 3 spatial axes", "give it once, or once for each of them")],
        ),
        (
            "kernel_size: 3 dilation: 1 dilation: 1 dilation: 1",
            2,
            [("dilation is given 3 times for 2 spatial axes", "give it once, or once for each of them")],
        ),
        (
            "kernel_size: 3 kernel_size: 2",
            0,
            [("kernel_size is given 2 times for 0 spatial axes", "give it once, or once for each of them")],
        ),
        (
            "kernel_h: 3 kernel_w: 2",
            0,
            [
                (
                    "kernel_h is for 2 spatial axes, this input has 0",
                    "give kernel_size once, or once for every spatial axis",
                )
            ],
        ),
        ("kernel_size: 3 stride_h: 0 stride_w: 1", 2, [("stride must be positive, got stride_h: 0", None)]),
        ("kernel_size: 3 stride_h: 2", 2, [("stride_h is given without stride_w", "give stride_h and stride_w")]),
        ("kernel_size: 3 dilation: 0", 2, [("dilation must be positive, got dilation: 0", None)]),
        (
            "kernel_size: 3 kernel_size: 0 stride: 0",
            2,
            [
                ("kernel must be positive, got kernel_size: 0", None),
                ("stride must be positive, got stride: 0", None),
            ],
        ),
    ],
)
def test_convolution_faults(text: str, axes: int, faults: list[tuple[str, str | None]]) -> None:
    with pytest.raises(LayerError) as raised:
        _convolution(text, axes)
    assert [(fault.message, fault.help) for fault in raised.value.faults] == faults


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["kernel_size is missing"]),
        ("kernel_size: 0", ["kernel must be positive, got kernel_size: 0"]),
        ("kernel_size: 2 kernel_h: 2", ["kernel_size and kernel_h are both given"]),
        ("kernel_h: 2", ["kernel_h is given without kernel_w"]),
        ("kernel_size: 2 stride: 0", ["stride must be positive, got stride: 0"]),
        ("kernel_size: 2 stride: 2 stride_h: 2 stride_w: 2", ["stride and stride_h are both given"]),
        ("kernel_size: 2 stride_w: 2", ["stride_w is given without stride_h"]),
        ("kernel_size: 3 pad_h: 2", ["pad_h is given without pad_w"]),
        ("kernel_size: 3 pad: 3", ["pad must be smaller than the kernel, 3, got pad: 3"]),
        ("kernel_h: 3 kernel_w: 2 pad: 2", ["pad must be smaller than the kernel, 2, got pad: 2"]),
        ("kernel_size: 3 pad_h: 2 pad_w: 4", ["pad must be smaller than the kernel, 3, got pad_w: 4"]),
        ("global_pooling: true kernel_size: 3", ["global_pooling: true and kernel_size are both given"]),
        ("global_pooling: true stride: 2", ["stride must be 1 with global_pooling: true, got stride: 2"]),
        ("global_pooling: true pad_h: 1 pad_w: 0", ["pad must be 0 with global_pooling: true, got pad_h: 1"]),
    ],
)
def test_pooling_faults(text: str, faults: list[str]) -> None:
    with pytest.raises(LayerError) as raised:
        _pooling(text)
    assert [fault.message for fault in raised.value.faults] == faults


def test_faults_are_placed_at_their_field() -> None:
    asked: list[str] = []
    layer = Convolution(settings('name: "c" convolution_param { kernel_size: 3 kernel_size: 0 stride_h: 1 }'))
    layer.places = lambda field: asked.append(field)  # type: ignore[func-returns-value]
    with pytest.raises(LayerError):
        convolution_window(layer, 2)
    assert asked == ["convolution_param.kernel_size[1]", "convolution_param.stride_h"]


SIZES = st.integers(1, 40)
WINDOWS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 8), st.integers(1, 3))


@given(SIZES, WINDOWS)
def test_a_convolution_counts_the_windows_that_fit(size: int, window: tuple[int, int, int, int]) -> None:
    kernel, stride, pad, dilation = window
    (count,) = convolved((size,), Window((kernel,), (stride,), (pad,), (dilation,)))
    reach = dilation * (kernel - 1) + 1
    fitting = sum(start + reach <= size + 2 * pad for start in range(0, size + 2 * pad, stride))
    overhanging = int(size + 2 * pad < reach < size + 2 * pad + stride)
    assert count == fitting + overhanging or (count <= 0 and not fitting + overhanging)


@given(SIZES, WINDOWS, st.booleans())
def test_a_pooling_covers_the_image(size: int, window: tuple[int, int, int, int], ceil: bool) -> None:
    kernel, stride, pad, _ = window
    pad = min(pad, kernel - 1)
    (count,) = pooled((size,), Window((kernel,), (stride,), (pad,), (1,)), ceil)
    steps = (size + 2 * pad - kernel) / stride
    assert count <= (math.ceil(steps) if ceil else math.floor(steps)) + 1
    last = (count - 1) * stride
    if pad:
        assert last < size + pad
    if ceil and count > 0 and last + stride < size + pad:
        assert last + kernel >= size + 2 * pad


def test_padding_on_one_axis_drops_the_last_window_of_the_other() -> None:
    assert pooled((9, 10), Window((2, 2), (3, 3), (0, 0), (1, 1)), ceil=True) == (4, 4)
    assert pooled((9, 10), Window((2, 2), (3, 3), (0, 1), (1, 1)), ceil=True) == (3, 4)
