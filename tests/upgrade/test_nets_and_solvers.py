"""Input fields, BatchNorm's old params, the solver's type, and how places follow."""

from __future__ import annotations

import pytest

from caffelite import proto
from caffelite.errors import UpgradeError, nowhere
from caffelite.upgrade import upgrade_net, upgrade_solver
from caffelite.upgrade.step import moved, old_path

from .nets import asked, net


def test_input_dims_become_an_input_layer_in_front() -> None:
    dims = " ".join(f"input_dim: {size}" for size in range(1, 9))
    upgraded = upgrade_net(net(f'name: "n" input: "a" input: "b" {dims} layer {{ name: "r" }}'), asked)
    assert upgraded.message == net(
        'name: "n" layer { name: "input" type: "Input" top: "a" top: "b" input_param {'
        ' shape { dim: 1 dim: 2 dim: 3 dim: 4 } shape { dim: 5 dim: 6 dim: 7 dim: 8 } } } layer { name: "r" }'
    )
    asking = {
        "layer[0].top[1]": "input[1]",
        "layer[0].input_param.shape[1].dim[2]": "input_dim[6]",
        "layer[1].name": "layer[0].name",
        "name": "name",
    }
    assert {path: str(upgraded.places(path)) for path in asking} == asking


def test_input_shapes_win_over_input_dims() -> None:
    upgraded = upgrade_net(net('input: "a" input_shape { dim: 5 } input_dim: 1'), asked)
    assert upgraded.message == net('layer { name: "input" type: "Input" top: "a" input_param { shape { dim: 5 } } }')
    assert str(upgraded.places("layer[0].input_param.shape[0].dim[0]")) == "input_shape[0].dim[0]"
    assert [note.place.file for note in upgraded.notes if note.severity == "warning" and note.place] == ["input_dim[0]"]


def test_inputs_without_size_are_left_out() -> None:
    upgraded = upgrade_net(net('input: "a" layer { name: "r" }'))
    assert upgraded.message == net('layer { name: "r" }')
    assert [note.severity for note in upgraded.notes] == ["warning"]


@pytest.mark.parametrize("sizes", ["input_shape { dim: 1 }", "input_dim: 1 " * 7])
def test_too_few_sizes_are_refused(sizes: str) -> None:
    with pytest.raises(UpgradeError, match="2 inputs need"):
        upgrade_net(net(f'input: "a" input: "b" {sizes}'))


def test_sizes_too_many_are_warned_of() -> None:
    upgraded = upgrade_net(net('input: "a" ' + "input_dim: 1 " * 5))
    assert list(upgraded.message.layer[0].input_param.shape[0].dim) == [1, 1, 1, 1]
    assert "warning" in {note.severity for note in upgraded.notes}


def test_only_batch_norms_with_three_params_change() -> None:
    three = "param { lr_mult: 1 name: 'm' } param { } param { decay_mult: 2 }"
    zeros = "lr_mult: 0 decay_mult: 0"
    others = f'layer {{ type: "BatchNorm" param {{ }} }} layer {{ type: "LSTM" {three} }}'
    old = net(f'layer {{ type: "BatchNorm" {three} }} {others}')
    assert upgrade_net(old).message == net(
        f"layer {{ type: 'BatchNorm' param {{ name: 'm' {zeros} }} param {{ {zeros} }} param {{ {zeros} }} }}" + others
    )


SOLVERS = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


def test_every_solver_type_has_its_name_of_today() -> None:
    assert set(proto.SolverParameter.SolverType.keys()) == set(SOLVERS)
    for old, new in SOLVERS.items():
        kind = proto.SolverParameter.SolverType.Value(old)
        upgraded = upgrade_solver(proto.SolverParameter(net="n", solver_type=kind), asked)
        assert upgraded.message == proto.SolverParameter(net="n", type=new)
        assert str(upgraded.places("type")) == "solver_type"


def test_both_spellings_of_the_solver_type_are_refused_where_they_stand() -> None:
    with pytest.raises(UpgradeError, match=r"^solver_type: both"):
        upgrade_solver(proto.SolverParameter(solver_type=0, type="SGD"), asked)


def test_the_longest_renamed_beginning_counts() -> None:
    renamed = {"layer[1]": "layers[0]", "layer[1].a.b": "layers[0].c"}
    assert old_path("layer[1].a.b[3].d", renamed) == "layers[0].c[3].d"
    assert old_path("layer[1].a.x", renamed) == "layers[0].a.x"
    assert old_path("layer[12].a", renamed) == "layer[12].a"
    assert moved(nowhere, {}) is nowhere
