"""Arrays of a net, held, written and dropped at any time, against a model of the original's memory.

The model keeps each blob's data and gradient in one NumPy array, as Caffe does on a CPU, and computes in that memory:
what is written between a forward and its backward takes part in the backward.  (Not so where a layer keeps a copy of
its bottom in another order of memory: an InnerProduct above values in channels_last order.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffelite.errors import UsageError
from caffelite.proto import TEST
from caffelite.solver.rule import Rule

from ..nets import net_of
from ..solver.fakes import settings as solver_settings

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 2 dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" param { name: "w" } param { name: "cb" }
  convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z" inner_product_param { num_output: 2 } }
layer { name: "mix" type: "InnerProduct" bottom: "z" top: "q" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 2 bias_term: false } }
"""
"""A weight of shape 2x2x1x1 that another layer uses as 2x2; 4-d values, so the net computes in channels_last order."""

LEARNED = {"conv/0": (2, 2, 1, 1), "conv/1": (2,), "ip/0": (2, 12), "ip/1": (2,)}
BLOBS = {"x": (2, 2, 3), "y": (2, 2, 3), "z": (2,), "q": (2,)}


class Model:
    """The same net in the original's memory: name → [data, diff]."""

    def __init__(self, batch: int) -> None:
        self.memory = {name: [np.zeros(shape), np.zeros(shape)] for name, shape in LEARNED.items()}
        self.history = {name: np.zeros(shape) for name, shape in LEARNED.items()}
        self.batch(batch)

    def batch(self, count: int) -> None:
        self.memory |= {name: [np.zeros((count, *shape)), np.zeros((count, *shape))] for name, shape in BLOBS.items()}
        self.memory["mix/0"] = [part.reshape(2, 2) for part in self.memory["conv/0"]]

    def forward(self) -> None:
        data = {name: parts[0] for name, parts in self.memory.items()}
        y = np.einsum("nchw,oc->nohw", data["x"], data["mix/0"]) + data["conv/1"][:, None, None]
        data["y"][...] = np.maximum(y, 0)
        data["z"][...] = data["y"].reshape(len(y), -1) @ data["ip/0"].T + data["ip/1"]
        data["q"][...] = data["z"] @ data["mix/0"].T

    def backward(self) -> None:
        data = {name: parts[0] for name, parts in self.memory.items()}
        diff = {name: parts[1] for name, parts in self.memory.items()}
        diff["mix/0"] += diff["q"].T @ data["z"]
        diff["z"][...] = diff["q"] @ data["mix/0"]
        diff["ip/0"] += diff["z"].T @ data["y"].reshape(len(data["y"]), -1)
        diff["ip/1"] += diff["z"].sum(0)
        diff["y"][...] = (diff["z"] @ data["ip/0"]).reshape(data["y"].shape) * (data["y"] > 0)
        diff["mix/0"] += np.einsum("nohw,nchw->oc", diff["y"], data["x"])
        diff["conv/1"] += diff["y"].sum((0, 2, 3))
        diff["x"][...] = np.einsum("nohw,oc->nchw", diff["y"], data["mix/0"])

    def update(self, rate: float, momentum: float) -> None:
        for name, history in self.history.items():
            data, diff = self.memory[name]
            history[...] = momentum * history + rate * diff
            diff[...] = history
            data -= history


class Pair:
    """The net and the model, side by side."""

    def __init__(self) -> None:
        self.net = net_of(NET, observed=True)
        self.rule = Rule(solver_settings(momentum=0.5, base_lr=0.1), self.net.parameters)
        self.model = Model(3)
        self.generator = np.random.default_rng(1)
        self.held: list[Any] = []

    def array(self, name: str, part: int) -> np.ndarray:
        layer, _, slot = name.partition("/")
        blob = self.net.params[layer][int(slot)] if slot else self.net.blobs[name]
        array: np.ndarray = blob.diff if part else blob.data
        return array

    def write(self, name: str, part: int, how: str) -> None:
        array = self.array(name, part)
        model = self.model.memory[name][part]
        flat = self.generator.uniform(-1, 1, model.size)
        if how == "held":
            self.held.append(array)
        if how == "row":
            array = array[0:1]
            self.held.append(array)
            model, flat = model[0:1], flat[: array.size]
        array.reshape(-1)[...] = flat
        model.reshape(-1)[...] = flat

    def compare(self) -> None:
        for name, parts in self.model.memory.items():
            for part, wanted in enumerate(parts):
                got = self.array(name, part)
                assert got.flags.c_contiguous
                assert got.dtype == np.float32
                np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4, err_msg=f"{name} {part}")

    def do(self, action: tuple[Any, ...]) -> None:
        kind, *rest = action
        if kind == "write":
            self.write(*rest)
        elif kind == "hold":
            self.held += [self.array(name, part) for name in self.model.memory for part in (0, 1)]
        elif kind == "drop":
            self.held.clear()
        elif kind == "compare":
            self.compare()
        elif kind == "forward":
            self.net.forward()
            self.model.forward()
        elif kind == "backward":
            self.net.backward()
            self.model.backward()
        elif kind == "clear":
            self.net.clear_gradients()
            for name in LEARNED:
                self.model.memory[name][1][...] = 0
        elif kind == "update":
            self.net.pull()
            self.rule.apply(0.1, 0)
            self.net.push()
            self.model.update(0.1, 0.5)
        elif kind == "reshape":
            self.reshape(*rest)

    def reshape(self, count: int) -> None:
        self.held.clear()  # as in the original, arrays of another shape have nothing to do with the net any more
        self.net.blobs["x"].reshape(count, *BLOBS["x"])
        self.net.reshape()
        self.model.batch(count)
        for name in BLOBS:
            for part in (0, 1):
                self.write(name, part, "temporary")
        self.do(("forward",))


LOOKS = st.sampled_from([("hold",), ("drop",), ("compare",), ("hold",)])


def writes(*names: str, parts: tuple[int, ...] = (0, 1)) -> st.SearchStrategy[tuple[Any, ...]]:
    ways = st.sampled_from(["temporary", "held", "row"])
    return st.tuples(st.just("write"), st.sampled_from(names), st.sampled_from(parts), ways)


@st.composite
def rounds(draw: Any, between: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """A forward, mostly a backward, sometimes an update, and writes and looks between them all."""
    anywhere = st.lists(st.one_of(LOOKS, writes(*LEARNED, "mix/0"), writes(*BLOBS)), max_size=3)
    activations = st.one_of(writes(*between, parts=(0,)), writes(*between))
    halfway = st.lists(st.one_of(LOOKS, activations, writes(*LEARNED, "mix/0"), writes("q", parts=(1,))), max_size=4)
    actions = [*draw(anywhere), ("forward",)]
    for then in draw(st.sampled_from([["backward"], ["backward"], ["backward", "update", "clear"], ["clear"], []])):
        actions += [*draw(halfway if then == "backward" else anywhere), (then,)]
    if draw(st.integers(0, 4)) == 0:
        actions.append(("reshape", draw(st.integers(1, 4))))
    return actions


def play(played: list[list[tuple[Any, ...]]]) -> None:
    pair = Pair()
    for name in [*LEARNED, "x", "q"]:
        pair.write(name, int(name == "q"), "temporary")
    for actions in played:
        for action in actions:
            pair.do(action)
    pair.compare()


@settings(max_examples=60, deadline=None)
@given(played=st.lists(rounds(("x", "z", "q")), min_size=1, max_size=4))
def test_arrays_act_as_the_originals_memory_whenever_they_are_written(played):
    play(played)


@settings(max_examples=60, deadline=None)
@given(played=st.lists(rounds(("x", "y", "z", "q")), min_size=1, max_size=4))
def test_and_do_so_in_plain_memory_order(played):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caffelite.runtime.device.channels_last", lambda types, device, rounds: False)
        play(played)


IDENTITIES = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "power" type: "Power" bottom: "x" top: "a" }
layer { name: "drop" type: "Dropout" bottom: "a" top: "b" }
layer { name: "concat" type: "Concat" bottom: "b" top: "c" }
layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "x" top: "s" }
"""


def test_blobs_that_hold_the_same_values_are_arrays_of_their_own():
    net = net_of(IDENTITIES, TEST, observed=True)
    net.blobs["x"].data[...] = 1
    net.blobs["s"].diff[...] = 1
    net.forward()
    net.backward()
    for part in ("data", "diff"):
        for name in ("s", "c", "b", "a"):
            getattr(net.blobs[name], part)[...] = 5
        getattr(net.blobs["s"], part)[...] = 7
        assert [float(getattr(net.blobs[name], part).max()) for name in ("c", "b", "a")] == [5, 5, 5]
    assert net.blobs["x"].data.max() == 1


def test_a_blob_that_gets_smaller_keeps_its_first_values():
    net = net_of(IDENTITIES, TEST, observed=True)
    net.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    net.blobs["x"].reshape(1, 3)
    assert net.blobs["x"].data.tolist() == [[1, 2, 3]]
    net.forward()
    assert net.blobs["s"].data.tolist() == [[2, 4, 6]]


@pytest.mark.parametrize("name, slot", [("conv", 0), ("mix", 0)])
def test_a_weight_keeps_the_shape_its_layer_gave_it(name, slot):
    weight = Pair().net.params[name][slot]
    weight.reshape(*weight.shape)
    with pytest.raises(UsageError, match="cannot take shape"):
        weight.reshape(4)
