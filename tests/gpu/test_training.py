"""Training on a GPU: resumed to the bit, and nearly what the CPU gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.proto import SolverParameter
from caffelite.solver import stretch

from ..commands.conftest import caffelite
from ..conftest import REPO
from ..solver.resuming import TYPES, files, in_stops, solver_of, whole

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
FOLLOWING = sorted({*TYPES} - {"LBFGS", "ConjugateGradient"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


def plain(folder: Path, prefix: Path, kind: str, more: str = "") -> Path:
    """A solver of a small LeNet, which has no chance in it."""
    path = files(folder, prefix, kind, f"max_iter: 60 {more}", iterations=60)
    net = f"""
    layer {{ name: "data" type: "Data" top: "data" top: "label" transform_param {{ scale: 0.00390625 }}
      data_param {{ source: "{folder}/train_lmdb" backend: LMDB batch_size: 4 }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
      convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param {{ kernel_size: 2 stride: 2 }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
      inner_product_param {{ num_output: 9 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "relu" type: "ReLU" bottom: "ip" top: "ip" }}
    layer {{ name: "ip2" type: "InnerProduct" bottom: "ip" top: "score"
      inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
    """
    (prefix.parent / "plain.prototxt").write_text(net)
    text = path.read_text().replace(f'net: "{folder}/net.prototxt"', f'net: "{prefix.parent}/plain.prototxt"')
    text = re.sub(r"iter_size: 2|test_\w+: \d+|test_state \{.*?\}+( \})?|display: 2", "", text)
    path.write_text(re.sub(r"max_iter: 60", "", text, count=1) + " display: 25")
    return path


@pytest.mark.parametrize("kind", FOLLOWING)
def test_nobody_can_tell_graphs_stops_and_resumes(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, told = solver_of(plain(folder, tmp_path / "straight" / "s", kind), GPU)
    straight.step(60)
    assert straight.net.fast_plan.captured is not None
    assert straight.net.fast_plan.captured.settled
    path = plain(folder, tmp_path / "resumed" / "s", kind)
    solver, lines, _ = in_stops(path, (3, 29, 60), GPU)
    assert whole(solver) == whole(straight)
    assert lines == told.lines
    monkeypatch.setattr(stretch.Stretch, "__call__", lambda self, least: None)
    monkeypatch.setattr("caffelite.net.capture.Capture.__call__", lambda self, inputs, work: work())
    alone, said = solver_of(path, GPU)
    alone.step(60)
    assert whole(alone) == whole(straight)
    assert said.lines == told.lines


@pytest.mark.parametrize("kind", TYPES)
def test_chance_resumes_too(kind: str, folder: Path, tmp_path: Path) -> None:
    straight, told = solver_of(files(folder, tmp_path / "straight" / "s", kind), GPU)
    straight.solve()
    path = files(folder, tmp_path / "resumed" / "s", kind)
    solver, lines, _ = in_stops(path, (5, 6, 13), GPU)
    assert whole(solver) == whole(straight)
    assert lines == told.lines


@pytest.mark.parametrize("kind", FOLLOWING)
def test_it_is_nearly_what_the_cpu_gives(kind: str, folder: Path, tmp_path: Path) -> None:
    path = plain(folder, tmp_path / "s", kind, "base_lr: 0.01".replace("base_lr: 0.01", ""))
    found = []
    for device in (GPU, CPU):
        solver, _ = solver_of(path, device)
        solver.step(20)
        found.append([parameter.data.copy() for parameter in solver.net.parameters])
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-4)


def test_single_precision_is_single_precision(folder: Path, tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {}
    for precision in ("FLOAT32", "TF32", "BF16"):
        solver, _ = solver_of(plain(folder, tmp_path / precision / "s", "SGD", f"precision: {precision}"), GPU)
        assert solver.net.precision == SolverParameter.Precision.Value(precision)
        losses[precision] = []
        for _ in range(10):
            solver.step(1)
            losses[precision].append(float(solver.net.output_values()[0][2][0]))
        exact = [parameter.tensor.dtype for parameter in solver.net.parameters]
        assert set(exact) == {torch.float32}
    solver, _ = solver_of(plain(folder, tmp_path / "cpu" / "s", "SGD"), CPU)
    wanted = []
    for _ in range(10):
        solver.step(1)
        wanted.append(float(solver.net.output_values()[0][2][0]))
    np.testing.assert_allclose(losses["FLOAT32"], wanted, rtol=1e-5)
    np.testing.assert_allclose(losses["TF32"], wanted, rtol=5e-3)
    np.testing.assert_allclose(losses["BF16"], wanted, rtol=5e-2)
    assert len({str(values) for values in losses.values()}) == 3


def test_the_commands(folder: Path, tmp_path: Path) -> None:
    path = plain(folder, tmp_path / "s", "SGD", "solver_mode: GPU")

    def done(*arguments: Any) -> str:
        result = caffelite(*map(str, arguments), cwd=tmp_path)
        assert result.status == 0, result.err
        return result.out + result.err

    said = done("train", "--solver", path, "--gpu", "0")
    assert "Optimization Done" in said
    net, weights = tmp_path / "plain.prototxt", tmp_path / "s_iter_60.caffemodel"
    assert "loss = " in done("test", "--model", net, "--weights", weights, "--gpu", "0", "--iterations", "3")
    assert re.search(r"conv\s+forward", done("time", "--model", net, "--gpu", "0", "--iterations", "3"))
    assert torch.cuda.get_device_name(0) in done("device_query", "--gpu", "0")
    assert (REPO / "cli.py").exists()
