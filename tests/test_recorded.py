"""Every recorded case through both plans of a net, in both memory orders: each gives what the original gave, and both
give the same."""

from __future__ import annotations

import filecmp
import json
from pathlib import Path
from typing import Any

import pytest

from caffelite import assembly
from caffelite.errors import CaffeliteError
from caffelite.proto import TEST
from caffelite.runtime import device

from .conftest import ALL, CARRIED
from .recorded import (
    KINDS,
    Case,
    Run,
    call,
    cases,
    close,
    compare,
    indexed,
    observe,
    placed,
    train,
    types_of_the_original,
)

INPUTS = ("in", "param", "topdiff", "mem")
"""Recorded arrays that a net is given."""
LIMITS_OF_THE_ORIGINAL = {"net_errors/stochastic_pool_cpu", "net_errors/softmaxloss_two_tops"}
"""Refused by the original because it has no code for them; both are computed here."""


@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", cases(*KINDS), ids=str)
def test_both_plans_give_what_was_recorded(case: Case, channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if "leveldb" in str(case):
        pytest.importorskip("plyvel", reason="the extra caffelite[leveldb] is not installed")
    monkeypatch.setattr(device, "channels_last", lambda types, on, rounds: channels_last)
    arrays = case.arrays()
    observed, fast = observe(case, arrays), train(case, arrays)
    results = {key for key in arrays if key.partition("/")[0].partition("@")[0] not in INPUTS}
    assert results <= observed.keys(), "recorded and not computed"
    compare(case, arrays, observed)
    compare(case, arrays, fast)
    for total in (False, True):
        compare(case, arrays, call(case, arrays, total=total))
    for key in observed.keys() & fast.keys():
        close(f"{key}, fast and observed plan", fast[key], observed[key], case.entry["tol"])


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
@pytest.mark.parametrize("case", cases("weights"), ids=str)
def test_weight_files_of_the_original_give_its_outputs(case: Case, observed: bool) -> None:
    arrays = {key: values for key, values in case.arrays().items() if not key.startswith("param/")}
    for file in case.entry["weights"]:
        run = Run(case, arrays, assembly.read_net(case.file("prototxt")).message, observed=observed)
        run.net.load_weights(str(case.folder / Path(file).name))
        run.feed("in")
        run.keep_outputs("", run.net.forward(), run.net.blobs if observed else run.net.graph.outputs)
        forward, _ = compare(case, arrays, run.found)
        assert forward.arrays


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
@pytest.mark.parametrize("case", cases("net_error"), ids=str)
def test_nets_the_original_refuses_are_refused(case: Case, observed: bool) -> None:
    def run() -> Any:
        with placed(case) as path:
            return assembly.load_net(path, TEST, seed=1, observed=observed).forward()

    if case.entry["accepted"] or case.entry["id"] in LIMITS_OF_THE_ORIGINAL:
        run()
    else:
        with pytest.raises(CaffeliteError) as caught:
            run()
        assert caught.value.faults[0].message


def test_every_type_but_python_has_a_case() -> None:
    covered = {kind for case in cases(*KINDS) for kind in case.entry["layer_types"]}
    assert types_of_the_original() - covered == {"Python"}


def test_the_carried_cases_are_all_of_the_open_set() -> None:
    index = ALL / "index.json"
    if not index.exists() or json.loads(index.read_text())["set"] != "open":
        pytest.skip("the open set of recordings is not at hand (CAFFELITE_GOLDEN names its folder)")
    carried = indexed(CARRIED)
    kinds = {case.entry["kind"] for case in carried.values()}
    for name, case in indexed(ALL).items():
        if case.entry["kind"] in kinds:
            assert carried[name].entry == case.entry
            for key in ("prototxt", "npz"):
                assert not case.entry.get(key) or filecmp.cmp(case.file(key), carried[name].file(key), False)
