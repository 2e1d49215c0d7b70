"""Every recorded run of the original's upgrade tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from caffelite import proto
from caffelite.errors import UpgradeError
from caffelite.upgrade import upgrade_net, upgrade_solver

from ..conftest import ALL, find_golden

TEXT = ("already_new", "bn_params", "input_fields_mixed", "v0_convnet", "v0_losses")
TEXT += ("v1_convnet", "v1_losses", "v1_neurons")


def parsed(path: Path, kind):
    return text_format.Parse(path.read_text(), kind())


@pytest.mark.parametrize("case", TEXT)
def test_a_net_in_text_becomes_what_the_original_wrote(case: str) -> None:
    folder = find_golden("upgrade")
    old = parsed(folder / f"{case}.prototxt", proto.NetParameter)
    before = old.SerializeToString(deterministic=True)
    expected = parsed(folder / f"{case}.upgraded.prototxt", proto.NetParameter)
    upgraded = upgrade_net(old)
    assert upgraded.message == expected
    assert text_format.MessageToString(upgraded.message) == text_format.MessageToString(expected)
    assert old.SerializeToString(deterministic=True) == before
    assert (upgraded.message is old) == (case == "already_new")
    assert bool(upgraded.notes) == (case != "already_new")


@pytest.mark.parametrize("case", ["v1_model_legacy_dims", "v1_model_shape"])
def test_weights_become_byte_for_byte_what_the_original_wrote(case: str) -> None:
    folder = find_golden("upgrade")
    old = proto.NetParameter.FromString((folder / f"{case}.caffemodel").read_bytes())
    upgraded = upgrade_net(old).message
    assert upgraded.SerializeToString() == (folder / f"{case}.upgraded.caffemodel").read_bytes()


@pytest.mark.parametrize("case", ["solver_adagrad", "solver_nesterov", "solver_new", "solver_sgd"])
def test_a_solver_becomes_what_the_original_wrote(case: str) -> None:
    folder = find_golden("upgrade")
    old = parsed(folder / f"{case}.prototxt", proto.SolverParameter)
    upgraded = upgrade_solver(old)
    assert upgraded.message == parsed(folder / f"{case}.upgraded.prototxt", proto.SolverParameter)
    assert (upgraded.message is old) == (case == "solver_new")


def test_a_solver_the_original_refuses_is_refused() -> None:
    old = parsed(find_golden("upgrade") / "solver_both.prototxt", proto.SolverParameter)
    with pytest.raises(UpgradeError, match='solver_type: ADAM and type: "SGD"'):
        upgrade_solver(old)


@pytest.mark.parametrize("kind", ["layers", "nets", "filter", "solvers"])
def test_what_was_upgraded_needs_no_upgrade(kind: str) -> None:
    files = [file for file in (ALL / kind).rglob("*.prototxt") if "solver" not in file.name]
    if not files:
        pytest.skip("the recorded cases are not at hand (CAFFELITE_GOLDEN names their folder)")
    for file in files:
        once = upgrade_net(parsed(file, proto.NetParameter)).message
        assert not once.layers, file
        assert upgrade_net(once).message is once, file
