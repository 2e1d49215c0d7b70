"""Settings: which net, which tests, defaults, and every fault at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from caffelite.errors import Place, SettingsError
from caffelite.proto import NetParameter, NetState, SolverParameter
from caffelite.solver import Settings
from caffelite.solver.tracker import Watched

from .fakes import settings

SEARCH_FIELDS = ("history_size", "max_evaluations")


def faults(**fields: object) -> list[str]:
    """The messages of everything wrong with these settings."""
    with pytest.raises(SettingsError) as caught:
        settings(**fields)
    return [fault.message for fault in caught.value.faults]


def warnings(**fields: object) -> list[str]:
    """The messages of everything odd about these settings."""
    return [warning.message for warning in settings(**fields).warnings]


def test_all_faults_come_in_one_report() -> None:
    message = SolverParameter(
        net="a", train_net="b", lr_policy="stepp", type="Adm", iter_size=0, max_iter=-1, average_loss=0, momentum=9
    )
    with pytest.raises(SettingsError) as caught:
        Settings.from_message(message)
    assert str(caught.value).splitlines() == [
        "more than one train net: net and train_net are set",
        "  help: keep one of them",
        "max_iter must be at least 0, got -1",
        "iter_size must be at least 1, got 0",
        "  help: leave iter_size out to use 1",
        "average_loss must be at least 1, got 0",
        "  help: leave average_loss out to use 1",
        'unknown lr_policy "stepp"',
        "  help: did you mean step?",
        'unknown solver type "Adm"',
        "  help: did you mean Adam?",
    ]


def test_without_a_rate_nothing_is_learned_and_the_original_runs_all_the_same() -> None:
    assert "base_lr is not set: nothing would be learned" in [
        warning.message
        for warning in Settings.from_message(SolverParameter(net="a", lr_policy="fixed", max_iter=1)).warnings
    ]
    rates = {"stagelr": [0.1], "stageiter": [5]}
    chosen = Settings.from_message(SolverParameter(net="a", lr_policy="multifixed", max_iter=1, **rates))
    assert not chosen.warnings


def test_a_fault_stands_where_its_field_stands() -> None:
    message = SolverParameter(net="a", base_lr=0.1, lr_policy="fixed", max_iter=1, momentum=9)
    with pytest.raises(SettingsError, match=r"^s\.prototxt:4:1: momentum must be at least 0 and below 1, got 9$"):
        Settings.from_message(message, lambda field: Place("s.prototxt", 4, 1) if field == "momentum" else None)


TESTED = {"test_iter": [1, 0], "test_interval": 1, "snapshot_prefix": "x"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"lr_policy": "step", "gamma": 0.5}, "stepsize must be above 0 with lr_policy step, and is not set"),
        ({"lr_policy": "sigmoid", "stepsize": 5, "gamma": -1}, "gamma must be at least 0, got -1"),
        ({"lr_policy": "sigmoid", "gamma": 1}, "stepsize must be above 0 with lr_policy sigmoid, and is not set"),
        ({"lr_policy": "poly", "power": 1, "max_iter": 0}, "max_iter must be above 0 with lr_policy poly, got 0"),
        ({"momentum": -0.5}, "momentum must be at least 0 and below 1, got -0.5"),
        ({"type": "AdaGrad", "momentum": 0.5}, "momentum cannot be used with AdaGrad, got 0.5"),
        ({"type": "RMSProp", "momentum": 0.5}, "momentum cannot be used with RMSProp, got 0.5"),
        ({"type": "RMSProp", "rms_decay": 1}, "rms_decay must be at least 0 and below 1, got 1"),
        ({"type": "Adam", "momentum2": 1}, "momentum2 must be at least 0 and below 1, got 1"),
        ({"type": "Adam", "delta": -1}, "delta must be at least 0, got -1"),
        ({"type": "AdamW", "momentum2": 1}, "momentum2 must be at least 0 and below 1, got 1"),
        (
            {"type": "AdamW", "weight_decay": 0.1, "regularization_type": "L1"},
            "regularization_type L1 cannot be used with AdamW",
        ),
        (
            {"type": "LBFGS", "weight_decay": 0.1, "regularization_type": "L1"},
            "regularization_type L1 cannot be used with LBFGS",
        ),
        ({"type": "LBFGS", "momentum": 0.5}, "momentum cannot be used with LBFGS, got 0.5"),
        ({"type": "LBFGS", "clip_gradients": 5}, "clip_gradients cannot be used with LBFGS, got 5"),
        ({"type": "LBFGS", "history_size": 0}, "history_size must be at least 1, got 0"),
        ({"type": "LBFGS", "max_evaluations": 1}, "max_evaluations must be at least 2, got 1"),
        ({"type": "LBFGS", "base_lr": -1}, "base_lr must be at least 0 with LBFGS, got -1"),
        (
            {"type": "ConjugateGradient", "momentum": 0.5},
            "momentum cannot be used with ConjugateGradient, got 0.5",
        ),
        (
            {"type": "ConjugateGradient", "clip_gradients": 5},
            "clip_gradients cannot be used with ConjugateGradient, got 5",
        ),
        ({"type": "sgd"}, 'unknown solver type "sgd"'),
        ({"weight_decay": 1, "regularization_type": "L3"}, 'unknown regularization_type "L3"'),
        ({"snapshot": -1}, "snapshot must be at least 0, got -1"),
        ({"snapshot": 1}, "snapshot is set, and snapshot_prefix is not"),
        ({"display": -1}, "display must be at least 0, got -1"),
        ({"weights": ["a,,b"]}, "weights names no file"),
        (
            {"test_iter": [1], "test_interval": 0},
            "test_interval must be above 0 when there are test nets, got 0",
        ),
        (
            {"test_net": ["a", "b"], "test_iter": [1], "test_interval": 1},
            "test_iter must be given once for each test net: 1 for 2 test nets",
        ),
        (
            {"train_net": "t", "test_iter": [1], "test_interval": 1},
            "test_iter must be given once for each test net: 1 for 0 test nets",
        ),
        (
            {"test_iter": [1, 2], "test_interval": 1, "test_state": [NetState()]},
            "test_state must be left out or given once for each test net: 1 for 2 test nets",
        ),
        ({"max_epoch": 0}, "max_epoch must be above 0, and finite, got 0"),
        ({"max_epoch": float("nan")}, "max_epoch must be above 0, and finite, got nan"),
        ({"max_epoch": 2, "max_iter": 0}, "max_iter 0 leaves nothing to train of max_epoch"),
        ({"lr_policy": "cosine", "max_iter": 0}, "max_iter must be above 0 with lr_policy cosine, got 0"),
        ({"rampup_interval": -1}, "rampup_interval must be at least 0, got -1"),
        ({"rampup_interval": 2, "rampup_lr": -1}, "rampup_lr must be at least 0, got -1"),
        ({"min_lr": -1}, "min_lr must be at least 0, got -1"),
        ({"lr_policy": "plateau", "gamma": 0.1}, "lr_policy plateau reads plateau, which is not set"),
        (
            {"early_stop": {}, "snapshot_prefix": "x"},
            "early_stop watches a test output, and there are no test nets",
        ),
        (TESTED | {"early_stop": {}, "snapshot_prefix": None}, "early_stop is set, and snapshot_prefix is not"),
        (TESTED | {"early_stop": {"test_net": 2}}, "early_stop: there is no test net #2, the last one is #1"),
        (TESTED | {"early_stop": {"test_net": 1}}, "early_stop watches test net #1, which is tested on no batch"),
        (TESTED | {"early_stop": {"patience": 0}}, "early_stop: patience must be at least 1, got 0"),
        (TESTED | {"early_stop": {"min_delta": -0.5}}, "early_stop: min_delta must be at least 0, got -0.5"),
        (
            TESTED | {"lr_policy": "plateau", "gamma": 0.1, "plateau": {"patience": 0}},
            "plateau: patience must be at least 1, got 0",
        ),
    ],
)
def test_fault(fields: dict[str, object], expected: str) -> None:
    assert faults(**fields) == [expected]


@pytest.mark.parametrize("policy", ["fixed", "poly", "cosine"])
def test_with_max_epoch_there_need_not_be_a_max_iter(policy: str) -> None:
    fields = {"lr_policy": policy, "max_epoch": 1.5, "max_iter": None}
    got = settings(**fields | ({"power": 1} if policy == "poly" else {}))
    assert (got.max_epoch, got.max_iter, got.warnings) == (1.5, 0, ())
    assert [warning.message for warning in settings(max_iter=None).warnings] == [
        "max_iter is not set: there is nothing to train"
    ]


def test_faults_of_what_is_watched_stand_at_their_fields() -> None:
    fields = {"lr_policy": "plateau", "gamma": 1, "test_iter": [0], "test_interval": 1}
    message = SolverParameter(net="a", base_lr=0.1, max_iter=1, plateau={"patience": 0, "min_delta": -1}, **fields)
    with pytest.raises(SettingsError) as caught:
        Settings.from_message(message, lambda field: Place(field))
    assert [str(fault.place) for fault in caught.value.faults] == [
        "test_iter[0]",
        "plateau.patience",
        "plateau.min_delta",
    ]


def test_what_is_watched_is_as_written_until_the_nets_are_known() -> None:
    got = settings(
        early_stop={"output": "acc", "mode": "MIN", "test_net": 0, "patience": 3, "min_delta": 0.5}, **TESTED
    )
    assert got.early_stop == Watched("acc", False, 0, 3, 0.5)
    assert settings(early_stop={"mode": "MAX"}, **TESTED).early_stop == Watched(None, True, 0, 10, 0.0)
    assert settings(early_stop={}, **TESTED).early_stop == Watched(None, None, 0, 10, 0.0)
    assert settings().early_stop is settings().plateau is settings(plateau={}).plateau is None


def test_no_net_and_no_policy() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_message(SolverParameter(base_lr=1))
    assert [fault.message for fault in caught.value.faults] == [
        "no train net: none of net, net_param, train_net, train_net_param is set",
        "lr_policy is not set",
    ]


def test_a_missing_snapshot_folder_is_found_before_training(tmp_path: Path) -> None:
    prefix = f"{tmp_path}/nowhere/x"
    assert faults(snapshot=1, snapshot_prefix=prefix) == [
        f"snapshots cannot be written: there is no folder {tmp_path}/nowhere"
    ]
    assert settings(snapshot=0, snapshot_prefix=prefix).snapshot_prefix == prefix


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"gamma": 0.5}, ["gamma has no effect with lr_policy fixed"]),
        (
            {"lr_policy": "exp", "gamma": 1, "stepsize": 5, "stepvalue": [1]},
            ["stepsize has no effect with lr_policy exp", "stepvalue has no effect with lr_policy exp"],
        ),
        ({"lr_policy": "inv", "gamma": 0.5}, ["lr_policy inv reads power, which is not set"]),
        ({"lr_policy": "multistep", "gamma": 1, "stepvalue": [5, 3]}, ["stepvalue does not ascend: [5, 3]"]),
        (
            {"momentum2": 0.9, "rms_decay": 0.5},
            ["momentum2 has no effect with type SGD", "rms_decay has no effect with type SGD"],
        ),
        ({"type": "AdaDelta"}, ["AdaDelta takes momentum as its decay rate, and it is not set (0)"]),
        ({"type": "AdaGrad", "momentum": 0}, []),
        ({"type": "LBFGS", "base_lr": 1, "clip_gradients": -1, "momentum": 0}, []),
        (
            {"type": "LBFGS", "base_lr": 0.01},
            ["base_lr is small for LBFGS: it tries so small a part of each step first"],
        ),
        ({"type": "LBFGS", "delta": 1e-6}, ["delta has no effect with type LBFGS"]),
        ({"type": "ConjugateGradient", "history_size": 5}, ["history_size has no effect with type ConjugateGradient"]),
        ({"history_size": 5, "max_evaluations": 5}, [f"{name} has no effect with type SGD" for name in SEARCH_FIELDS]),
        ({"type": "AdamW", "regularization_type": "L1"}, ["regularization_type has no effect with no weight_decay"]),
        ({"regularization_type": "L3"}, ["regularization_type has no effect with no weight_decay"]),
        ({"test_interval": 5}, ["test_interval has no effect without test nets"]),
        ({"momentum": 0.9, "weight_decay": 0.1, "regularization_type": "L1", "clip_gradients": 5}, []),
        ({"plateau": {"patience": 0}}, ["plateau has no effect with lr_policy fixed"]),
        (
            {"lr_policy": "plateau", "plateau": {}, "test_iter": [1], "test_interval": 1},
            ["lr_policy plateau reads gamma, which is not set"],
        ),
        ({"lr_policy": "cosine", "power": 1}, ["power has no effect with lr_policy cosine"]),
        ({"rampup_lr": 0.1}, ["rampup_lr has no effect with no rampup_interval"]),
        ({"rampup_lr": 0.75, "rampup_interval": 2}, ["rampup_lr is above base_lr: the rate begins with a fall"]),
        ({"rampup_interval": 10}, ["rampup_interval reaches up to max_iter: lr_policy fixed never has its say"]),
        ({"rampup_interval": 9, "rampup_lr": 0.1, "min_lr": 0.5}, []),
        ({"min_lr": 0.75}, ["min_lr is above base_lr: the rate never changes"]),
        ({"base_lr": -1}, ["base_lr is negative: the loss would rise"]),
    ],
)
def test_warning(fields: dict[str, object], expected: list[str]) -> None:
    assert warnings(**fields) == expected


def test_test_nets_come_in_the_originals_order() -> None:
    inline = NetParameter(name="inline")
    got = settings(
        test_net=["b.prototxt"],
        test_net_param=[inline],
        test_iter=[1, 2, 3, 4],
        test_interval=5,
        test_state=[NetState(stage=[name]) for name in "abcd"],
    )
    assert got.train_net == ("net", "net.prototxt")
    assert [(net.kind, net.value, list(net.state.stage), net.test_iter) for net in got.test_nets] == [
        ("test_net_param", inline, ["a"], 1),
        ("test_net", "b.prototxt", ["b"], 2),
        ("net", "net.prototxt", ["c"], 3),
        ("net", "net.prototxt", ["d"], 4),
    ]


@pytest.mark.parametrize("kind", ["net_param", "train_net_param"])
def test_inline_nets(kind: str) -> None:
    got = settings(**{kind: NetParameter(name="inline")})
    assert got.train_net.kind == kind
    assert got.train_net.value == NetParameter(name="inline")


def test_snapshot_prefix(tmp_path: Path) -> None:
    assert settings(file="runs/lenet_solver.prototxt").snapshot_prefix == "runs/lenet_solver"
    notes = settings(file="noprefix_solver.prototxt").notes
    assert [note.message for note in notes] == ["snapshot_prefix was not specified and is set to noprefix_solver"]
    folder = settings(file="runs/lenet_solver.prototxt", snapshot_prefix=str(tmp_path), snapshot=1)
    assert folder.snapshot_prefix == f"{tmp_path}/lenet_solver"
    assert settings(file="s.prototxt", snapshot_prefix="a/b").snapshot_prefix == "a/b"


def test_weights_are_split_at_commas() -> None:
    assert settings(weights=["a.caffemodel, b.caffemodel", "c"]).weights == ("a.caffemodel", "b.caffemodel", "c")


def test_defaults_are_the_schemas() -> None:
    got, message = settings(), SolverParameter()
    names = ["momentum2", "rms_decay", "delta", "regularization_type", "clip_gradients", "iter_size", "average_loss"]
    assert {name: getattr(got, name) for name in names} == {name: getattr(message, name) for name in names}


def test_checking_settings_does_not_load_torch() -> None:
    code = (
        "import sys\n"
        "from caffelite.proto import SolverParameter\n"
        "from caffelite.solver import Settings\n"
        "Settings.from_message(SolverParameter(net='a', base_lr=1, lr_policy='fixed', type='Adam', max_iter=1))\n"
        "assert 'torch._C' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
