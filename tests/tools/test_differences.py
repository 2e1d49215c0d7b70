"""Where two nets or two sets of weights differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffelite.proto import NetParameter, SolverParameter
from caffelite.prototxt import loads
from caffelite.snapshot import LayerWeights, Weights
from caffelite.tools.differences import array_difference, differences, net_changes, weight_changes


def net(text: str) -> Any:
    return loads(text, NetParameter).message


def test_settings() -> None:
    old = loads('base_lr: 0.1 stepvalue: 3 stepvalue: 5 type: "SGD"', SolverParameter).message
    new = loads('base_lr: 0.2 stepvalue: 3 momentum: 0.9 type: "SGD"', SolverParameter).message
    assert [str(setting) for setting in differences(old, new)] == [
        "base_lr: 0.1 → 0.2",
        "stepvalue: 3, 5 → 3",
        "momentum: 0 (by default) → 0.9",
    ]
    assert not list(differences(old, old))


def test_blocks() -> None:
    old = net('layer { name: "a" param { lr_mult: 1 } param { lr_mult: 2 } lrn_param { local_size: 5 } }').layer[0]
    new = net('layer { name: "a" param { lr_mult: 0 } lrn_param { local_size: 3 } }').layer[0]
    assert [str(setting) for setting in differences(old, new)] == [
        "param[0].lr_mult: 1 → 0",
        "param[1].lr_mult: 2 → 1 (by default)",
        "lrn_param.local_size: 5 → 3",
    ]


def test_layers_are_paired_by_name() -> None:
    old = net('layer { name: "a" type: "ReLU" } layer { name: "b" type: "TanH" } layer { name: "c" type: "ReLU" }')
    new = net('layer { name: "a" type: "ReLU" } layer { name: "x" type: "ReLU" } layer { name: "c" type: "ELU" }')
    changes = [(change.name, change.what, [str(s) for s in change.settings]) for change in net_changes(old, new)]
    assert changes == [
        ("a", "same", []),
        ("b", "only in the first", []),
        ("x", "only in the second", []),
        ("c", "changed", ['type: "ReLU" → "ELU"']),
    ]


def test_layers_of_one_name_are_paired_in_their_order() -> None:
    old = net('layer { name: "a" type: "ReLU" } layer { name: "a" type: "TanH" }')
    assert [change.what for change in net_changes(old, old)] == ["same", "same"]


def test_arrays() -> None:
    largest, relative, at = array_difference(np.array([[3.0, 4.0]]), np.array([[3.0, 5.0]]))
    assert (largest, at) == (1.0, (0, 1))
    assert math.isclose(relative, 1 / 5)  # |(0, 1)| / |(3, 4)|


def test_arrays_with_values_that_are_not_finite() -> None:
    nan, inf = math.nan, math.inf
    assert array_difference(np.array([nan, inf]), np.array([nan, inf]))[0] == 0
    assert array_difference(np.array([nan]), np.array([1.0]))[0] == inf
    assert array_difference(np.array([inf]), np.array([-inf]))[0] == inf
    assert array_difference(np.zeros(0), np.zeros(0)) == (0.0, 0.0, ())


def test_weights() -> None:
    one = np.arange(6, dtype=np.float32).reshape(2, 3)
    old = Weights("", [LayerWeights("a", "", [one, one[0]]), LayerWeights("gone", "", [one])])
    new = Weights("", [LayerWeights("a", "", [one + 0.5, one[0]]), LayerWeights("b", "", [one.reshape(3, 2)])])
    found = [(c.layer, c.slot, c.shapes, c.largest, c.within(0), c.within(0.5)) for c in weight_changes(old, new)]
    assert found == [
        ("a", 0, ((2, 3), (2, 3)), 0.5, False, True),
        ("a", 1, ((3,), (3,)), 0.0, True, True),
        ("gone", 0, ((2, 3), None), 0.0, False, False),
        ("b", 0, (None, (3, 2)), 0.0, False, False),
    ]
