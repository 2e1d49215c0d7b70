"""Both meanings of Normalize against their formulas in plain loops, forward and backward."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import caffelite
from caffelite.errors import CaffeliteError, LayerError

from .alone import build, run_at

SHAPE = (2, 3, 2, 4)
LEAD = 'name: "n" type: "Normalize" bottom: "x" top: "y"'


def _ssd(param: str, shape: tuple[int, ...] = SHAPE) -> tuple:
    return build(f'{LEAD} dialect: "SSD" norm_param {{ {param} }}', shape)


def _happynear(param: str, shape: tuple[int, ...] = SHAPE, more: str = "") -> tuple:
    return build(f'{LEAD} dialect: "happynear" {more} normalize_param {{ {param} }}', shape)


def _draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def _groups(shape: tuple[int, ...], across: bool) -> list[tuple]:
    """Index sets that are brought to length 1 together."""
    if across:
        return [(n,) for n in range(shape[0])]
    return [(n, slice(None), *at) for n, *at in itertools.product(range(shape[0]), *map(range, shape[2:]))]


@pytest.mark.parametrize("shape", [SHAPE, (3, 4), (2, 3, 5)])
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_ssd_is_the_source_by_loops(shape: tuple[int, ...], across: bool, shared: bool) -> None:
    """y = s·x/n; and as the source goes back, s behind the sum: dx = s·(g − x·Σ(x·g)/n²)/n, ds = Σ g·x/n."""
    param = f"across_spatial: {str(across).lower()} channel_shared: {str(shared).lower()} eps: 0.01"
    layer, tops = _ssd(param, shape)
    assert tops == [shape]
    assert layer.weights[0].shape == (() if shared else shape[1:2])
    x, g, s = _draw(*shape), _draw(*shape, seed=1), np.array(1.7) if shared else _draw(shape[1], seed=2)
    each = np.broadcast_to(s.reshape(1, -1, *[1] * (len(shape) - 2)), shape)
    y, dx, unit = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for at in _groups(shape, across):
        n = np.sqrt((x[at] ** 2).sum() + np.float32(0.01))
        unit[at] = x[at] / n
        y[at] = each[at] * unit[at]
        dx[at] = each[at] * (g[at] - x[at] * (x[at] * g[at]).sum() / n**2) / n
    ds = (g * unit).sum() if shared else np.moveaxis(g * unit, 1, 0).reshape(shape[1], -1).sum(1)
    given, scale = torch.from_numpy(x).requires_grad_(), torch.from_numpy(s).requires_grad_()
    (found,) = layer.forward(run_at(), [given], [scale])
    found.backward(torch.from_numpy(g))
    np.testing.assert_allclose(found.detach(), y, rtol=1e-9)
    np.testing.assert_allclose(given.grad, dx, rtol=1e-9)
    np.testing.assert_allclose(scale.grad, ds, rtol=1e-9)


@pytest.mark.parametrize("across", ["true", "false"])
def test_the_gradient_of_ssd_is_exact_where_scales_are_alike(across: str) -> None:
    layer, _ = _ssd(f"across_spatial: {across} channel_shared: false")
    x, scale = torch.from_numpy(_draw(*SHAPE)), torch.full((3,), 20, dtype=torch.double)
    assert torch.autograd.gradcheck(
        lambda x, s: layer.forward(run_at(), [x], [s]), (x.requires_grad_(), scale.requires_grad_())
    )


def test_scale_starts_as_1_unless_it_is_filled() -> None:
    plain, _ = _ssd("")
    filled, _ = _ssd('channel_shared: false scale_filler { type: "constant" value: 20 }')
    assert [(layer.weights[0].shape, layer.weights[0].filler.value) for layer in (plain, filled)] == [
        ((), 1),
        ((3,), 20),
    ]


def test_a_vector_of_zeros_stays_one() -> None:
    for layer, weights in ((_ssd("across_spatial: false")[0], [torch.tensor(1.0)]), (_happynear("")[0], [])):
        x = torch.zeros(SHAPE, requires_grad=True)
        (y,) = layer.forward(run_at(), [x], weights)
        y.sum().backward()
        assert not y.any()
        assert x.grad is not None
        assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("passing", [True, False])
@pytest.mark.parametrize("kind", ["L2", "L1"])
def test_happynear_is_the_source_by_loops(kind: str, passing: bool) -> None:
    """dx = (g − d·Σ(y·g))/n, and with bp_norm h·d more, h being the norm's gradient, d = y for L2 and sign x for L1."""
    layer, tops = _happynear(f'normalize_type: "{kind}" bp_norm: {str(passing).lower()}', more='top: "n"')
    assert tops == [SHAPE, (2, 1, 2, 4)]
    x, g, h = _draw(*SHAPE), _draw(*SHAPE, seed=1), _draw(2, 1, 2, 4, seed=2)
    y, dx, norm = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros((2, 1, 2, 4))
    for at in _groups(SHAPE, across=False):
        n = np.sqrt((x[at] ** 2).sum() + 1e-6) if kind == "L2" else np.abs(x[at]).sum() + 1e-6
        y[at], norm[at] = x[at] / n, n
        d = y[at] if kind == "L2" else np.sign(x[at])
        dx[at] = (g[at] - d * (y[at] * g[at]).sum()) / n + (h[at] * d if passing else 0)
    given = torch.from_numpy(x).requires_grad_()
    found = layer.forward(run_at(), [given], [])
    loss = (found[0] * torch.from_numpy(g)).sum() + (found[1] * torch.from_numpy(h)).sum()
    loss.backward()
    np.testing.assert_allclose(found[0].detach(), y, rtol=1e-9)
    np.testing.assert_allclose(found[1].detach(), norm, rtol=1e-9)
    np.testing.assert_allclose(given.grad, dx, rtol=1e-8, atol=1e-12)


def test_happynear_makes_four_axes() -> None:
    layer, tops = _happynear("", (3, 5), 'top: "n"')
    assert tops == [(3, 5, 1, 1), (3, 1, 1, 1)]
    assert [tuple(y.shape) for y in layer.forward(run_at(), [torch.ones(3, 5)], [])] == tops


def test_settings_without_effect() -> None:
    layer, _ = _happynear("fix_gradient: true bp_norm: true")
    assert [fault.message for fault in layer.warnings()] == [
        "fix_gradient has no effect: the source reads it and does nothing with it",
        "bp_norm has no effect: there is no second top for the norm",
    ]


def test_faults() -> None:
    with pytest.raises(LayerError, match=r'normalize_type must be "L2" or "L1", got "L3"'):
        _happynear('normalize_type: "L3"')
    with pytest.raises(LayerError, match="needs a bottom of 2 to 4 axes"):
        _ssd("", (3,))
    with pytest.raises(LayerError, match="needs a bottom of 2 to 4 axes"):
        _happynear("", (1, 2, 3, 4, 5))
    layer, _ = _ssd("channel_shared: false")
    layer.shapes([(2, 4, 2, 2)])
    with pytest.raises(LayerError, match="other channels"):
        layer.raise_faults()


NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 dim: 4 } } }
layer { name: "n" type: "Normalize" bottom: "x" top: "y" %s }
"""


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ("norm_param { across_spatial: false }", 1),
        ("param { lr_mult: 2 }", 1),
        ('normalize_param { normalize_type: "L1" }', 0),
        ('top: "length"', 0),
        ('dialect: "SSD"', 1),
    ],
)
def test_which_one_a_layer_is(settings: str, weights: int, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET % settings)
    assert len(caffelite.Net(path, caffelite.TEST).params.get("n", [])) == weights


def test_a_doubt_shows_both(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET % "")
    with pytest.raises(CaffeliteError, match=r"net.prototxt:3:.*SSD: L2 norm.*happynear: L2 or L1 norm"):
        caffelite.Net(path, caffelite.TEST)


def test_the_kind_of_norm_in_a_softmaxs_settings(tmp_path: Path) -> None:
    """There it is SoftmaxWithLoss's: Normalize of happynear does not heed it, and what is not built is refused."""
    path = tmp_path / "net.prototxt"
    path.write_text(NET % 'softmax_param { normalize_type: "L2" }')
    assert not caffelite.Net(path, caffelite.TEST).params
    text = 'name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" softmax_param { normalize_type: "L2" }'
    with pytest.raises(LayerError, match=r'normalize_type must be "Softmax", got "L2"'):
        build(text, (2, 3), (2,))


def test_scripts_make_either() -> None:
    top = caffelite.layers.Normalize(caffelite.layers.Input(), across_spatial=False)
    assert not top.fn.layer().norm_param.across_spatial
    assert "happynear" in (caffelite.layers.Normalize.__doc__ or "")
    assert "Normalize" in dir(caffelite.layers)


def test_ssd_of_unlike_scales_as_the_fork_computes() -> None:
    """Recorded output of the fork: y, dx and ds where the channels' scales are not alike."""
    x, g = (
        torch.from_numpy(np.sin(np.arange(12) * step).astype(np.float32).reshape(1, 3, 2, 2)) for step in (1.7, 0.9)
    )
    scale = torch.tensor([20, -3, 0.5], requires_grad=True)
    layer, _ = _ssd("across_spatial: true channel_shared: false", (1, 3, 2, 2))
    (y,) = layer.forward(run_at(), [x.requires_grad_()], [scale])
    y.backward(g)
    recorded = [
        [0.0, 8.4557705, -2.178959, -7.8942766, -0.63198406, -1.0212862, 0.8951583, 0.7906138, 0.18314844, 0.08457362,
         -0.20494214, -0.031762283],
        [0.0, 6.0611973, 8.463126, 4.221265, 0.6121927, 1.3249419, 0.92295116, -0.079298474, 0.15579906, 0.20057021,
         0.1028328, -0.09521163],
        [0.056390215, -0.19985025, 0.31491613],
    ]  # fmt: skip
    for found, want in zip((y.detach(), x.grad, scale.grad), recorded, strict=True):
        np.testing.assert_allclose(found.ravel(), want, rtol=1e-5, atol=1e-6)
