"""What layers have to do, worked out by hand, and what becomes of times then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from caffelite.graph import Node
from caffelite.net import Net
from caffelite.tools.timing.layers import LayerTimes, Pass, busiest, how, layer_times
from caffelite.tools.timing.machine import Machine, measure, peak_resident
from caffelite.tools.timing.report import Report
from caffelite.tools.timing.whole import Whole, whole_iterations
from caffelite.tools.timing.work import Work, backward_work, forward_work

from ..nets import net_of

CONVOLUTIONS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" %s convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "loss" type: "Reduction" bottom: "b" top: "loss" loss_weight: 1 }
"""
A = 2 * 4 * 6 * 6 * 3 * 3 * 3
B = 2 * 5 * 4 * 4 * 4 * 3 * 3
X_BYTES, A_BYTES, B_BYTES = 4 * 2 * 3 * 8 * 8, 4 * 2 * 4 * 6 * 6, 4 * 2 * 5 * 4 * 4
MACHINE = Machine(gflops=10.0, gbps=4.0, side=1024, copied=1 << 26, threads=2)


def node(net: Net, name: str) -> Node:
    return next(node for node in net.graph.nodes if node.name == name)


@pytest.mark.parametrize(
    ("specs", "times"),
    [
        ("", 2),  # for its bottom and for its weights
        ("param { lr_mult: 0 } param { lr_mult: 0 }", 1),
        ("propagate_down: false", 1),
        ("propagate_down: false param { lr_mult: 0 }", 0),  # only the bias learns
    ],
)
def test_the_work_of_convolutions(specs: str, times: int) -> None:
    net = net_of(CONVOLUTIONS % specs)
    weights = 4 * (5 * 4 * 3 * 3 + 5)
    assert forward_work(net.graph, node(net, "b")) == Work(B, A_BYTES + weights + B_BYTES)
    assert backward_work(net.graph, node(net, "b")).multiply_adds == times * B
    assert forward_work(net.graph, node(net, "a")).multiply_adds == A


def test_a_first_layer_has_no_gradient_to_hand_down() -> None:
    net = net_of(CONVOLUTIONS % "")
    weights = 4 * (4 * 3 * 3 * 3 + 4)
    assert forward_work(net.graph, node(net, "a")) == Work(A, X_BYTES + weights + A_BYTES)
    assert backward_work(net.graph, node(net, "a")) == Work(A, A_BYTES + weights)
    assert forward_work(net.graph, node(net, "x")) == backward_work(net.graph, node(net, "x")) == Work(0, 0)


def test_the_bytes_of_layers_without_matrix_work() -> None:
    net = net_of(CONVOLUTIONS % "")
    assert forward_work(net.graph, node(net, "relu")) == Work(0, 2 * A_BYTES)
    assert backward_work(net.graph, node(net, "relu")) == Work(0, 2 * A_BYTES)
    assert forward_work(net.graph, node(net, "loss")) == Work(0, B_BYTES + 4)


def test_a_split_moves_nothing_forward_and_sums_gradients_backward() -> None:
    net = net_of(
        """force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 } } }
        layer { name: "a" type: "Reduction" bottom: "x" top: "a" loss_weight: 1 }
        layer { name: "b" type: "Reduction" bottom: "x" top: "b" loss_weight: 1 }"""
    )
    split = next(node for node in net.graph.nodes if node.type == "Split")
    assert forward_work(net.graph, split) == Work(0, 0)
    assert backward_work(net.graph, split) == Work(0, 3 * 5 * 4)


def test_speeds_are_those_of_the_median() -> None:
    product = Pass([1.0, 2.0, 90.0], Work(multiply_adds=5_000_000, bytes=8))
    assert (product.ms, product.gflops, product.gbps, product.of_peak(MACHINE)) == (2.0, 5.0, None, 0.5)
    copy = Pass([3.0, 1.0], Work(multiply_adds=0, bytes=2_000_000))
    assert (copy.ms, copy.gflops, copy.gbps, copy.of_peak(MACHINE)) == (2.0, None, 1.0, 0.25)
    nothing = Pass([1.0], Work(0, 0))
    assert (nothing.gflops, nothing.gbps, nothing.of_peak(MACHINE)) == (None, None, None)


def layer(name: str, forward: float, backward: float | None = None) -> LayerTimes:
    work = Work(1_000_000, 0)
    return LayerTimes(
        name, "Type", "", Pass([forward], work), None if backward is None else Pass([backward], work), 1024, 2048
    )


def test_the_layers_that_take_most_of_the_time() -> None:
    layers = [layer("a", 10), layer("b", 5, 50), layer("c", 4), layer("d", 20, 11)]
    assert [one.name for one in busiest(layers)] == ["b", "d", "a"]  # 55 + 31 of 100 are too few
    assert [one.name for one in busiest(layers, 0.5)] == ["b"]


def test_the_report() -> None:
    report = Report([layer("a", 1.0), layer("b", 1.0, 2.0)], MACHINE, True, 5.0, Whole(3.0, None), 1 << 30)
    lines = report.as_text().splitlines()
    assert lines[0] == "peak measured here: 10.0 GFLOP/s (1024³ matrix product, 2 threads), 4.0 GB/s (copy of 64 MiB)"
    cells = [line.split() for line in lines]
    assert ["a", "Type", "25.0%", "1.000", "2.0", "GFLOP/s", "20%"] in cells
    assert ["b", "Type", "75.0%", "1.000", "2.0", "GFLOP/s", "20%", "2.000", "1.0", "GFLOP/s", "10%"] in cells
    assert ["2", "layers", "2.000", "2.000"] in cells
    assert "90% of the time: b (75%), a (25%)" in lines
    assert ["2", "layers", "2,000,000", "2.0", "KiB", "4.0", "KiB"] in cells
    assert lines[-3:] == [
        "whole iteration as training runs it (forward and backward, no update): 3.000 ms; layer by layer: 5.000 ms",
        "matrix work of a whole iteration: 2.0 GFLOP/s, 20% of peak",
        "memory: blobs 2.0 KiB, weights 4.0 KiB; this process took up to 1.0 GiB",
    ]


def test_a_report_of_a_test_counts_forwards_only() -> None:
    layers = [layer("a", 1.0), layer("b", 1.0, 2.0)]
    report = Report(layers, MACHINE, False, 5.0, Whole(4.0, 3 << 20), 1 << 30)
    *_, whole, work, memory = report.as_text().splitlines()
    assert whole == "whole iteration as test runs it (forward): 4.000 ms; layer by layer: 5.000 ms"
    assert work == "matrix work of a whole iteration: 1.0 GFLOP/s, 10% of peak"
    assert "a whole iteration takes up to 3.0 MiB on the GPU" in memory


FLAT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "flat" type: "Flatten" bottom: "x" top: "flat" }
layer { name: "power" type: "Power" bottom: "flat" top: "power" power_param { scale: 2 } }
"""


def test_a_layer_that_only_looks_at_its_bottom_differently_has_no_speed() -> None:
    net = net_of(FLAT, observed=True)
    net.forward()
    spent = {way: [[1.0]] * len(net.graph.nodes) for way in ("forward", "backward")}
    _, flat, power = layer_times(net, spent)
    assert flat.forward.gbps is None
    assert power.forward.gbps == pytest.approx(2 * 4 * 96 / 1e6)
    assert flat.backward is power.backward is None
    assert (flat.tops, flat.weights) == (4 * 96, 0)


def test_how_layers_are_computed() -> None:
    net = net_of(CONVOLUTIONS % "")
    assert net.channels_last
    special = ["", "", ", in place", "", ", autograd"]
    assert [how(net, one) for one in net.graph.nodes] == [f"channels_last{one}" for one in special]
    pool = 'layer { name: "pool" type: "Pooling" bottom: "a" top: "b" pooling_param { kernel_size: 2 stride: 2 } }'
    net = net_of("\n".join([*CONVOLUTIONS.splitlines()[:4], pool, *CONVOLUTIONS.splitlines()[5:]]))
    assert [how(net, one).partition(", ")[2] for one in net.graph.nodes[1:4]] == ["with relu and pool", "in a", "in a"]


def test_whole_iterations_keep_losses_and_outputs_only() -> None:
    net = net_of("debug_info: true" + CONVOLUTIONS % "", observed=True)
    net.forward()
    assert net.observed_plan.played
    assert whole_iterations(net, 2, training=True).ms > 0
    assert not net.observed_plan.played
    assert all(parameter.grad is not None for parameter in net.parameters)
    net.clear_gradients()
    assert whole_iterations(net, 1, training=False).device_peak is None
    assert not any(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters)


def test_the_machine_is_measured() -> None:
    found = measure(torch.device("cpu"))
    assert found.gflops > 0 and found.gbps > 0
    assert found.threads == torch.get_num_threads()


def test_the_peak_is_no_less_than_what_is_taken_now() -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("this system does not tell")
    assert peak_resident() >= int(statm.read_text().split()[1]) * 4096
