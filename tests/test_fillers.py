"""Fillers against the recorded statistics, and against what their formulas say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffelite.errors import LayerError
from caffelite.fillers import fill, fillers
from caffelite.proto import FillerParameter, NetParameter
from caffelite.runtime.seeds import generator

from .recorded import Case, cases

CASES = cases("filler")


def _filled(text: str | Any, shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    settings = text_format.Parse(text, FillerParameter()) if isinstance(text, str) else text
    values = fill(settings, shape, generator(seed, "weights"))
    assert values.shape == shape
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert values.flags.writeable
    return values


def _weight_filler(path: Path) -> Any:
    layer = text_format.Parse(path.read_text(), NetParameter()).layer[-1]
    ip = layer.type == "InnerProduct"
    return (layer.inner_product_param if ip else layer.convolution_param).weight_filler


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_statistics(case: Case) -> None:
    recorded, tol = case.entry["statistics"], case.entry["tol"]
    settings = _weight_filler(case.file("prototxt"))
    values = np.stack([_filled(settings, tuple(recorded["shape"]), seed) for seed in (1, 2, 3, 4)]).astype(np.float64)
    assert values.std() == pytest.approx(recorded["std"], rel=tol["std_rel"])
    # Both means are of samples: of independent ones each strays by about std / √count.
    stray = recorded["std"] / math.sqrt(values.size)
    assert values.mean() == pytest.approx(recorded["mean"], abs=6 * stray)
    assert (values == 0).mean() == pytest.approx(recorded["zero_fraction"], abs=0.01)
    if tol["minmax_rel"] is not None:
        assert values.min() == pytest.approx(recorded["min"], rel=tol["minmax_rel"])
        assert values.max() == pytest.approx(recorded["max"], rel=tol["minmax_rel"])


def test_every_filler_of_the_original_is_there() -> None:
    originals = {"bilinear", "constant", "gaussian", "msra", "positive_unitball", "uniform", "xavier"}
    assert originals < set(fillers.names())
    assert len(CASES) >= 10


def test_nothing_said_is_zero() -> None:
    assert (fill(None, (3, 2), generator(1)) == 0).all()
    assert (_filled("", (3, 2)) == 0).all()
    assert (_filled("value: 3", (3, 2)) == 3).all()


@pytest.mark.parametrize("text", ["value: 2", 'type: "uniform" min: 2 max: 2', 'type: "gaussian" mean: 2 std: 1e-6'])
def test_a_scalar_can_be_filled_where_no_axis_is_needed(text: str) -> None:
    assert float(_filled(text, ())) == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("shape", [(50, 40), (20, 5, 4, 6), (2000,)])
@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
def test_fans(norm: str, shape: tuple[int, ...]) -> None:
    count = math.prod(shape)
    fan_in, fan_out = count / shape[0], count / shape[1] if len(shape) > 1 else count
    fan = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]
    values = _filled(f'type: "xavier" variance_norm: {norm}', shape)
    assert np.abs(values).max() == pytest.approx(math.sqrt(3 / fan), rel=0.01)
    assert np.abs(values).max() <= math.sqrt(3 / fan) * (1 + 1e-6)
    assert _filled(f'type: "msra" variance_norm: {norm}', shape).std() == pytest.approx(math.sqrt(2 / fan), rel=0.1)


def test_unitball_slices_sum_to_one() -> None:
    values = _filled('type: "positive_unitball"', (5, 3, 4, 2))
    assert values.min() >= 0
    np.testing.assert_allclose(values.sum((1, 2, 3)), 1, rtol=1e-6)
    np.testing.assert_array_equal(_filled('type: "positive_unitball"', (5,)), 1)


def test_sparse_keeps_its_share() -> None:
    values = _filled('type: "gaussian" sparse: 5', (20, 1000))
    assert (values != 0).mean() == pytest.approx(0.25, abs=0.02)
    assert values[values != 0].std() == pytest.approx(1, rel=0.05)
    assert (_filled('type: "gaussian" sparse: 0', (20, 10)) == 0).all()
    assert (_filled('type: "gaussian" sparse: 20', (20, 10)) != 0).all()


def test_bilinear_is_the_tent() -> None:
    values = _filled('type: "bilinear"', (2, 1, 4, 4))
    tent = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(values, np.broadcast_to(np.outer(tent, tent), (2, 1, 4, 4)))
    tent = np.array([1, 2, 3, 2, 1]) / 3
    np.testing.assert_allclose(_filled('type: "bilinear"', (1, 1, 5, 5))[0, 0], np.outer(tent, tent), rtol=1e-6)


@pytest.mark.parametrize("name", ["uniform", "gaussian", "positive_unitball", "xavier", "msra"])
def test_values_follow_the_generator(name: str) -> None:
    text = f'type: "{name}"'
    assert np.array_equal(_filled(text, (4, 5), 1), _filled(text, (4, 5), 1))
    assert not np.array_equal(_filled(text, (4, 5), 1), _filled(text, (4, 5), 2))


@pytest.mark.parametrize(
    ("text", "shape", "told"),
    [
        ('type: "Xavier"', (2, 2), 'type names no filler, got "Xavier"\n  help: did you mean xavier?'),
        (
            'type: "orthogonal"',
            (2, 2),
            f'type names no filler, got "orthogonal"\n  help: known: {", ".join(fillers.names())}',
        ),
        ('type: "xavier" sparse: 3', (2, 2), 'sparse is for the gaussian filler only, got 3 with type "xavier"'),
        (
            'type: "gaussian" sparse: 3',
            (2, 2),
            "sparse must be from 0 to the weight's first axis, 2, or -1 for dense, got 3",
        ),
        ('type: "gaussian" std: 0', (2, 2), "std must be positive, got 0"),
        ('type: "uniform" min: 3 max: 2.5', (2, 2), "min must not be above max, got 3 above 2.5"),
        (
            'type: "bilinear"',
            (1, 1, 2, 3),
            'type "bilinear" fills square kernels of 4-d weights, this weight is (1, 1, 2, 3)',
        ),
        ('type: "constant"', (0, 3), "type cannot fill a shape without elements, got (0, 3)"),
        ('type: "xavier"', (), 'type "xavier" needs a weight with at least one axis, this one is a scalar'),
        ('type: "msra"', (), 'type "msra" needs a weight with at least one axis, this one is a scalar'),
        (
            'type: "positive_unitball"',
            (),
            'type "positive_unitball" needs a weight with at least one axis, this one is a scalar',
        ),
        (
            'type: "gaussian" sparse: 0',
            (),
            "sparse is for weights with at least one axis, this one is a scalar, got 0",
        ),
    ],
)
def test_faults(text: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _filled(text, shape)
    assert str(raised.value) == told


# -- fillers of forks -----------------------------------------------------------------------------------------------

SQUARE = '"identity" fills square weights, with kernels of 1 if any, this weight is '


@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        ("alpha: 0.5", 1 / math.sqrt(1.25)),
        ("negative_slope: 0.5", 1 / math.sqrt(1.25)),
        ("scale: 3", 3),
        ("scale: 3 alpha: 1", 3 / math.sqrt(2)),
    ],
)
def test_msra_of_forks(settings: str, factor: float) -> None:
    """std = scale·√(2 / fan / (1 + leak²)): filler.hpp of the three forks."""
    plain = _filled('type: "msra"', (50, 40))
    np.testing.assert_allclose(_filled(f'type: "msra" {settings}', (50, 40)), plain * factor, rtol=1e-6)


def test_identity_of_forks() -> None:
    np.testing.assert_array_equal(_filled('type: "identity"', (3, 3)), np.eye(3))
    np.testing.assert_array_equal(_filled('type: "identity"', (3, 3, 1, 1))[:, :, 0, 0], np.eye(3))


def test_gaussian_unitball_of_forks() -> None:
    values = _filled('type: "gaussian_unitball"', (200, 3, 5, 5)).reshape(200, -1)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)
    assert values.mean() == pytest.approx(0, abs=0.01)


def test_diagonal_of_forks() -> None:
    values = _filled('type: "diagonal" diag_val: 4 diag_val: -2', (3, 4, 2, 2))
    want = np.zeros((3, 4, 2, 2))
    want[0, 0], want[1, 1], want[2, 2] = 1, -0.5, 0.25
    np.testing.assert_array_equal(values, want)


@pytest.mark.parametrize("name", ["gaussian", "positive_unitball", "uniform", "xavier", "msra", "bilinear"])
def test_static_fillers_of_forks_draw_as_the_others(name: str) -> None:
    static, plain = (_filled(f'type: "{name}{end}"', (4, 3, 2, 2)) for end in ("static", ""))
    np.testing.assert_array_equal(static, plain)
    assert fillers[f"{name}static"].once
    assert not fillers[name].once


@pytest.mark.parametrize(
    ("text", "shape", "told"),
    [
        ('type: "identity"', (2, 3), SQUARE + "(2, 3)"),
        ('type: "identity"', (2, 2, 3, 3), SQUARE + "(2, 2, 3, 3)"),
        ('type: "diagonal"', (2,), '"diagonal" needs a weight with at least two axes, got (2,)'),
        ('type: "gabor"', (2, 3), '"gabor" is not built here; it comes from intel/caffe: Gabor filters'),
    ],
)
def test_faults_of_fillers_of_forks(text: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _filled(text, shape)
    assert str(raised.value).startswith(f"type {told}")
