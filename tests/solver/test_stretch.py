"""Iterations that nobody sees: nobody can tell that they were made in a stretch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffelite import assembly
from caffelite.errors import DataError, DivergedError, LayerError
from caffelite.logs import records
from caffelite.solver import Solver, stretch
from caffelite.solver.events import Action

from ..lending import lend

NET = """
layer { name: "data" type: "HDF5Data" top: "x" top: "label" hdf5_data_param { source: "list.txt" batch_size: 4 } }
layer { name: "h" type: "InnerProduct" bottom: "x" top: "h" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "ip" type: "InnerProduct" bottom: "h" top: "score"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
SETTINGS = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "inv" gamma: 0.01 power: 0.75 weight_decay: 0.01 max_iter: 60
average_loss: 7 random_seed: 3 snapshot_prefix: "s" solver_mode: CPU
"""
TYPES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9 delta: 1e-3",
    "Adam": "momentum: 0.9",
    "AdamW": "momentum: 0.9",
}
EVENTS = """
display: 9 test_iter: 2 test_interval: 13 snapshot: 17 test_initialization: false
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    write(0)
    return tmp_path


def write(bad: int, label: int = 0, value: float = 0.0) -> None:
    """The data: 40 records; the label and the first value of one are others."""
    chance = np.random.default_rng(5)
    x, labels = chance.standard_normal((40, 2, 3)).astype("f4"), chance.integers(0, 3, 40).astype("f4")
    if bad:
        labels[bad], x[bad, 0, 0] = label, value
    with h5py.File("data.h5", "w") as file:
        file["x"], file["label"] = x, labels
    Path("list.txt").write_text("data.h5\n")


def solver_of(settings: str, on_nan: Any = "stop") -> tuple[Solver, list[records.Record]]:
    Path("solver.prototxt").write_text(settings)
    said: list[records.Record] = []
    solver = assembly.make_solver(assembly.read_solver("solver.prototxt"), on_nan=on_nan)
    solver.sinks.append(said.append)
    return solver, said


Stretches = list[list[int]]


@pytest.fixture
def stretches(monkeypatch: pytest.MonkeyPatch) -> Stretches:
    """For each solver the iterations at which stretches ended."""
    ends: Stretches = []
    make = stretch.Stretch._make

    def noted(self: stretch.Stretch, *arguments: Any) -> Action | None:
        try:
            return make(self, *arguments)
        finally:
            ends[-1].append(self.solver.iter)

    monkeypatch.setattr(stretch.Stretch, "_make", noted)
    return ends


def both_ways(
    monkeypatch: pytest.MonkeyPatch, ends: Stretches, run: Callable[[], tuple[Solver, list[records.Record]]]
) -> tuple[Any, Any]:
    """What became of two runs, the second without stretches."""
    found = []
    for possible in (True, False):
        if not possible:
            monkeypatch.setattr(stretch.Stretch, "__call__", lambda self, least: None)
        ends.append([])
        solver, said = run()
        found.append(whole(solver, said))
        solver.close()
    assert ends[0] and not ends[1]
    return found[0], found[1]


def whole(solver: Solver, said: list[records.Record]) -> dict[str, Any]:
    """All that can be seen of a solver and its net, and what was told."""
    net = solver.net
    return {
        "iteration": (solver.iter, solver.current_step, net.run.position),
        "loss": (solver.smoothed.value(), solver.smoothed.window_of()),
        "outputs": net.output_values(),
        "read": [layer.consumed for _, layer in net.sources()],
        "weights": [parameter.data.tolist() for parameter in net.parameters],
        "diffs": [parameter.diff.tolist() for parameter in net.parameters],
        "history": [slot.tolist() for slot in solver.rule.history],
        "told": [told(record) for record in said],
    }


def told(record: records.Record) -> str:
    """A record without the time it took."""
    text = str(record)
    return text.partition("seconds=")[0] + text.partition("seconds=")[2].partition(",")[2]


@pytest.mark.parametrize("lends", [False, True], ids=["", "lent"])
@pytest.mark.parametrize("policy", ["", 'lr_policy: "step" stepsize: 20', 'lr_policy: "poly"'])
@pytest.mark.parametrize("kind", TYPES)
def test_all_is_the_same_to_the_bit(
    kind: str, policy: str, lends: bool, monkeypatch: pytest.MonkeyPatch, stretches: Stretches
) -> None:
    if lends:
        lend(monkeypatch)
    settings = SETTINGS.replace('lr_policy: "inv"', policy) if policy else SETTINGS

    def run() -> tuple[Solver, list[records.Record]]:
        solver, said = solver_of(f'{settings} {EVENTS} type: "{kind}" {TYPES[kind]}')
        solver.step(55)
        return solver, said

    first, second = both_ways(monkeypatch, stretches, run)
    assert first == second
    # Shown at 0, 9, 18, …, tested before 13, 26, …, written after 17, 34, …
    assert stretches[0] == [9, 13, 17, 26, 34, 36, 39, 45, 51, 54]


def test_a_whole_run_is_the_same(monkeypatch: pytest.MonkeyPatch, stretches: Stretches) -> None:
    def run() -> tuple[Solver, list[records.Record]]:
        solver, said = solver_of(f"{SETTINGS} {EVENTS}")
        solver.solve()
        return solver, said

    first, second = both_ways(monkeypatch, stretches, run)
    assert first == second


@pytest.mark.parametrize("action", [Action.STOP, Action.SNAPSHOT, Action.SNAPSHOT_AND_STOP])
def test_requests_are_heeded_after_their_iteration(
    action: Action, monkeypatch: pytest.MonkeyPatch, stretches: Stretches
) -> None:
    def run() -> tuple[Solver, list[records.Record]]:
        solver, said = solver_of(SETTINGS)
        solver.request = lambda: action if solver.iter == 23 else Action.NONE
        solver.step(55)
        assert solver.iter == (23 if action.stops else 55)
        return solver, said

    first, second = both_ways(monkeypatch, stretches, run)
    assert first == second
    assert 23 in stretches[0]


def test_an_error_of_the_data_leaves_the_last_whole_iteration(
    monkeypatch: pytest.MonkeyPatch, stretches: Stretches
) -> None:
    def run() -> tuple[Solver, list[records.Record]]:
        solver, said = solver_of(SETTINGS)
        (_, source), *_ = solver.net.sources()
        forward = type(source).forward

        def fails(self: Any, *arguments: Any) -> Any:
            if self.consumed == 4 * 31:
                raise DataError("a record is damaged")
            return forward(self, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(type(source), "forward", fails)
            with pytest.raises(DataError, match="damaged"):
                solver.solve()
        assert Path("s_iter_31.solverstate").exists()
        Path("s_iter_31.solverstate").unlink()
        return solver, said

    first, second = both_ways(monkeypatch, stretches, run)
    assert first.pop("diffs") != second.pop("diffs")  # that of iteration 31 had been forgotten
    assert first == second


@pytest.mark.parametrize("on_nan", ["stop", "warn"])
def test_what_is_not_finite_is_found_where_it_began(
    on_nan: str, monkeypatch: pytest.MonkeyPatch, stretches: Stretches
) -> None:
    def run() -> tuple[Solver, list[records.Record]]:
        solver, said = solver_of(f"{SETTINGS} clip_gradients: -1 base_lr: 1e30".replace("base_lr: 0.1", ""), on_nan)
        try:
            solver.step(55)
            assert on_nan == "warn"
        except DivergedError as error:
            assert on_nan == "stop"
            said.append(records.Note(str(error), "error"))
        return solver, said

    first, second = both_ways(monkeypatch, stretches, run)
    np.testing.assert_equal(first, second)
    assert any("nan" in line or "inf" in line for line in first["told"])


def test_a_label_that_is_no_class_ends_it(monkeypatch: pytest.MonkeyPatch, stretches: Stretches) -> None:
    write(38, label=7)

    def run() -> tuple[Solver, list[records.Record]]:
        solver, said = solver_of(SETTINGS, "ignore")
        with pytest.raises(LayerError, match="label of sample 2 must be a class from 0 to 2, got 7"):
            solver.step(55)
        said.append(records.Note(f"iteration {solver.iter}", "error"))
        return solver, said

    first, second = both_ways(monkeypatch, stretches, run)
    assert first["weights"] == second["weights"]
    assert first["told"] == second["told"]
    assert first["iteration"][0] == 9


UNSEEN_BY_NOBODY: dict[str, tuple[str, Callable[[Solver], object]]] = {
    "clipping": ("clip_gradients: 0.1", lambda solver: None),
    "several batches an iteration": ("iter_size: 2", lambda solver: None),
    "rates of layers": ("larc: true", lambda solver: None),
    "steps that are told": ('stepvalue: 20 lr_policy: "multistep"', lambda solver: None),
    "callbacks": ("", lambda solver: solver.add_callback(lambda: None, lambda: None)),
    "somebody who looks at blobs": ("", lambda solver: setattr(solver, "shows", True)),
    "all blobs": ("", lambda solver: solver.net.observe(True)),
    "an array in somebody's hands": ("", lambda solver: held.append(solver.net.parameters[0].data)),
    "an array of gradients": ("", lambda solver: held.append(solver.net.parameters[0].diff)),
    "a look at each iteration": ("", lambda solver: solver.watch.at_once()),
}
held: list[Any] = []


@pytest.mark.parametrize("what", UNSEEN_BY_NOBODY)
def test_there_are_none_with(what: str, stretches: Stretches) -> None:
    more, prepare = UNSEEN_BY_NOBODY[what]
    settings = SETTINGS.replace('lr_policy: "inv"', "") if "lr_policy" in more else SETTINGS
    stretches.append([])
    solver, _ = solver_of(f"{settings} {more}")
    prepare(solver)
    solver.step(55)
    assert stretches == [[]]
    held.clear()
    solver.close()


def test_an_update_of_sgd_is_part_of_the_pass() -> None:
    """With momentum; without it, and in other types, it follows the pass in Python."""
    for more, wanted in (("momentum: 0.9", True), ("", False), ('type: "Adam" momentum: 0.9', False)):
        solver, _ = solver_of(f"{SETTINGS} {more}")
        solver.step(55)
        assert solver._stretch._whole is not None
        assert (solver._stretch._whole[1] is not None) == wanted
        solver.close()


def test_a_run_that_is_resumed_within_a_stretch_is_the_same_run(stretches: Stretches) -> None:
    stretches.append([])
    straight, _ = solver_of(f"{SETTINGS} momentum: 0.9", "ignore")
    straight.step(55)
    first, _ = solver_of(f"{SETTINGS} momentum: 0.9", "ignore")
    first.step(23)
    first.snapshot()
    second, _ = solver_of(f"{SETTINGS} momentum: 0.9", "ignore")
    second.restore("s_iter_23.solverstate")
    second.step(32)
    assert 23 in stretches[0]
    mine, wanted = whole(second, []), whole(straight, [])
    assert mine == wanted
