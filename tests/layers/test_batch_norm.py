"""BatchNorm's three weights over many steps, in every way a net is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffelite.net import Net
from caffelite.proto import TEST, TRAIN, SolverParameter
from caffelite.solver import Settings, Solver

from ..nets import net_of

BATCH_NORM = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 5 dim: 3 dim: 2 dim: 2 }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "y" {more} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "sum" type: "Reduction" bottom: "z" top: "loss" loss_weight: 1 reduction_param {{ operation: SUMSQ }} }}
"""


def net_with(more: str = "", phase: int = TRAIN, text: str = BATCH_NORM, **options: Any) -> Net:
    return net_of(text.format(more=more), phase, **options)


def batch(step: int) -> np.ndarray:
    return np.random.default_rng(step).normal(step, 1 + step, (5, 3, 2, 2)).astype(np.float32)


class Statistics:
    """What `src/caffe/layers/batch_norm_layer.cpp` keeps."""

    def __init__(self, fraction: float = 0.999) -> None:
        self.fraction = fraction
        self.blobs = [np.zeros(3), np.zeros(3), np.zeros(1)]

    def add(self, x: np.ndarray) -> np.ndarray:
        """Collect a batch; returns it normalised."""
        rows = x.astype(np.float64).transpose(1, 0, *range(2, x.ndim)).reshape(3, -1)
        mean, variance, count = rows.mean(1), rows.var(1), rows.shape[1]
        unbiased = variance * (count / (count - 1) if count > 1 else 1)
        for blob, new in zip(self.blobs, (mean, unbiased, 1), strict=True):
            blob *= self.fraction
            blob += new
        return self.apply(x, mean, variance)

    def apply(self, x: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float = 1e-5) -> np.ndarray:
        shape = (3, *[1] * (x.ndim - 2))
        return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)

    def use(self, x: np.ndarray) -> np.ndarray:
        """A batch normalised by what was collected."""
        part = 1 / self.blobs[2] if self.blobs[2] else 0
        return self.apply(x, self.blobs[0] * part, self.blobs[1] * part)

    def check(self, net: Net) -> None:
        for row, blob in zip(net.params["bn"], self.blobs, strict=True):
            np.testing.assert_allclose(row.data, blob, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
@pytest.mark.parametrize("fraction", [0.999, 0.5])
def test_weights_over_steps(fraction: float, observed: bool) -> None:
    net = net_with(f"batch_norm_param {{ moving_average_fraction: {fraction} }}", observed=observed)
    wanted = Statistics(fraction)
    held = [row.data for row in net.params["bn"]]
    for step in range(6):
        net.blobs["x"].data[...] = batch(step)
        y = wanted.add(batch(step))
        _ = net.forward_backward() if step % 2 else net.forward()
        wanted.check(net)
        for array, blob in zip(held, wanted.blobs, strict=True):
            np.testing.assert_allclose(array, blob, rtol=1e-4, atol=1e-5)
        if observed:
            np.testing.assert_allclose(net.blobs["y"].data, y, rtol=1e-4, atol=1e-4)
    assert not any(row.diff.any() for row in net.params["bn"])


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_under_force_backward_the_weights_still_collect(observed: bool) -> None:
    net = net_with(text="force_backward: true\n" + BATCH_NORM, observed=observed)
    wanted = Statistics()
    for step in range(3):
        net.blobs["x"].data[...] = batch(step)
        wanted.add(batch(step))
        net.forward_backward()
    wanted.check(net)
    assert not any(row.diff.any() for row in net.params["bn"])
    assert net.params["ip"][0].diff.any()


def test_a_test_net_uses_what_the_train_net_collects() -> None:
    net, wanted = net_with(), Statistics()
    test_net = net_with(phase=TEST, share=net, observed=True)
    test_net.blobs["x"].data[...] = batch(9)
    test_net.forward()
    np.testing.assert_allclose(test_net.blobs["y"].data, wanted.use(batch(9)), rtol=1e-4)  # nothing collected yet
    for step in range(3):
        net.blobs["x"].data[...] = batch(step)
        wanted.add(batch(step))
        net.forward_backward()
        test_net.forward()
        np.testing.assert_allclose(test_net.blobs["y"].data, wanted.use(batch(9)), rtol=1e-4, atol=1e-4)
    wanted.check(net)  # testing has changed nothing


def test_a_test_net_that_is_to_use_the_batch_collects_it_too() -> None:
    net, wanted = net_with(), Statistics()
    test_net = net_with("batch_norm_param { use_global_stats: false }", TEST, share=net)
    for step in range(4):
        part = test_net if step % 2 else net
        part.blobs["x"].data[...] = batch(step)
        part.forward()
        wanted.add(batch(step))
    wanted.check(net)


def test_frozen_statistics_in_training_are_left_alone() -> None:
    net = net_with("batch_norm_param { use_global_stats: true }", observed=True)
    for row, value in zip(net.params["bn"], (2.0, 8.0, 2.0), strict=True):
        row.data[...] = value
    net.blobs["x"].data[...] = batch(1)
    net.forward_backward()
    np.testing.assert_allclose(net.blobs["y"].data, (batch(1) - 1) / np.sqrt(4 + 1e-5), rtol=1e-5, atol=1e-6)
    assert [float(row.data[0]) for row in net.params["bn"]] == [2, 8, 2]


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (1, 3, 2, 2), (2, 3, 1, 2, 2), (1, 3)])
def test_bottoms_of_any_number_of_axes(shape: tuple[int, ...]) -> None:
    dims = " ".join(f"dim: {size}" for size in shape)
    text = f"""
    layer {{{{ name: "in" type: "Input" top: "x" input_param {{{{ shape {{{{ {dims} }}}} }}}} }}}}
    layer {{{{ name: "bn" type: "BatchNorm" bottom: "x" top: "x" }}}}
    """
    net, wanted = net_with(text=text, observed=True), Statistics()
    x = np.random.default_rng(3).normal(4, 2, shape).astype(np.float32)
    net.blobs["x"].data[...] = x
    net.forward()
    np.testing.assert_allclose(net.blobs["x"].data, wanted.add(x), rtol=1e-4, atol=1e-4)
    wanted.check(net)


def test_weights_go_through_a_file(tmp_path: Path) -> None:
    net, wanted = net_with(), Statistics()
    for step in range(3):
        net.blobs["x"].data[...] = batch(step)
        wanted.add(batch(step))
        net.forward()
    net.save(str(tmp_path / "bn.caffemodel"))
    again = net_with(phase=TEST, observed=True)
    again.load_weights(str(tmp_path / "bn.caffemodel"))
    wanted.check(again)
    again.blobs["x"].data[...] = batch(5)
    again.forward()
    np.testing.assert_allclose(again.blobs["y"].data, wanted.use(batch(5)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_a_solver_collects_every_batch_of_an_iteration_and_moves_nothing(kind: str, observed: bool) -> None:
    source = """
    layer {{ name: "in" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 5 dim: 3 dim: 2 dim: 2 }}
      data_filler {{ type: "gaussian" mean: 2 }} }} }}
    """
    text = source + BATCH_NORM[BATCH_NORM.index('layer {{ name: "bn"') :]
    net, wanted = net_with(text=text, observed=observed), Statistics()
    message = text_format.Parse(
        f'net: "x" type: "{kind}" base_lr: 0.1 lr_policy: "fixed" weight_decay: 0.1 iter_size: 3 max_iter: 4 '
        "snapshot_after_train: false",
        SolverParameter(),
    )
    solver = Solver(Settings.from_message(message), net)
    seen: list[np.ndarray] = []
    layer = next(node.layer for node in net.graph.nodes if node.name == "bn")
    plain = layer.forward
    layer.forward = lambda run, bottoms, weights: seen.append(bottoms[0].numpy().copy()) or plain(run, bottoms, weights)
    solver.step(4)
    assert len(seen) == 12
    for x in seen:
        wanted.add(x)
    wanted.check(net)


def test_a_layer_of_one_param_gets_the_others() -> None:
    net = net_with("param { lr_mult: 0 }")
    assert [parameter.lr_mult for parameter in net.parameters if parameter.layer == "bn"] == [0, 0, 0]
