"""--set: what it reaches, how values may be written, and what is told when it does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from caffelite.errors import PrototxtError
from caffelite.proto import NetParameter, SolverParameter
from caffelite.prototxt import Loaded, dump, loads, override

NET = """name: "n"
layer { name: "data" type: "Data" include { phase: TRAIN } top: "d" }
layer { name: "data" type: "Data" include { phase: TEST } top: "d" }
layer {
  name: "ip1"
  type: "InnerProduct"
  inner_product_param { num_output: 10 }
  param { name: "w" lr_mult: 1 }
  loss_weight: 1 loss_weight: 2
}
layer { name: "inception_3a/1x1.b" }
"""
SOLVER = 'net: "n.prototxt" base_lr: 0.1 test_iter: 10 test_iter: 20 solver_mode: CPU'


def net() -> Loaded[Any]:
    return loads(NET, NetParameter, file="n.prototxt")


def solver() -> Loaded[Any]:
    return loads(SOLVER, SolverParameter, file="s.prototxt")


SETTINGS = [
    ("base_lr=0.5", "base_lr: 0.5"),
    ("base_lr = 5e-1", "base_lr: 0.5"),
    ("test_iter=100", "test_iter: 100"),
    ("test_iter=[1,2,3]", "test_iter: [1, 2, 3]"),
    ("test_iter=[]", ""),
    ("test_iter[1]=7", "test_iter: [10, 7]"),
    ("solver_mode=GPU", "solver_mode: GPU"),
    ("solver_mode=0", "solver_mode: CPU"),
    ("snapshot_prefix=runs/a b=1", 'snapshot_prefix: "runs/a b=1"'),
    ("snapshot_prefix='x'", 'snapshot_prefix: "x"'),
    ("snapshot_prefix=", 'snapshot_prefix: ""'),
    (r"snapshot_prefix=C:\new", r'snapshot_prefix: "C:\\new"'),
    ("train_state.stage=a", 'train_state { stage: "a" }'),
    ("train_state.stage=[a, 'b']", 'train_state { stage: ["a", "b"] }'),
    ('train_state={ level: 1 stage: "x" }', 'train_state { level: 1 stage: "x" }'),
    ("net_param.layer={ name: 'a' }", "net_param { layer { name: 'a' } }"),
]


@pytest.mark.parametrize(("assignment", "text"), SETTINGS)
def test_a_setting_replaces_the_field(assignment: str, text: str) -> None:
    expected = solver().message
    field = assignment.split("=")[0].split("[")[0].split(".")[0].strip()
    expected.ClearField(field)
    expected.MergeFrom(loads(text, SolverParameter).message)
    assert override(solver(), [assignment]).message == expected


def test_a_layer_is_found_by_its_name_or_its_index() -> None:
    for path in ("layer[ip1]", "layer[2]", 'layer["ip1"]'):
        message = override(net(), [f"{path}.inner_product_param.num_output=300"]).message
        assert message.layer[2].inner_product_param.num_output == 300
        assert [layer.inner_product_param.num_output for layer in message.layer].count(300) == 1


def test_a_name_may_hold_dots_and_slashes() -> None:
    message = override(net(), ["layer[inception_3a/1x1.b].type=ReLU", "layer[ip1].param[w].lr_mult=0"]).message
    assert message.layer[3].type == "ReLU"
    assert message.layer[2].param[0].lr_mult == 0
    assert message.layer[2].param[0].name == "w"


def test_a_name_borne_by_several_layers_sets_them_all() -> None:
    message = override(net(), ["layer[data].top=[x, y]", "layer[data].include={phase: TEST stage: 'a'}"]).message
    assert [list(layer.top) for layer in message.layer[:2]] == [["x", "y"], ["x", "y"]]
    assert [list(layer.include[0].stage) for layer in message.layer[:2]] == [["a"], ["a"]]
    assert [len(layer.include) for layer in message.layer[:2]] == [1, 1]


def test_settings_apply_in_order_and_leave_the_original_alone() -> None:
    loaded = solver()
    changed = override(loaded, ["base_lr=1", "base_lr=2", "train_state={level: 3}", "train_state.level=4"])
    assert changed.message.base_lr == 2
    assert changed.message.train_state.level == 4
    assert loaded.message == solver().message
    assert override(loaded, []).message == loaded.message


def test_a_whole_block_of_a_list_can_be_replaced() -> None:
    message = override(net(), ["layer[ip1]={ name: 'new' }"]).message
    assert dump(message.layer[2]) == 'name: "new"\n'


def test_what_was_set_is_placed_at_its_setting() -> None:
    changed = override(net(), ["layer[ip1].inner_product_param.num_output=0", "layer[2].loss_weight=[1,2]"])
    before = net().places
    assert str(changed.places("layer[2].inner_product_param.num_output")) == (
        "--set 'layer[ip1].inner_product_param.num_output=0'"
    )
    assert str(changed.places("layer[2].loss_weight[1]")) == "--set 'layer[2].loss_weight=[1,2]'"
    assert changed.places("layer[2].inner_product_param") == before("layer[2].inner_product_param")
    assert changed.places("layer[0].top") == before("layer[0].top")


REFUSED = [
    ("base_lr=x", "base_lr takes a number, got x", None),
    ("base_lr=", 'no value after "=" for base_lr', None),
    ("base_lr=1 max_iter: 5", "base_lr takes one value here, got 1 max_iter: 5", None),
    ("base_lr", "this is not path=value", "write, for example, base_lr=0.1"),
    ("base_ir=1", 'unknown field "base_ir" in a solver', "did you mean base_lr?"),
    ("solver_mode=gpu_", "unknown value gpu_ for solver_mode", "did you mean GPU?"),
    ("max_iter=1.5", "max_iter takes a whole number, got 1.5", None),
    ("base_lr[0]=1", "base_lr is no list: nothing to choose with [0]", "write base_lr alone"),
    ("base_lr.x=1", "base_lr is a single value: nothing can be set inside it", None),
    ("test_iter[2]=1", "there is no test_iter[2]", "the last one is test_iter[1]"),
    ("test_iter[a]=1", "test_iter has no names to choose by", "write an index: test_iter[0]"),
    ("test_state[0].level=1", "there is no test_state[0]", "there is no test_state at all"),
    ("base_lr.=1", "base_lr. is not a field's path", "write, for example, layer[ip1].inner_product_param.num_output"),
    ("train_state={levl: 1}", 'unknown field "levl" in train_state', "did you mean level?"),
    ("train_state={level: 1", '"{" of train_state is never closed', 'add "}" at the end'),
]


def fault_of(loaded: Loaded[Any], assignment: str) -> tuple[str, str | None]:
    with pytest.raises(PrototxtError) as caught:
        override(loaded, [assignment])
    (fault,) = caught.value.faults
    assert str(fault.place) == f"--set '{assignment}'"
    return fault.message, fault.help


@pytest.mark.parametrize(("assignment", "message", "help"), REFUSED)
def test_a_setting_is_checked_as_the_file_is(assignment: str, message: str, help: str | None) -> None:
    assert fault_of(solver(), assignment) == (message, help)


REFUSED_IN_NETS = [
    ("layer[ip2].type=ReLU", 'no layer has the name "ip2"', "did you mean ip1?"),
    ("layer[zzz].type=ReLU", 'no layer has the name "zzz"', "there are: data, ip1, inception_3a/1x1.b"),
    ("layer[9].type=ReLU", "there is no layer[9]", "the last one is layer[3]"),
    ("layer.type=ReLU", "layer is a list: say which one", "write layer[data] or layer[0]"),
    ("layer[ip1].num_output=3", 'unknown field "num_output" in layer', None),
    ("layer[ip1].clip_param.min=3", "layer[2].clip_param.max has no default and must be set", None),
]


@pytest.mark.parametrize(("assignment", "message", "help"), REFUSED_IN_NETS)
def test_layers_are_looked_for_by_name(assignment: str, message: str, help: str | None) -> None:
    told = fault_of(net(), assignment)
    assert told[0] == message
    assert help is None or told[1] == help


def test_all_settings_at_fault_are_told() -> None:
    with pytest.raises(PrototxtError) as caught:
        override(solver(), ["base_lr=x", "max_iter=5", "gama=1"])
    assert str(caught.value) == (
        "--set 'base_lr=x': base_lr takes a number, got x\n"
        "--set 'gama=1': unknown field \"gama\" in a solver\n"
        "  help: did you mean gamma?"
    )


def test_an_irregular_setting_warns_and_strictly_is_an_error() -> None:
    changed = override(solver(), ["solver_mode=gpu"])
    assert changed.message.solver_mode == SolverParameter.GPU
    assert [str(fault) for fault in changed.warnings] == [
        "--set 'solver_mode=gpu': warning: gpu is read as GPU\n  help: write solver_mode: GPU"
    ]
    with pytest.raises(PrototxtError):
        override(solver(), ["solver_mode=gpu"], strict=True)


def test_a_message_from_python_can_be_set_too() -> None:
    assert override(Loaded.of(NetParameter(name="x")), ["name=y"]).message.name == "y"
