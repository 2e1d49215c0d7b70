"""Passes that are taken down once, and what must not be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from google.protobuf import text_format

from caffelite import prototxt
from caffelite.errors import DataError, LayerError
from caffelite.layerkit.base import layers
from caffelite.layers.softmax import Softmax
from caffelite.net import Net
from caffelite.net.capture import Capture
from caffelite.net.recording import Given, Recorder, Row, function
from caffelite.net.splicing import Insertion, spliced
from caffelite.proto import TEST, NetParameter

from ..lending import lend
from ..nets import net_of

Work = Callable[..., Sequence[torch.Tensor | None]]


def replay_of(work: Work, *inputs: torch.Tensor) -> Any:
    """The function made of what some work does with its inputs; None if it cannot be done again."""
    with torch.no_grad(), Recorder(inputs) as recorder:
        results = work(*inputs)
    row = recorder.row(results)
    return None if row is None else function(row, len(inputs))


AT = torch.tensor([2, 0])
X, Y = torch.arange(12.0).reshape(3, 4) - 5, torch.linspace(-1, 2, 12).reshape(4, 3)
IMAGES = torch.linspace(-2, 3, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)
FILTERS = torch.linspace(-1, 1, 4 * 3 * 3 * 3).reshape(4, 3, 3, 3)

ONEDNN = "a product by oneDNN"

WORKS: dict[str, tuple[Work, Sequence[torch.Tensor]]] = {
    "a product": (lambda x, y: [x @ y], (X, Y)),
    "numbers": (lambda x: [x * 2, x + 0.5, x.clamp(min=-1), x / -0.0, x / 0.0], (X,)),
    "other types": (lambda x: [x.long(), x.to(torch.float64), x > 0], (X,)),
    "in place": (lambda x: [x.clone().relu_().mul_(3)], (X,)),
    "a list of results": (lambda x: [x.split([1, 2, 1], 1)[1], x.unbind(0)[2]], (X,)),
    "a list of arguments": (lambda x, y: [torch.cat([x, y.t(), x], 1), torch.stack([x, x])], (X, Y)),
    "indices": (lambda x, y: [torch.ops.aten.index_put(x, [None, AT], y[:3, :2])], (X, Y)),
    "an empty list": (lambda x: [x.sum((0,)), x.permute(1, 0), x[0, 0].expand(())], (X,)),
    "memory orders": (
        lambda x: [x.contiguous(memory_format=torch.channels_last), torch.empty_like(x).zero_()],
        (IMAGES,),
    ),
    "new tensors": (lambda x: [torch.full((2,), 7.0), torch.zeros_like(x), x.new_ones(3)], (X,)),
    "a result that is not there": (lambda x: [None, x + 1, None], (X,)),
    "an input as it is": (lambda x, y: [y, x * 2], (X, Y)),
    "convolution": (lambda x, w: [torch.conv2d(x, w, None, 2, 1)], (IMAGES, FILTERS)),
    "its gradients": (
        lambda x, w: list(
            torch.ops.aten.convolution_backward(
                torch.ones(2, 4, 4, 4), x, w, [4], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, True]
            )
        ),
        (IMAGES, FILTERS),
    ),
    ONEDNN: (
        lambda x, y: [torch.ops.mkldnn._linear_pointwise(x, y.t(), None, "none", [], None)],
        (X, Y),
    ),
    "maxima": (lambda x: list(torch.ops.aten.max_pool2d_with_indices(x, [2, 2], [2, 2])), (IMAGES,)),
}


@pytest.mark.parametrize("name", WORKS)
def test_a_replay_does_what_was_done_with_other_inputs(name: str) -> None:
    if name == ONEDNN and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no products by oneDNN")
    work, inputs = WORKS[name]
    replay = replay_of(work, *inputs)
    others = [one.flip(0) * 1.5 for one in inputs]
    given, wanted = replay(others), work(*others)
    assert len(given) == len(wanted)
    for mine, theirs in zip(given, wanted, strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            assert mine.dtype == theirs.dtype
            assert mine.stride() == theirs.stride()
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)


def test_what_was_there_before_stays_the_same_tensor() -> None:
    counter = torch.zeros(1)
    replay = replay_of(lambda x: [x + counter.add_(1)], torch.zeros(1))
    assert [float(replay([torch.zeros(1)])[0]) for _ in range(3)] == [2, 3, 4]


UNREPEATABLE: dict[str, Work] = {
    "chance": lambda x: [x + torch.rand(3, 4)],
    "a generator": lambda x: [x.clone().bernoulli_(0.5, generator=torch.Generator())],
    "a decision by values": lambda x: [x * 2 if x.sum() > 0 else x],
    "a number read from values": lambda x: [x * float(x.max())],
    "sizes by values": lambda x: [x[x > 0]],
    "where values are": lambda x: [x.nonzero()],
    "indices, which may be a mask": lambda x: [x[:, AT]],
}


@pytest.mark.parametrize("name", UNREPEATABLE)
def test_there_is_no_replay_of(name: str) -> None:
    assert replay_of(UNREPEATABLE[name], X) is None


def test_there_is_none_where_one_tensor_is_two_inputs() -> None:
    assert replay_of(lambda x, y: [x + y], X, X) is None


def test_a_number_read_from_what_stays_may_be_used() -> None:
    factor = torch.tensor(3.0)
    assert torch.equal(replay_of(lambda x: [x * float(factor)], X)([Y])[0], Y * 3)


# -- captures ---------------------------------------------------------------------------------------------------------


class Counted:
    """Work that counts how often it is done in Python."""

    def __init__(self, work: Work) -> None:
        self.work, self.times, self.capture = work, 0, Capture()

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        def work() -> Sequence[torch.Tensor | None]:
            self.times += 1
            return self.work(*inputs)

        with torch.no_grad():
            (result,) = self.capture(inputs, work)
        assert result is not None
        return result


def test_work_is_done_in_python_three_times() -> None:
    counted = Counted(lambda x: [x * 2])
    for number in range(6):
        assert torch.equal(counted(X + number), (X + number) * 2)
    assert counted.times == 3
    assert counted.capture.replay is not None


def test_nan_is_the_same_number_each_time() -> None:
    counted = Counted(lambda x: [torch.where(x > 0, x, float("nan"))])
    for number in range(5):
        torch.testing.assert_close(
            counted(X + number), torch.where(X + number > 0, X + number, torch.nan), equal_nan=True
        )
    assert counted.times == 3


def test_work_that_is_another_each_time_stays_in_python() -> None:
    numbers = iter(range(10))
    counted = Counted(lambda x: [x * next(numbers)])
    assert [float(counted(torch.ones(1))) for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    assert counted.capture.replay is None


def test_so_does_work_with_tensors_that_python_makes() -> None:
    counted = Counted(lambda x: [x + torch.from_numpy(x.numpy() * 2)])
    for number in range(6):
        assert torch.equal(counted(X + number), (X + number) * 3)
    assert counted.times == 6


def test_other_shapes_end_a_capture() -> None:
    counted = Counted(lambda x: [x.reshape(-1) * len(x)])
    for _ in range(4):
        counted(X)
    assert torch.equal(counted(Y), Y.reshape(-1) * 4)
    assert torch.equal(counted(X), X.reshape(-1) * 3)
    assert counted.times == 5


def test_an_error_is_that_of_the_work() -> None:
    def work(x: torch.Tensor, at: torch.Tensor) -> Sequence[torch.Tensor]:
        try:
            return [x.gather(1, at)]
        except RuntimeError as error:
            raise ValueError("there is no such column") from error

    counted, sound = Counted(work), torch.tensor([[0], [3], [1]])
    for _ in range(4):
        assert torch.equal(counted(X, sound), X.gather(1, sound))
    assert counted.times == 3
    with pytest.raises(ValueError, match="no such column"):
        counted(X, sound + 4)
    assert torch.equal(counted(X, sound), X.gather(1, sound))


def test_the_executors_own_setting_is_left_alone() -> None:
    for optimizes in (True, False):
        torch._C._set_graph_executor_optimize(optimizes)
        try:
            replay_of(lambda x: [x + 1], X)([Y])
            assert torch._C._get_graph_executor_optimize() == optimizes
        finally:
            torch._C._set_graph_executor_optimize(True)


# -- nets -------------------------------------------------------------------------------------------------------------

FILLED = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.2 max: 0.2 }'
INPUTS = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 40 dim: 3 dim: 9 dim: 8 } shape { dim: 40 } } }
"""
END = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }\n'
CLASSES = f"inner_product_param {{ num_output: 5 {FILLED} }}"
NETS = {
    "one layer": f'layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "score" {CLASSES} }}',
    "two layers": f"""
        layer {{ name: "h" type: "InnerProduct" bottom: "x" top: "h" {CLASSES} }}
        layer {{ name: "relu" type: "ReLU" bottom: "h" top: "h" }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "h" top: "score" {CLASSES} }}""",
    "without biases": """
        layer { name: "h" type: "InnerProduct" bottom: "x" top: "h"
          inner_product_param { num_output: 6 bias_term: false weight_filler { type: "xavier" } } }
        layer { name: "ip" type: "InnerProduct" bottom: "h" top: "score"
          inner_product_param { num_output: 5 bias_term: false transpose: true weight_filler { type: "xavier" } } }""",
    "convolution": f"""
        layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
          convolution_param {{ num_output: 4 kernel_size: 3 {FILLED} }} }}
        layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ kernel_size: 3 stride: 2 }} }}
        layer {{ name: "relu" type: "ReLU" bottom: "p" top: "p" }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "p" top: "score" {CLASSES} }}""",
    "branches": f"""
        layer {{ name: "a" type: "Convolution" bottom: "x" top: "a"
          convolution_param {{ num_output: 4 kernel_size: 1 {FILLED} }} }}
        layer {{ name: "b" type: "Convolution" bottom: "x" top: "b"
          convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLED} }} }}
        layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "s" }}
        layer {{ name: "all" type: "Concat" bottom: "a" bottom: "s" top: "all" }}
        layer {{ name: "ave" type: "Pooling" bottom: "all" top: "p"
          pooling_param {{ pool: AVE kernel_size: 3 stride: 3 }} }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "p" top: "score" {CLASSES} }}""",
    "chance": f"""
        layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
          convolution_param {{ num_output: 4 kernel_size: 3 {FILLED} }} }}
        layer {{ name: "lrn" type: "LRN" bottom: "c" top: "n" }}
        layer {{ name: "d" type: "Dropout" bottom: "n" top: "n" }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "n" top: "i" {CLASSES} }}
        layer {{ name: "e" type: "Dropout" bottom: "i" top: "score" dropout_param {{ dropout_ratio: 0.2 }} }}""",
    "statistics": f"""
        layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
          convolution_param {{ num_output: 4 kernel_size: 3 {FILLED} }} }}
        layer {{ name: "bn" type: "BatchNorm" bottom: "c" top: "c" }}
        layer {{ name: "scale" type: "Scale" bottom: "c" top: "c" scale_param {{ bias_term: true }} }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "c" top: "score" {CLASSES} }}""",
    "a shared weight": """
        layer { name: "h" type: "InnerProduct" bottom: "x" top: "h" param { name: "w" } param { name: "b" }
          inner_product_param { num_output: 8 axis: 3 weight_filler { type: "xavier" } } }
        layer { name: "i" type: "InnerProduct" bottom: "h" top: "i" param { name: "w" } param { name: "b" }
          inner_product_param { num_output: 8 axis: 3 weight_filler { type: "xavier" } } }
        layer { name: "ip" type: "InnerProduct" bottom: "i" top: "score"
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }""",
}


def batch(net: Net, number: int) -> None:
    chance = np.random.default_rng(number)
    net.blobs["x"].data[...] = chance.standard_normal(net.blobs["x"].shape)
    net.blobs["label"].data[...] = chance.integers(0, 5, 40)


def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Capture, "__call__", lambda self, inputs, work: work())


@pytest.mark.parametrize("name", NETS)
def test_a_net_computes_the_same_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = net_of(INPUTS + NETS[name] + END), net_of(INPUTS + NETS[name] + END)
    found: list[list[Any]] = []
    for net in (first, second):
        values: list[Any] = []
        for number in range(5):
            batch(net, number)
            if number != 3:  # then gradients add up
                net.clear_gradients()
            values.append(float(net.forward_backward()))
            values += [each.copy() for parameter in net.parameters for each in (parameter.data, parameter.diff)]
            values.append(net.output_values())
        assert net.run.position == 5
        found.append(values)
        in_python(monkeypatch)
    assert first.fast_plan.captured is not None
    assert first.fast_plan.captured.settled
    assert second.fast_plan.captured is not None
    assert not second.fast_plan.captured.settled
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_equal(mine, theirs)


@pytest.mark.parametrize("name", NETS)
def test_what_is_lent_is_not_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lend(monkeypatch)
    found: list[list[Any]] = []
    for _ in range(2):
        net, values, losses = net_of(INPUTS + NETS[name] + END), list[Any](), list[torch.Tensor]()
        for number in range(8):
            batch(net, number)
            if number not in (4, 6):  # then gradients add up
                net.clear_gradients()
            losses.append(net.forward_backward())
            values += [each.copy() for parameter in net.parameters for each in (parameter.data, parameter.diff)]
            values.append(net.output_values())
        found.append([*values, *map(float, losses)])
        in_python(monkeypatch)
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_equal(mine, theirs)


ACCURACY = 'layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" }\n'


def expect_the_same_test(text: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """A test of a net is, captured, what it is in Python."""
    found = []
    for _ in range(2):
        net, values = net_of(text + END + ACCURACY, TEST, **options), []
        for number in range(6):
            batch(net, number)
            net.forward()
            values.append(net.output_values())
        found.append(values)
        in_python(monkeypatch)
    assert found[0] == found[1]
    assert len({str(values) for values in found[0]}) == 6


@pytest.mark.parametrize("name", NETS)
def test_so_does_a_test(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_the_same_test(INPUTS + NETS[name], monkeypatch)


LABELLED = """
layer { name: "in" type: "HDF5Data" top: "x" top: "label" hdf5_data_param { source: "list.txt" batch_size: 4 } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "score"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def labelled(bad: int | None = None) -> Net:
    """A net in TEST that reads 40 records; the label of one may be none."""
    chance = np.random.default_rng(5)
    labels = chance.integers(0, 3, 40).astype("f4")
    if bad is not None:
        labels[bad] = 7
    with h5py.File("data.h5", "w") as file:
        file["x"], file["label"] = chance.standard_normal((40, 6)).astype("f4"), labels
    Path("list.txt").write_text("data.h5\n")
    return net_of(LABELLED + END + ACCURACY, TEST)


@pytest.mark.parametrize("lends", [False, True])
def test_passes_that_are_begun_at_once_are_the_same(
    lends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if lends:
        lend(monkeypatch)
    several, alone, made = labelled(), labelled(), list[list[float]]()
    while len(made) < 31:
        count = several.ahead(31 - len(made))
        assert count == (1 if len(made) < 3 else min(8, 31 - len(made)))
        made += [[value.item() for value in row] for row in several.forwards(count)]
    for row in made:
        loss = float(alone.forward())
        assert row == [loss, *(values[0] for _, _, values in alone.output_values())]
    assert several.output_values() == alone.output_values()
    assert several.run.position == alone.run.position
    assert [layer.consumed for _, layer in several.sources()] == [layer.consumed for _, layer in alone.sources()]


def test_data_that_cannot_be_read_ends_passes_where_it_is_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = labelled()
    (_, source), *_ = net.sources()
    forward = type(source).forward

    def fails(self: Any, *arguments: Any) -> Any:
        if self.consumed == 24:
            raise DataError("a record is damaged")
        return forward(self, *arguments)

    monkeypatch.setattr(type(source), "forward", fails)
    for _ in range(3):
        assert len(net.forwards(net.ahead(9))) == 1
    assert len(net.forwards(net.ahead(9))) == 3
    for _ in range(2):
        with pytest.raises(DataError, match="damaged"):
            net.forwards(net.ahead(9))
    assert (source.consumed, net.run.position) == (24, 6)


def test_a_label_that_is_no_class_is_named_in_passes_that_are_begun_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = labelled(bad=25)
    for _ in range(3):
        net.forwards(net.ahead(9))
    with pytest.raises(LayerError, match="label of sample 1 must be a class from 0 to 2, got 7"):
        net.forwards(net.ahead(9))


def test_weights_in_another_place_are_heeded() -> None:
    net = net_of(INPUTS + NETS["two layers"] + END)
    batch(net, 0)
    losses = [float(net.forward_backward()) for _ in range(5)]
    for parameter in net.parameters:
        parameter.become(torch.nn.Parameter(torch.zeros_like(parameter.tensor)))
    net.clear_gradients()
    assert len(set(losses)) == 1
    assert float(net.forward_backward()) == pytest.approx(np.log(5), rel=1e-6)


def test_a_label_that_is_no_class_is_named_after_many_passes() -> None:
    net = net_of(INPUTS + NETS["one layer"] + END)
    batch(net, 0)
    for _ in range(5):
        net.forward_backward()
    net.blobs["label"].data[7] = 5
    with pytest.raises(LayerError, match="label of sample 7 must be a class from 0 to 4, got 5"):
        net.forward_backward()
    net.blobs["label"].data[7] = 4
    assert np.isfinite(float(net.forward_backward()))


CAPTURABLE = [name for name in layers.names() if layers[name].capturable]


@pytest.mark.parametrize("name", CAPTURABLE)
def test_layers_that_say_they_do_the_same_each_time_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = layers[name]
    message = prototxt.loads(inspect.cleandoc(kind.example), NetParameter).message
    message.force_backward = bool(kind.ungraded != frozenset({0, 1}))
    message.layer[-1].loss_weight[:] = [0.5] * len(message.layer[-1].top)
    first, second = (net_of(text_format.MessageToString(message)) for _ in range(2))
    found: list[list[Any]] = []
    for net in (first, second):
        values: list[Any] = []
        for number in range(5):
            chance = np.random.default_rng(number)
            for blob in net.input_values:
                shape = net.blobs[blob].shape
                net.blobs[blob].data[...] = chance.integers(0, 2, shape) if blob == "label" else chance.random(shape)
            net.clear_gradients()
            values.append(float(net.forward_backward() if message.force_backward else net.forward()))
            values += [parameter.diff.copy() for parameter in net.parameters]
            values.append(net.output_values())
        found.append(values)
        in_python(monkeypatch)
    captured = first.fast_plan.captured
    assert captured is not None
    assert captured.settled or not message.force_backward
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_equal(mine, theirs)


def test_what_is_said_of_a_forward_is_not_said_of_another() -> None:
    class Other(Softmax):
        def forward(self, run: Any, bottoms: Any, weights: Any) -> Any:
            return super().forward(run, bottoms, weights)

    net = net_of(INPUTS + 'layer { name: "s" type: "Softmax" bottom: "x" top: "y" }')
    assert net.fast_plan.captured is not None
    net.graph.nodes[-1].layer.__class__ = Other
    net.replan()
    assert net.fast_plan.captured is None


@pytest.mark.parametrize(
    "layer",
    [
        'layer { name: "d" type: "Insanity" bottom: "h" top: "h" }',
        'layer { name: "d" type: "Python" bottom: "h" top: "h" python_param { module: "m" layer: "L" } }',
        'layer { name: "d" type: "BatchNorm" bottom: "h" top: "h" batch_norm_param { scale_bias: true } }',
    ],
    ids=["chance in a layer", "code of somebody's", "a first batch that counts otherwise"],
)
def test_nets_are_not_captured_with(layer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    code = "import caffelite as caffe\nclass L(caffe.Layer):\n"
    code += "".join(f"    def {name}(self, *a): pass\n" for name in ("setup", "backward"))
    code += "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
    code += "    def forward(self, bottom, top): top[0].data[...] = bottom[0].data\n"
    (tmp_path / "m.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    between = NETS["two layers"].replace('layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }', layer)
    assert net_of(INPUTS + between + END).fast_plan.captured is None


# -- rows put into one another ----------------------------------------------------------------------------------------


def row_of(work: Work, *inputs: torch.Tensor, numbers: Sequence[float] = ()) -> Row:
    with torch.no_grad(), Recorder(inputs, numbers) as recorder:
        results = work(*inputs)
    row = recorder.row(results)
    assert row is not None
    return row


def names(row: Row) -> list[str]:
    return [operator.overload._schema.name.removeprefix("aten::") for operator in row.operators]


def test_numbers_are_other_ones_each_time() -> None:
    row = row_of(lambda x: [x * 0.123 + 2, x.clamp(0.123, 0.321)], X, numbers=(0.123, 0.321))
    replay = function(row, 1, 2)
    assert replay is not None
    first, second = replay([X], (3.0, 4.0))
    assert torch.equal(first, X * 3 + 2)
    assert torch.equal(second, X.clamp(3, 4))


def test_an_update_comes_as_soon_as_nobody_reads_what_it_changes() -> None:
    def backward(x: torch.Tensor, w: torch.Tensor) -> Sequence[torch.Tensor]:
        gradient = x.t() @ x
        turned = w.t()
        below = x @ turned  # reads the weight after its gradient is there
        return [gradient, below.sigmoid()]

    x, weight = torch.eye(3) * 2, torch.arange(9.0).reshape(3, 3)
    row = row_of(backward, x, weight)
    update = row_of(lambda w, g, h: [h.mul_(0.123).add_(g), w.sub_(h)][:0], weight, X[:, :3], Y[:3], numbers=(0.123,))
    (gradient, _), given = row.results, row_of(lambda a, w: [w], x, weight).results
    whole = spliced(row, [Insertion(update, [*given, gradient, Given(2)], 0)])
    assert names(whole) == ["t", "mm", "t", "mm", "mul_", "add_", "sub_", "sigmoid"]
    replay, history = function(whole, 3, 1), torch.ones(3, 3)
    assert replay is not None
    w = weight.clone()
    results = replay([x, w, history], (0.5,))
    assert torch.equal(results[1], (x @ weight.t()).sigmoid())
    assert torch.equal(history, 0.5 + x.t() @ x)
    assert torch.equal(w, weight - history)


def test_several_updates_keep_their_own_numbers_and_results() -> None:
    row = row_of(lambda x, y: [x * 2, y * 3], X, Y)
    part = row_of(lambda into, g: [into.add_(g * 0.123 + 1)][:0], X.clone(), X, numbers=(0.123,))
    insertions = [Insertion(part, [Given(2 + index), made], index) for index, made in enumerate(row.results)]
    replay = function(spliced(row, insertions), 4, 2)
    assert replay is not None
    first, second = torch.zeros(3, 4), torch.zeros(4, 3)
    replay([X, Y, first, second], (10.0, 100.0))
    assert torch.equal(first, X * 2 * 10 + 1)
    assert torch.equal(second, Y * 3 * 100 + 1)


VIEWED = """
layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 12 } } }
layer { name: "a" type: "InnerProduct" bottom: "y" top: "a" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "a" }
layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 6 bias_term: false } }
layer { name: "loss" type: "Reduction" bottom: "b" top: "loss" loss_weight: 1 }
"""


def test_a_gradient_in_another_shape_is_not_its_parameters_own() -> None:
    """Only the layer that looks at the weight in a shape of its own, 6×6 instead of 3×12, learns."""
    net = net_of(VIEWED)
    for _ in range(5):
        net.forward_backward()
    captured = net.fast_plan.captured
    assert captured is not None
    assert captured.settled
    assert len(captured.learned) == len(net.parameters) == 1
    assert captured.places() is None
    assert net.parameters[0].diff.shape == (3, 12)
