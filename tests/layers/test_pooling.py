"""Pooling against loops over every window, written from the formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

FLT_MAX = np.finfo(np.float32).max
FORMATS = [torch.contiguous_format, torch.channels_last]


# kernel, stride, pad (rows and columns), round_mode, image
GRID = [
    (kernel, stride, pad, mode, image)
    for kernel in ((1, 1), (2, 2), (3, 3), (5, 5), (2, 3), (4, 1))
    for stride in ((1, 1), (2, 2), (3, 2), (4, 5))
    for pad in ((0, 0), (1, 1), (2, 2), (0, 1), (4, 3))
    for mode in ("CEIL", "FLOOR")
    for image in ((1, 1), (2, 3), (5, 5), (6, 4), (7, 10), (9, 11))
    if pad[0] < kernel[0] and pad[1] < kernel[1]
]


def _text(method: str, case: tuple, tops: str = 'top: "y"') -> str:
    (kh, kw), (sh, sw), (ph, pw), mode, _ = case
    return (
        f'name: "p" type: "Pooling" bottom: "x" {tops} pooling_param {{ pool: {method} kernel_h: {kh} kernel_w: {kw} '
        f"stride_h: {sh} stride_w: {sw} pad_h: {ph} pad_w: {pw} round_mode: {mode} }}"
    )


def _counts(case: tuple) -> tuple[int, ...]:
    """The number of windows, as the original counts them."""
    kernel, stride, pad, mode, image = case
    round_ = np.ceil if mode == "CEIL" else np.floor
    sizes = [
        int(round_(np.float32(n + 2 * p - k) / s)) + 1 for n, k, s, p in zip(image, kernel, stride, pad, strict=True)
    ]
    if any(pad):
        sizes = [size - ((size - 1) * s >= n + p) for size, s, n, p in zip(sizes, stride, image, pad, strict=True)]
    return tuple(sizes)


def _span(at: int, n: int, k: int, s: int, p: int) -> tuple[int, int, int]:
    """First position and end of a window in the image, and its length in the padded image."""
    start = at * s - p
    return max(start, 0), min(start + k, n), min(start + k, n + p) - start


def _by_loops(x: np.ndarray, case: tuple, dy: np.ndarray) -> dict[str, np.ndarray]:
    """Maxima, their places, averages, and the gradients of both, window by window."""
    (kh, kw), (sh, sw), (ph, pw), _, (height, width) = case
    out = {name: np.zeros(dy.shape) for name in ("max", "mask", "ave")}
    out |= {name: np.zeros(x.shape) for name in ("dmax", "dave")}
    for n, c, i, j in np.ndindex(dy.shape):
        top, bottom, rows = _span(i, height, kh, sh, ph)
        left, right, columns = _span(j, width, kw, sw, pw)
        best, where = -FLT_MAX, -1
        for h, w in itertools.product(range(top, bottom), range(left, right)):
            if x[n, c, h, w] > best:
                best, where = x[n, c, h, w], h * width + w
            out["dave"][n, c, h, w] += dy[n, c, i, j] / (rows * columns)
        out["max"][n, c, i, j], out["mask"][n, c, i, j] = best, where
        if where >= 0:
            out["dmax"][n, c].flat[where] += dy[n, c, i, j]
        total = x[n, c, top:bottom, left:right].sum() if bottom > top and right > left else 0.0
        with np.errstate(invalid="ignore"):
            out["ave"][n, c, i, j] = np.float64(total) / (rows * columns)
    return out


def _ids(case: tuple) -> str:
    kernel, stride, pad, mode, image = case
    return f"k{kernel}s{stride}p{pad}{mode}{image}".replace(" ", "")


@pytest.mark.parametrize("mode", ["CEIL", "FLOOR"])
@pytest.mark.parametrize("kernel", sorted({case[0] for case in GRID}), ids=str)
def test_every_window_by_hand(kernel: tuple[int, int], mode: str) -> None:
    random = np.random.default_rng(1)
    tried = 0
    for case in GRID:
        sizes = _counts(case)
        if case[0] != kernel or case[3] != mode or min(sizes) < 1:
            continue
        # Few different numbers, so that there are ties.
        x = random.integers(-4, 5, (2, 3, *case[4])).astype(np.float32)
        dy = random.standard_normal((2, 3, *sizes)).astype(np.float32)
        want = _by_loops(x, case, dy)
        for memory_format in FORMATS:
            _check_windows(case, torch.from_numpy(x).contiguous(memory_format=memory_format), dy, want)
        tried += 1
    assert tried > 10


def _check_windows(case: tuple, x: torch.Tensor, dy: np.ndarray, want: dict[str, np.ndarray]) -> None:
    bottom, about = x.requires_grad_(), f"{_ids(case)} {x.stride()}"
    layer, declared = build(_text("MAX", case, 'top: "y" top: "mask"'), x.shape)
    y, mask = layer.forward(run_at(), [bottom], [])
    assert declared == [y.shape, mask.shape] == [dy.shape] * 2, about
    np.testing.assert_array_equal(y.detach(), want["max"].astype(np.float32), about)
    np.testing.assert_array_equal(mask, want["mask"], about)
    (dx,) = torch.autograd.grad(y, bottom, torch.from_numpy(dy))
    np.testing.assert_allclose(dx, want["dmax"], rtol=1e-5, atol=1e-5, err_msg=about)
    layer, _ = build(_text("MAX", case), x.shape)
    assert torch.equal(layer.forward(run_at(), [bottom], [])[0], y), about
    layer, declared = build(_text("AVE", case), x.shape)
    (y,) = layer.forward(run_at(), [bottom], [])
    assert declared == [dy.shape], about
    np.testing.assert_allclose(y.detach(), want["ave"], rtol=1e-5, atol=1e-6, err_msg=about)
    (dx,) = torch.autograd.grad(y, bottom, torch.from_numpy(dy))
    np.testing.assert_allclose(dx, want["dave"], rtol=1e-5, atol=1e-5, err_msg=about)


@pytest.mark.parametrize("phase", [0, 1], ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("method", ["MAX", "AVE", "STOCHASTIC"])
def test_declared_shape_is_computed_shape(method: str, phase: int) -> None:
    kernels, strides, images = (1, 2, 3, 4, 7), (1, 2, 3, 5), range(1, 12)
    for kernel, stride, mode, height in itertools.product(kernels, strides, ("CEIL", "FLOOR"), images):
        for pad in range(1 if method == "STOCHASTIC" else kernel):
            case = ((kernel,) * 2, (stride,) * 2, (pad,) * 2, mode, (height, 12 - height))
            if min(_counts(case)) < 1:
                continue
            x = torch.rand(1, 2, *case[4])
            layer, declared = build(_text(method, case), tuple(x.shape), phase=phase)
            (y,) = layer.forward(run_at(), [x], [])
            assert declared == [tuple(y.shape)] == [(1, 2, *_counts(case))], _ids(case)


def test_the_windows_follow_a_new_image_size() -> None:
    layer, tops = build('type: "Pooling" bottom: "x" top: "y" pooling_param { global_pooling: true }', (2, 3, 4, 5))
    assert tops == [(2, 3, 1, 1)]
    assert list(layer.shapes([(1, 2, 7, 3)])) == [(1, 2, 1, 1)]
    x = torch.randn(1, 2, 7, 3)
    assert torch.equal(layer.forward(run_at(), [x], [])[0], x.amax((2, 3), keepdim=True))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_memory_format_is_kept(method: str, pad: int) -> None:
    case = ((3, 3), (2, 2), (pad, pad), "CEIL", (8, 8))
    layer, _ = build(_text(method, case), (2, 4, 8, 8))
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    assert layer.forward(run_at(), [x], [])[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_gradient(method: str, pad: int) -> None:
    layer, _ = build(_text(method, ((3, 3), (2, 2), (pad, pad), "CEIL", (6, 5))), (2, 2, 6, 5))
    x = torch.randperm(120, generator=torch.Generator().manual_seed(2)).double().reshape(2, 2, 6, 5).div(10)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x.requires_grad_())


# -- stochastic ---------------------------------------------------------------------------------------------------

STOCHASTIC = (
    'name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'
)


def test_stochastic_draws_in_proportion_to_the_values() -> None:
    window = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    x = window.repeat(100, 100)[None, None]
    layer, _ = build(STOCHASTIC, tuple(x.shape), phase=0)
    (y,) = layer.forward(run_at(), [x], [])
    shares = [(y == value).double().mean().item() for value in (0, 1, 2, 5)]
    assert shares[0] == 0
    # 2,500 draws: a standard deviation is below 0.01.
    np.testing.assert_allclose(shares[1:], [1 / 8, 2 / 8, 5 / 8], atol=0.05)


def test_stochastic_gradient_goes_to_the_value_drawn() -> None:
    x = torch.rand(2, 3, 5, 7).add(0.1).requires_grad_()
    layer, tops = build(STOCHASTIC, tuple(x.shape), phase=0)
    (y,) = layer.forward(run_at(), [x], [])
    assert tops == [(2, 3, 3, 4)]
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert set(dx.unique().tolist()) == {0.0, 1.0}
    assert dx.sum() == y.numel()
    torch.testing.assert_close((dx * x).sum(), y.sum())


def test_stochastic_draws_depend_on_position_and_seed_only() -> None:
    x = torch.rand(2, 3, 8, 8)
    layer, _ = build(STOCHASTIC, tuple(x.shape), phase=0)
    first, again, later = (layer.forward(run_at(position), [x], [])[0] for position in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, layer.forward(run_at(0, seed=2), [x], [])[0])


def test_stochastic_expectation_in_test() -> None:
    x = torch.tensor([[1.0, 2.0, 0.0, 0.0, 3.0], [3.0, 4.0, 0.0, 0.0, 1.0]])[None, None]
    layer, _ = build(STOCHASTIC, tuple(x.shape), phase=1)
    (y,) = layer.forward(run_at(), [x], [])
    torch.testing.assert_close(y, torch.tensor([[[[30 / 10, 0, 10 / 4]]]]))


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("param", "tops", "bottom", "told"),
    [
        (
            "kernel_size: 5",
            1,
            (1, 2, 3, 6),
            'layer "p" (Pooling): the kernel spans 5, more than the input of 3 with pad 0 on both sides',
        ),
        (
            "kernel_size: 3",
            1,
            (4, 12),
            'layer "p" (Pooling): needs a bottom of 4 axes (num, channels, height, width), got (4, 12)',
        ),
        (
            "kernel_size: 3 pool: AVE",
            2,
            (1, 2, 6, 6),
            'layer "p" (Pooling): the second top, "t1", is where each maximum is: only pool: MAX has it\n'
            "  help: leave the second top out",
        ),
        (
            "kernel_size: 3 pad: 1 pool: STOCHASTIC",
            1,
            (1, 2, 6, 6),
            'layer "p" (Pooling): pool: STOCHASTIC has no padding\n  help: set pad to 0, or use MAX or AVE',
        ),
        (
            "kernel_size: 3 stride_h: 0 stride_w: 2",
            1,
            (1, 2, 6, 6),
            'layer "p" (Pooling): stride must be positive, got stride_h: 0',
        ),
    ],
)
def test_faults(param: str, tops: int, bottom: tuple[int, ...], told: str) -> None:
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    with pytest.raises(LayerError) as raised:
        build(f'name: "p" type: "Pooling" bottom: "x" {names} pooling_param {{ {param} }}', bottom)
    assert str(raised.value) == told


def test_a_kernel_may_overhang_the_image_by_less_than_the_stride() -> None:
    case = ((3, 3), (2, 2), (0, 0), "CEIL", (2, 2))
    layer, tops = build(_text("AVE", case), (1, 1, 2, 2))
    (y,) = layer.forward(run_at(), [torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])], [])
    assert tops == [(1, 1, 1, 1)]
    assert y.item() == 3
