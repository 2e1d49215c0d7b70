"""Tests of a net that detects: the mean average precision of all batches, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from caffelite.assembly import load_solver
from caffelite.errors import SettingsError, UsageError
from caffelite.logs.records import Note, Tested
from caffelite.logs.text import lines
from caffelite.solver.detecting import mean_precision

from .fakes import settings

COUNTS = [[-1, 1, 2, -1, -1], [-1, 2, 1, -1, -1], [-1, 3, 0, -1, -1]]
ONE = [*COUNTS, [0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 1], [0, 2, 0.5, 0, 0]]
TWO = [*COUNTS, [0, 1, 0.7, 1, 0], [1, 1, 0.95, 0, 1]]


class _Net:
    """A net whose batches give these rows."""

    def __init__(self, *batches: list[list[float]], width: int = 5) -> None:
        self.batches, self.at = batches, -1
        self.graph = SimpleNamespace(shape=lambda name: (1, 1, 9, width))

    def forward(self) -> float:
        self.at += 1
        return 2.0 + self.at

    def output_values(self) -> list[tuple[str, float, list[float]]]:
        return [("found", 0.0, np.ravel(self.batches[self.at]).tolist())]


def _judge(net: Any, batches: int, version: str = "Integral", stop_at: int = 9) -> Any:
    return mean_precision(net, batches, version, with_loss=True, interrupted=lambda: net.at + 1 >= stop_at)


def test_all_batches_are_judged_together() -> None:
    """Class 1: four objects; wrong, right, wrong, right by falling score: 1/2·1/4 + 2/4·1/4.  Class 2: what was found
    counts neither way, so that nothing was; class 3: nothing there.  The mean is over all three."""
    found = _judge(_Net(ONE, TWO), 2)
    assert [(value.name, value.value) for value in found.outputs] == [("found", pytest.approx(0.25 / 3))]
    assert found.by_class == ((1, pytest.approx(0.25)), (2, None), (3, None))
    assert found.loss == 2.5


def test_a_request_to_stop_ends_it() -> None:
    assert _judge(_Net(ONE, TWO), 2, stop_at=1) is None


def test_other_outputs_are_refused() -> None:
    with pytest.raises(UsageError, match='output "found" is none'):
        _judge(_Net(ONE, width=7), 1)


NET = """
layer {{ name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ num_output: 3 }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" include {{ phase: TRAIN }} }}
layer {{ name: "quiet" type: "Silence" bottom: "y" bottom: "t" include {{ phase: TEST }} }}
layer {{
  name: "in" type: "HDF5Data" top: "found" top: "truth" include {{ phase: TEST }}
  hdf5_data_param {{ source: "{list}" batch_size: 1 }}
}}
layer {{
  name: "evaluate" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "detection_eval"
  include {{ phase: TEST }} detection_evaluate_param {{ num_classes: 3 }}
}}
"""
FOUND = [
    [[0, 1, 0.9, 0, 0, 0.5, 0.5], [0, 1, 0.8, 0.5, 0.5, 1, 1], [0, 2, 0.4, 0, 0, 1, 1]],
    [[0, 1, 0.7, 0, 0, 0.4, 0.4], [0, -1, -1, -1, -1, -1, -1], [0, 2, 0.6, 0.9, 0.9, 1, 1]],
]
TRUTH = [
    [[0, 1, 0, 0, 0, 0.5, 0.5, 0], [0, 2, 0, 0, 0, 1, 1, 0]],
    [[0, 1, 0, 0, 0, 0.4, 0.4, 0], [0, 2, 0, 0, 0, 1, 1, 0]],
]


def _solver(folder: Path, **fields: str) -> Any:
    with h5py.File(folder / "rows.h5", "w") as file:
        file["found"], file["truth"] = np.array(FOUND)[:, None], np.array(TRUTH)[:, None]
    (folder / "list.txt").write_text(f"{folder / 'rows.h5'}\n")
    (folder / "net.prototxt").write_text(NET.format(list=folder / "list.txt"))
    text = f'net: "{folder / "net.prototxt"}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_iter: 2 test_interval: 1'
    path = folder / "solver.prototxt"
    path.write_text(f"{text}\n" + "\n".join(f"{name}: {value}" for name, value in fields.items()))
    return load_solver(path)


@pytest.mark.parametrize(
    ("version", "of_class_1", "of_class_2"), [("Integral", 5 / 6, 1 / 4), ("11point", (6 + 5 * 2 / 3) / 11, 6 / 22)]
)
def test_a_solver_logs_mean_average_precision(
    tmp_path: Path, version: str, of_class_1: float, of_class_2: float
) -> None:
    """Class 1: right, wrong, right of two objects.  Class 2: wrong, right of two."""
    solver = _solver(tmp_path, eval_type='"detection"', ap_version=f'"{version}"', show_per_class_result="true")
    said: list[Any] = []
    solver.sinks.append(said.append)
    solver.rounds.test(0)
    (tested,) = [record for record in said if isinstance(record, Tested)]
    mean = (of_class_1 + of_class_2) / 2
    assert [(value.name, value.value) for value in tested.outputs] == [("detection_eval", pytest.approx(mean))]
    assert [line.text for line in lines(tested)] == [f"    Test net output #0: detection_eval = {mean:g}"]
    assert [record.text for record in said if isinstance(record, Note)] == [
        f"class1: {of_class_1:g}", f"class2: {of_class_2:g}",
    ]  # fmt: skip


def test_it_can_be_watched(tmp_path: Path) -> None:
    watched = _solver(tmp_path, eval_type='"detection"', early_stop="{ }", snapshot_prefix=f'"{tmp_path / "x"}"')
    assert watched.settings.early_stop.output == "detection_eval"
    assert watched.settings.early_stop.more_is_better


def test_settings() -> None:
    plain = settings()
    assert (plain.eval_type, plain.ap_version, plain.show_per_class_result) == ("classification", "Integral", False)
    assert not plain.warnings
    odd = settings(ap_version="11point", show_per_class_result=True)
    assert [fault.message for fault in odd.warnings] == [
        'ap_version has no effect with eval_type: "classification"',
        'show_per_class_result has no effect with eval_type: "classification"',
    ]
    with pytest.raises(SettingsError) as raised:
        settings(eval_type="detektion", ap_version="12point")
    assert [fault.message for fault in raised.value.faults] == [
        'unknown eval_type "detektion"', 'unknown ap_version "12point"',
    ]  # fmt: skip
