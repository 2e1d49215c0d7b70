"""Rules about classic mistakes: silent over nets as they are published, and over what only looks like a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.commands._files import is_solver
from caffelite.lint import Options, check

from .material import MATERIAL

REPO = Path(__file__).parents[2]
PUBLISHED = sorted((REPO / "models").rglob("*.prototxt"))

X = 'layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 4 } shape { dim: 2 } } }\n'
IP = 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }\n'
DATA = 'layer { name: "d" type: "Data" top: "x" top: "t" data_param { source: "lmdb" batch_size: 4 } }\n'
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "y" top: "n" batch_norm_param { use_global_stats: %s } }\n'
BN_LOSS = LOSS.replace('"y"', '"n"')
FILLED = IP.replace("num_output: 2", 'num_output: 2 weight_filler { type: "xavier" }')
FED = (
    'layer { name: "x" type: "DummyData" top: "x" top: "t"'
    " dummy_data_param { shape { dim: 2 dim: 4 } shape { dim: 2 } } }\n"
)
SOLVER = 'net: "net.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\nmax_iter: 1\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes(path: str, **options: object) -> list[str]:
    """The codes of classic mistakes that are more than notes."""
    report = check(path, is_solver(path), Options(stages=("",), **options))  # type: ignore[arg-type]
    return [fault.code for fault in report.faults if str(fault.code).startswith("CL6") and fault.severity != "note"]


def of_net(text: str) -> list[str]:
    Path("net.prototxt").write_text(text, encoding="utf-8")
    return mistakes("net.prototxt")


def of_solver(net: str, extra: str = "", solver: str = SOLVER) -> list[str]:
    Path("net.prototxt").write_text(net, encoding="utf-8")
    Path("solver.prototxt").write_text(solver + extra, encoding="utf-8")
    return mistakes("solver.prototxt")


@pytest.mark.parametrize("path", PUBLISHED, ids=[str(path.relative_to(REPO)) for path in PUBLISHED])
def test_published_nets_have_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    assert mistakes(str(path)) == []


def test_a_leaky_rectifier_before_a_loss(folder: Path) -> None:
    relu = 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: 0.1 } }\n'
    assert of_net(X + IP + relu + LOSS) == []


def test_a_net_that_hands_its_gradient_back_needs_no_loss(folder: Path) -> None:
    assert of_solver(FED + IP) == ["CL602"]
    assert of_solver("force_backward: true\n" + FED + IP) == []


def test_statistics_from_weights_are_used_in_training(folder: Path) -> None:
    net = FED + FILLED + BN % "true" + BN_LOSS
    assert of_solver(net) == ["CL610"]
    assert of_solver(net, 'weights: "resnet.caffemodel"\n') == []
    assert of_solver(net.replace('weight_filler { type: "xavier" }', "")) == []  # its weights must come from a file
    assert of_solver(FED + FILLED + BN % "false" + BN_LOSS) == []


def test_statistics_of_the_batch_in_tests(folder: Path) -> None:
    tests = "test_iter: 1\ntest_interval: 1\n"
    assert of_solver(FED + IP + BN % "false" + BN_LOSS, tests) == ["CL610"]
    only_there = (BN % "false").replace('"bn"', '"bn" include { phase: TRAIN }')
    assert of_solver(FED + IP + only_there + (BN % "true").replace('"bn"', '"bn" include { phase: TEST }') + BN_LOSS,
                     tests) == []  # fmt: skip


def test_rates(folder: Path) -> None:
    deep = FED + IP.replace('top: "y"', 'top: "h"') + IP.replace('"ip"', '"ip2"').replace('"x"', '"h"')
    fast = SOLVER.replace("0.1", "0.5")
    assert of_solver(deep + LOSS, "momentum: 0.9\n", fast) == ["CL611"]
    assert of_solver(deep + LOSS, "momentum: 0.9\n") == []
    assert of_solver(deep + LOSS, "", fast) == []
    assert of_solver(deep + LOSS, "momentum: 0.9\nclip_gradients: 10\n", fast) == []
    assert of_solver(deep + BN % "false" + BN_LOSS, "momentum: 0.9\n", fast) == []


def test_a_test_set_taken_once(folder: Path) -> None:
    MATERIAL["lmdb"](folder)  # 40 records, labels up to 3
    net = DATA + IP.replace("num_output: 2", "num_output: 4") + LOSS
    assert of_solver(net, "test_iter: 10\ntest_interval: 1\n") == []
    assert of_solver(net, "test_iter: 11\ntest_interval: 1\n") == ["CL606"]
    assert of_solver(net.replace("batch_size: 4", "batch_size: 16"), "test_iter: 3\ntest_interval: 1\n") == []


def test_sorted_labels_that_are_shuffled(folder: Path) -> None:
    MATERIAL["sorted_lmdb"](folder)
    assert of_net(DATA + IP + LOSS) == ["CL608"]
    assert of_net(DATA.replace("batch_size: 4", "batch_size: 4 shuffle: true") + IP + LOSS) == []
    assert of_net(DATA.replace('"Data"', '"Data" include { phase: TEST }') + IP + LOSS) == []


def test_labels_that_are_ignored(folder: Path) -> None:
    MATERIAL["lmdb"](folder)
    three = DATA + IP.replace("num_output: 2", "num_output: 3")
    assert of_net(three + LOSS) == ["CL619"]
    assert of_net(three + LOSS.replace('top: "loss"', 'top: "loss" loss_param { ignore_label: 3 }')) == []


def test_blobs_that_somebody_reads(folder: Path) -> None:
    second = IP.replace('"ip"', '"ip2"').replace('"y"', '"z"')
    assert of_net(FED + IP + second + LOSS) == ["CL615"]
    assert of_net(FED + IP + second + LOSS + 'layer { name: "s" type: "Silence" bottom: "z" }\n') == []
    accuracy = 'layer { name: "a" type: "Accuracy" bottom: "y" bottom: "t" top: "a" }\n'
    assert of_net(FED + IP + LOSS + accuracy) == []


def test_a_rectifier_in_place_behind_what_is_reread(folder: Path) -> None:
    net = FED + IP + 'layer { name: "tanh" type: "TanH" bottom: "y" top: "n" }\n'
    assert of_net(net + 'layer { name: "drop" type: "Dropout" bottom: "n" top: "n" }\n' + BN_LOSS) == ["CL617"]
    assert of_net(net + 'layer { name: "relu" type: "PReLU" bottom: "n" top: "n" }\n' + BN_LOSS) == ["CL617"]
    relu = 'layer { name: "relu" type: "ReLU" bottom: "n" top: "n" relu_param { negative_slope: 0.1 } }\n'
    assert of_net(net + relu.replace("0.1", "0") + 'layer { name: "p" type: "Power" bottom: "n" top: "q" }\n'
                  + LOSS.replace('"y"', '"q"')) == []  # fmt: skip


def test_weights_under_a_shared_name(folder: Path) -> None:
    own = IP.replace('"ip"', '"ip_test" include { phase: TEST }').replace('"y"', '"z"')
    tests = "test_iter: 1\ntest_interval: 1\n"
    assert of_solver(FED + IP + LOSS + own, tests) == ["CL609"]
    shared = 'param { name: "w" } param { name: "b" } inner_product_param'
    named = (IP + LOSS + own).replace("inner_product_param", shared)
    assert of_solver(FED + named, tests) == []


def test_weights_that_fit(folder: Path) -> None:
    MATERIAL["ip.caffemodel"](folder)
    Path("net.prototxt").write_text(X + IP, encoding="utf-8")
    assert mistakes("net.prototxt", weights=("ip.caffemodel",)) == []
    Path("net.prototxt").write_text(X + IP.replace("2 }", "3 }"), encoding="utf-8")
    assert mistakes("net.prototxt", weights=("ip.caffemodel",)) == ["CL621", "CL621"]
