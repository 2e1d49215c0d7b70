"""Repeating a pass to find where values stop being finite: counting, moments, doubles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.net.census import Census, finite
from caffelite.net.moment import Moment
from caffelite.net.search import broken_weights, find
from caffelite.proto import TEST

from ..nets import net_of

NAN, INF = float("nan"), float("inf")


# -- counting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, 2.5], "is finite, 1 to 2.5"),
        ([3.0, 3.0], "is finite, 3"),
        ([], "is finite, none"),
        ([[1.0, 2.0], [NAN, 4.0]], "has 1 nan among 4 values, the first in sample 1, the others 1 to 4"),
        ([INF, -INF, NAN, INF], "has 1 nan, 2 inf, 1 -inf among 4 values, the first in sample 0"),
        (NAN, "is nan"),
        (2.0, "is finite, 2"),
    ],
)
def test_a_census_in_words(values: Any, text: str) -> None:
    assert str(Census.of(torch.tensor(values))) == text


def test_weights_have_no_samples() -> None:
    assert str(Census.of(torch.tensor([1.0, INF]), batch=False)) == "has 1 inf among 2 values, the others 1"


def test_finite_values_whose_sum_is_not() -> None:
    largest = torch.finfo(torch.float32).max
    assert finite([torch.full((8,), largest), None, torch.zeros(0)])
    assert finite([torch.tensor([largest, largest]), torch.tensor([-largest, -largest])])
    for odd in (NAN, INF, -INF):
        assert not finite([torch.ones(3), torch.tensor([largest, largest, odd])])
    assert not finite([torch.tensor([INF]), torch.tensor([-INF])])
    assert finite([])


# -- repeating ----------------------------------------------------------------------------------------------------

CHANCE = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "noise" type: "DummyData" top: "noise"
  dummy_data_param { shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "noise" top: "sum" }
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "h" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "h" top: "y" }
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" reduction_param { operation: SUMSQ } loss_weight: 1 }
layer { name: "mean" type: "Reduction" bottom: "h" top: "mean" loss_weight: 1 }
"""


@pytest.mark.parametrize("observed", [False, True])
def test_a_pass_from_the_same_moment_is_the_same_pass(observed: bool) -> None:
    net = net_of(CHANCE, observed=observed)
    net.blobs["x"].data[...] = np.arange(12).reshape(4, 3)
    net.forward_backward()
    moment = Moment(net, whole=True)
    first = float(net.forward_backward()), [parameter.diff.copy() for parameter in net.parameters]
    assert float(net.forward_backward()) != first[0]
    moment.put_back(net)
    again = float(net.forward_backward()), [parameter.diff.copy() for parameter in net.parameters]
    assert again[0] == first[0]
    for one, other in zip(first[1], again[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("observed", [False, True])
def test_a_double_computes_the_same_and_keeps_its_blobs_to_itself(observed: bool) -> None:
    net, twin = net_of(CHANCE, observed=observed), net_of(CHANCE, observed=observed)
    for one in (net, twin):
        one.blobs["x"].data[...] = 1
    before = [blob.data.copy() for blob in net.blobs.values()]
    double = net.double()
    assert double.run.repeating
    moment = Moment(net, whole=True)
    loss = float(double.forward_backward())
    moment.put_back(double)
    for blob, values in zip(net.blobs.values(), before, strict=True):
        np.testing.assert_array_equal(blob.data, values)
    assert net.run.position == 0
    assert float(net.forward_backward()) == loss == float(twin.forward_backward())


def test_an_array_that_somebody_holds_shows_weights_that_were_put_back() -> None:
    net = net_of(
        """
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
        layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
          convolution_param { num_output: 3 kernel_size: 2 } }
        """
    )
    held, moment = net.params["conv"][0].data, Moment(net, whole=True)  # a copy: weights are in channels_last order
    with torch.no_grad():
        net.parameters[0].tensor.add_(1)
    net.push()
    assert (held == 1).all()
    moment.put_back(net)
    assert (held == 0).all()


def test_each_pass_of_a_repetition_has_its_own_chance() -> None:
    net = net_of(
        """
        layer { name: "still" type: "DummyData" top: "still" dummy_data_param { shape { dim: 8 } } }
        layer { name: "noise" type: "DummyData" top: "noise"
          dummy_data_param { shape { dim: 8 } data_filler { type: "gaussian" } } }
        layer { name: "log" type: "Log" bottom: "noise" top: "y" log_param { shift: 1.6 } }
        layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }
        """,
        observed=True,
    )
    seen = []
    for _ in range(40):
        start = Moment(net)
        net.forward()
        seen.append((start, Census.of(net.blobs["y"].data_mirror.tensor())))
    odd = [index for index, (_, census) in enumerate(seen) if census.odd]
    at = next(index for index, before in zip(odd[1:], odd, strict=False) if index - before > 3)
    start = seen[at - 3][0]
    assert find(net, start, 3, "loss") is None
    origin = find(net, start, 4, "loss")
    assert origin is not None
    assert origin.census == seen[at][1]


def test_what_was_written_into_an_input_is_found_there() -> None:
    net = net_of(CHANCE)
    net.blobs["x"].data[2, 1] = NAN
    start = Moment(net)
    assert torch.isnan(net.forward())
    origin = find(net, start, 1, "loss")
    assert origin is not None
    assert (origin.node.name, origin.array) == ("in", 'top "x"')
    assert str(origin) == 'top "x" has 1 nan among 12 values, the first in sample 2, the others 0'


def test_the_blob_that_a_layer_reads_has_its_name_from_the_prototxt() -> None:
    net = net_of(
        """
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "log" type: "Log" bottom: "x" top: "y" }
        layer { name: "exp" type: "Exp" bottom: "x" top: "z" }
        """,
        TEST,
    )
    start = Moment(net)
    net.forward()
    assert str(find(net, start, 1, "outputs")) == (
        'top "y" has 2 -inf among 2 values, the first in sample 0; made from bottom "x" (0)'
    )
    assert find(net, start, 1, "loss") is None  # there is none


def test_the_first_weights_that_are_not_finite() -> None:
    net = net_of(CHANCE)
    assert broken_weights(net) is None
    net.params["ip"][1].data[0] = INF
    net.pull()
    assert str(broken_weights(net)) == "weight blob 1 has 1 inf among 2 values, the others 0"
