"""`precision` of a solver: what is rounded, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffelite import assembly
from caffelite.errors import Fault, PrototxtError
from caffelite.layerkit.kernels.rounded import RoundedKernel
from caffelite.net import Net
from caffelite.proto import TRAIN, SolverParameter
from caffelite.runtime.device import arithmetic

from ..nets import graph_of

IMAGES = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 } } }
"""
FILLED = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.2 max: 0.2 }'
SCORES = f"""
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "score" inner_product_param {{ num_output: 3 {FILLED} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""
MANY = f"""
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 4 kernel_size: 3 {FILLED} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "norm" type: "LRN" bottom: "c" top: "n" }}
layer {{ name: "pool" type: "Pooling" bottom: "n" top: "p" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "a" type: "Convolution" bottom: "p" top: "a"
  convolution_param {{ num_output: 2 kernel_size: 1 {FILLED} }} }}
layer {{ name: "aa" type: "ReLU" bottom: "a" top: "aa" relu_param {{ negative_slope: 0.1 }} }}
layer {{ name: "b" type: "Pooling" bottom: "p" top: "b" pooling_param {{ pool: AVE kernel_size: 3 stride: 1 pad: 1 }} }}
layer {{ name: "both" type: "Concat" bottom: "aa" bottom: "b" top: "both" }}
layer {{ name: "up" type: "Deconvolution" bottom: "both" top: "up"
  convolution_param {{ num_output: 2 kernel_size: 2 {FILLED} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "up" top: "bn" }}
layer {{ name: "tanh" type: "TanH" bottom: "bn" top: "bn" }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "bn" top: "h" inner_product_param {{ num_output: 8 {FILLED} }} }}
layer {{ name: "drop" type: "Dropout" bottom: "h" top: "h" dropout_param {{ dropout_ratio: 0.2 }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "h" bottom: "h" top: "s" }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "s" top: "score" inner_product_param {{ num_output: 3 {FILLED} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""


def net(text: str, precision: int) -> Net:
    made = Net(graph_of(IMAGES + text, TRAIN), seed=4, precision=precision)
    made.blobs["x"].data[...] = np.random.default_rng(1).standard_normal(made.blobs["x"].shape)
    made.blobs["label"].data[...] = [0, 2, 1, 2]
    return made


def test_products_are_of_rounded_factors_and_gradients_are_kept_in_single_precision() -> None:
    made = net(SCORES, SolverParameter.BF16)
    loss = made.forward_backward()
    weight, bias = (parameter.tensor.detach().bfloat16() for parameter in made.parameters)
    x = torch.from_numpy(made.blobs["x"].data.reshape(4, -1).copy()).bfloat16()
    scores = torch.nn.functional.linear(x, weight, bias).float().requires_grad_()
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 2, 1, 2]))
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    assert scores.grad is not None
    above = scores.grad.bfloat16()
    torch.testing.assert_close(made.parameters[0].grad, (above.t() @ x).float(), rtol=1e-2, atol=1e-6)
    torch.testing.assert_close(made.parameters[1].grad, above.sum(0).float(), rtol=1e-2, atol=1e-6)
    assert {parameter.grad.dtype for parameter in made.parameters} == {torch.float32}


def test_a_net_of_many_layers_computes_nearly_the_same() -> None:
    exact, rounded = net(MANY, SolverParameter.FLOAT32), net(MANY, SolverParameter.BF16)
    losses = [float(one.forward_backward()) for one in (exact, rounded)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    for mine, other in zip(rounded.parameters, exact.parameters, strict=True):
        if other.grad is not None:
            assert mine.grad.dtype == torch.float32
            assert float((mine.grad - other.grad).norm()) < 0.1 * float(other.grad.norm()) + 2e-3, other.name


def test_what_computes_in_which_type() -> None:
    turns = net(MANY, SolverParameter.BF16).fast_plan.turns
    kinds = {
        turn.nodes[0].name: str(turn.kernel.kind) if isinstance(turn.kernel, RoundedKernel) else "as it comes"
        for turn in turns
    }
    rounds, never = "torch.bfloat16", "torch.float32"
    assert kinds == {
        "conv": rounds, "relu": "as it comes", "norm": never, "pool": "as it comes", "a": rounds, "aa": never,
        "b": "as it comes", "both": rounds, "up": rounds, "bn": never, "tanh": never, "ip1": rounds,
        "drop": "as it comes", "sum": never, "ip2": rounds, "loss": never,
    }  # fmt: skip


def test_values_that_are_shown_are_in_single_precision() -> None:
    made = net(SCORES[: SCORES.index('layer { name: "loss"')], SolverParameter.BF16)
    made.forward()
    ((name, _, values),) = [output for output in made.output_values() if output[0] == "score"]
    assert made.blobs[name].data.dtype == np.float32
    assert len(values) == 12


SOLVER = 'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 random_seed: 3 test_iter: 1 max_iter: 90 '


@pytest.fixture
def solver_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    data = """
    layer { name: "data" type: "DummyData" top: "x" top: "label" dummy_data_param {
      shape { dim: 6 dim: 5 } shape { dim: 6 }
      data_filler { type: "gaussian" } data_filler { type: "constant" value: 2 } } }
    """
    Path("net.prototxt").write_text(data + SCORES)
    return tmp_path / "solver.prototxt"


def made(path: Path, precision: str) -> tuple[Any, list[Fault]]:
    path.write_text(f'{SOLVER} test_interval: 100 snapshot_prefix: "s" {precision}')
    warnings: list[Fault] = []
    return assembly.load_solver(path, warn=warnings.append), warnings


def test_a_net_learns_in_bfloat16_and_is_tested_in_single_precision(solver_file: Path) -> None:
    solver, warnings = made(solver_file, "precision: BF16")
    assert not warnings
    assert (solver.net.precision, solver.test_nets[0].precision) == (SolverParameter.BF16, SolverParameter.FLOAT32)
    first = float(solver.net.forward())
    solver.step(40)
    assert float(solver.net.forward()) < first / 4
    assert {parameter.tensor.dtype for parameter in solver.net.parameters} == {torch.float32}
    assert {slot.dtype for slot in solver.rule.history} == {torch.float32}


def test_tf32_is_for_gpus(solver_file: Path) -> None:
    exact, _ = made(solver_file, "")
    solver, warnings = made(solver_file, "precision: TF32")
    assert ["precision TF32 has no effect on the CPU" in str(warning) for warning in warnings] == [True]
    assert float(solver.net.forward_backward()) == float(exact.net.forward_backward())


def test_a_precision_that_there_is_not(solver_file: Path) -> None:
    with pytest.raises(PrototxtError, match=r"solver.prototxt:1:\d+: unknown value FP8 for precision"):
        made(solver_file, "precision: FP8")


@pytest.mark.parametrize("tf32", [False, True])
def test_gpus_round_where_it_is_asked_for_only(tf32: bool) -> None:
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [one.allow_tf32 for one in flags]
    with arithmetic(torch.device("cuda"), tf32=tf32):
        assert [one.allow_tf32 for one in flags] == [tf32, tf32]
    with arithmetic(torch.device("cpu"), tf32=tf32):
        assert [one.allow_tf32 for one in flags] == before
    assert [one.allow_tf32 for one in flags] == before
