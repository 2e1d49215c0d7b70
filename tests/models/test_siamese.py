"""A siamese net: two towers that share their weights by name, trained to put alike pictures near each other."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

import caffelite

TOWER = """
layer {{ name: "conv{p}" type: "Convolution" bottom: "data{p}" top: "conv{p}"
  param {{ name: "conv_w" lr_mult: 1 }} param {{ name: "conv_b" lr_mult: 2 }}
  convolution_param {{ num_output: 6 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pool{p}" type: "Pooling" bottom: "conv{p}" top: "pool{p}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip{p}" type: "InnerProduct" bottom: "pool{p}" top: "ip{p}"
  param {{ name: "ip_w" lr_mult: 1 }} param {{ name: "ip_b" lr_mult: 2 }}
  inner_product_param {{ num_output: 16 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu{p}" type: "ReLU" bottom: "ip{p}" top: "ip{p}" }}
layer {{ name: "feat{p}" type: "InnerProduct" bottom: "ip{p}" top: "feat{p}"
  param {{ name: "feat_w" lr_mult: 1 }} param {{ name: "feat_b" lr_mult: 2 }}
  inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
"""

NET = """
name: "siamese"
layer {{ name: "pairs" type: "HDF5Data" top: "pair" top: "sim"
  hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 32 }} }}
layer {{ name: "slice" type: "Slice" bottom: "pair" top: "data" top: "data_p" slice_param {{ slice_point: 1 }} }}
{towers}
layer {{ name: "loss" type: "ContrastiveLoss" bottom: "feat" bottom: "feat_p" bottom: "sim" top: "loss"
  contrastive_loss_param {{ margin: 1 }} }}
"""


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy pictures in a pair's two channels, and 1 where both are of the same kind, of four."""
    random = np.random.default_rng(4)
    kinds = random.integers(0, 4, (count, 2))
    alike = random.random(count) < 0.5
    kinds[alike, 1] = kinds[alike, 0]
    patterns = random.standard_normal((4, 8, 8))
    pictures = patterns[kinds] + 0.3 * random.standard_normal((count, 2, 8, 8))
    return pictures.astype(np.float32), (kinds[:, 0] == kinds[:, 1]).astype(np.float32)


def solver(folder: Path) -> caffelite.SGDSolver:
    with h5py.File(folder / "pairs.h5", "w") as file:
        file["pair"], file["sim"] = pairs(256)
    (folder / "list.txt").write_text(f"{folder}/pairs.h5\n")
    towers = TOWER.format(p="") + TOWER.format(p="_p")
    (folder / "net.prototxt").write_text(NET.format(folder=folder, towers=towers))
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0001 '
        "max_iter: 300 solver_mode: CPU random_seed: 1"
    )
    return caffelite.get_solver(folder / "solver.prototxt")


def towers_equal(net: caffelite.Net) -> bool:
    names = ("conv", "ip", "feat")
    rows = [zip(net.params[name], net.params[f"{name}_p"], strict=True) for name in names]
    return all(np.array_equal(one.data, other.data) for row in rows for one, other in row)


def mean_loss(training: caffelite.SGDSolver, steps: int) -> float:
    losses = []
    for _ in range(steps):
        training.step(1)
        losses.append(float(training.net.blobs["loss"].data))
    return float(np.mean(losses))


def test_a_siamese_net_learns_and_its_towers_stay_equal(tmp_path: Path) -> None:
    training = solver(tmp_path)
    before = {name: training.net.params[name][0].data.copy() for name in ("conv", "ip", "feat")}
    assert towers_equal(training.net)
    first = mean_loss(training, 8)
    training.step(200)
    last = mean_loss(training, 8)
    assert last < 0.2 * first
    assert towers_equal(training.net)
    for name, values in before.items():
        assert not np.array_equal(training.net.params[f"{name}_p"][0].data, values)


def test_both_towers_add_to_the_gradient(tmp_path: Path) -> None:
    """A shared bias in front of the loss: its two gradients are each other's opposite, and add up to 0."""
    net = solver(tmp_path).net
    net.forward()
    net.clear_param_diffs()
    net.backward()
    weight, bias = (blob.diff for blob in net.params["feat"])
    assert np.abs(net.blobs["feat"].diff.sum(0)).max() > 1e-3
    np.testing.assert_allclose(bias, 0, atol=1e-6)
    parts = [net.blobs[f"feat{p}"].diff.T @ net.blobs[f"ip{p}"].data for p in ("", "_p")]
    np.testing.assert_allclose(weight, parts[0] + parts[1], rtol=1e-4, atol=1e-6)


def test_a_snapshot_brings_both_towers_back(tmp_path: Path) -> None:
    training = solver(tmp_path)
    training.step(5)
    training.net.save(tmp_path / "siamese.caffemodel")
    net = caffelite.Net(tmp_path / "net.prototxt", caffelite.TEST, weights=tmp_path / "siamese.caffemodel")
    assert towers_equal(net)
    for name in ("conv", "ip_p", "feat"):
        np.testing.assert_array_equal(net.params[name][0].data, training.net.params[name][0].data)
