"""The manifest of public files, and the program that judges them: here on files made for it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import judge as corpus

NET = """
layer {{ name: "d" type: "Data" top: "data" top: "label" data_param {{ source: "nowhere" batch_size: 4 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: {outputs} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }}
"""
SHAPES = {
    "blobs": {"data": [4, 6], "label": [4], "ip": [4, 3], "(automatic)": []},
    "layers": [["d", "Input", []], ["ip", "InnerProduct", [[3, 6], [3]]], ["loss", "SoftmaxWithLoss", []]],
    "outputs": [],
    "learnable": 2,
}
"""What the original makes of NET with 3 outputs, from the sizes given."""


def shapes() -> str:
    return hashlib.sha256(json.dumps(SHAPES, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a+b").mkdir()
    return tmp_path


def row(folder: Path, name: str, text: str, original: dict[str, Any], kind: str = "net") -> dict[str, Any]:
    (folder / "a+b" / name).write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    found = {"repository": "a/b", "path": name, "sha256": digest, "kind": kind, "original": original}
    return found | ({"data": {"both": [[0, "data", [4, 6]], [0, "label", [4]]]}} if kind == "net" else {})


BUILDS = {"both": {"builds": True, "shapes": shapes()}}
REFUSES = {"both": {"builds": False, "refusal": "unknown field", "reason": ""}}


def test_the_manifest_is_large_enough_and_whole() -> None:
    rows = corpus.manifest()
    whole = [entry for entry in rows if entry["kind"] in ("net", "solver") and "not_whole" not in entry]
    assert len(whole) >= 300
    assert len({entry["repository"] for entry in whole}) >= 30
    assert len({entry["sha256"] for entry in rows}) == len(rows)
    for entry in rows:
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"]) and re.fullmatch("[0-9a-f]{40}", entry["commit"])
        for verdict in entry["original"].values() if entry["kind"] == "net" else ():
            assert re.fullmatch("[0-9a-f]{16}", verdict["shapes"]) if verdict["builds"] else verdict["refusal"]


def test_a_net_with_the_same_shapes(folder: Path) -> None:
    outcome = corpus.judge(row(folder, "n.prototxt", NET.format(outputs=3), BUILDS), folder)
    assert outcome is not None and outcome.alike == {"TRAIN": True, "TEST": True} and not outcome.faults


def test_a_net_with_other_shapes(folder: Path) -> None:
    outcome = corpus.judge(row(folder, "n.prototxt", NET.format(outputs=4), BUILDS), folder)
    assert outcome is not None and outcome.alike == {"TRAIN": False, "TEST": False}
    assert list(corpus.report([outcome]))[-1] == "- a/b/n.prototxt: other shapes"


def test_a_refusal_and_its_place(folder: Path) -> None:
    entry = row(folder, "n.prototxt", NET.format(outputs=3).replace("InnerProduct", "InnerProduckt"), REFUSES)
    outcome = corpus.judge(entry, folder)
    assert outcome is not None and not any(outcome.builds.values()) and outcome.placed
    assert outcome.faults == ['unknown layer type "InnerProduckt"']
    assert "| other nets that are whole: build | 1 | 0 | 0.0 % |" in list(corpus.report([outcome]))


def test_labels_of_another_form_are_tried(folder: Path) -> None:
    text = NET.format(outputs=3).replace('"SoftmaxWithLoss"', '"EuclideanLoss"')
    entry = row(folder, "n.prototxt", text, REFUSES) | {
        "data": {"both": [[0, "data", [4, 3, 1, 1]], [0, "label", [4]]]}
    }
    outcome = corpus.judge(entry, folder)
    assert outcome is not None and outcome.faults and not any(outcome.builds.values())
    relu = text.replace('"InnerProduct"', '"ReLU"').replace("inner_product_param { num_output: 3 }", "")
    entry = row(folder, "m.prototxt", relu, REFUSES) | {
        "data": {"both": [[0, "data", [4, 1, 8, 8]], [0, "label", [4]]]}
    }
    outcome = corpus.judge(entry, folder)
    assert outcome is not None and all(outcome.builds.values())


def test_solvers(folder: Path) -> None:
    good = row(folder, "s.prototxt", 'net: "n" base_lr: 0.1 lr_policy: "fixed"', {"builds": True}, "solver")
    bad = row(folder, "t.prototxt", 'net: "n" base_lr: 0.1 lr_policy: "step"', {"builds": True}, "solver")
    outcomes = [corpus.judge(entry, folder) for entry in (good, bad)]
    assert [outcome and outcome.builds[""] for outcome in outcomes] == [True, False]


def test_a_file_that_has_changed_is_left_out(folder: Path) -> None:
    entry = row(folder, "n.prototxt", NET.format(outputs=3), BUILDS)
    (folder / "a+b" / "n.prototxt").write_text("name: 'another'")
    assert corpus.judge(entry, folder) is None


def test_the_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        row(folder, "n.prototxt", NET.format(outputs=3), BUILDS),
        {**row(folder, "gone", "x", BUILDS), "sha256": "0"},
    ]
    (folder / "manifest").write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    assert corpus.main([str(folder), "--manifest", str(folder / "manifest")]) == 0
    said = capsys.readouterr().out
    assert "| nets that the original builds: the same shapes of blobs and weights | 1 | 1 | 100.0 % |" in said
    assert said.endswith("1 files of the manifest are not in " + str(folder) + " as they were\n")
