"""A solver whose every iteration depends on where data and chance stand, and what became of its runs."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffelite.assembly import load_solver
from caffelite.logs import records
from caffelite.solver import Solver
from caffelite.tools.writers import write_images

TYPES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9 delta: 1e-3",
    "Adam": "momentum: 0.9",
    "AdamW": "momentum: 0.9",
    "LBFGS": "history_size: 3",
    "ConjugateGradient": "",
}
"""The settings that the types of solvers are run with."""
NET = """
name: "tossed"
layer {{
  name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ crop_size: 6 mirror: true scale: 0.00390625 augmentation {{ shift: 1 }} }}
  data_param {{ source: "{folder}/train_lmdb" backend: LMDB batch_size: 4 shuffle: true workers: 2 }}
}}
layer {{
  name: "data" type: "Data" top: "data" top: "label" include {{ phase: TEST not_stage: "other" }}
  transform_param {{ crop_size: 6 scale: 0.00390625 }}
  data_param {{ source: "{folder}/test_lmdb" backend: LMDB batch_size: 3 workers: 2 }}
}}
layer {{
  name: "other" type: "Data" top: "data" top: "label" include {{ phase: TEST stage: "other" }}
  transform_param {{ crop_size: 6 mirror: true scale: 0.00390625 }}
  data_param {{ source: "{folder}/train_lmdb" backend: LMDB batch_size: 5 shuffle: true }}
}}
layer {{
  name: "noise" type: "DummyData" top: "noise" include {{ phase: TRAIN }}
  dummy_data_param {{ shape {{ dim: 4 dim: 5 }} data_filler {{ type: "gaussian" std: 0.1 }} }}
}}
layer {{
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "drop" type: "Dropout" bottom: "conv" top: "conv" }}
layer {{
  name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "sum" type: "Eltwise" bottom: "ip" bottom: "noise" top: "sum" include {{ phase: TRAIN }} }}
layer {{ name: "same" type: "Power" bottom: "ip" top: "sum" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "loss" }}
layer {{
  name: "aside" type: "InnerProduct" bottom: "sum" top: "aside" include {{ phase: TEST stage: "other" }}
  inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }}
}}
"""
SOLVER = """
net: "{folder}/net.prototxt" type: "{type}" {settings} base_lr: 0.05 lr_policy: "step" stepsize: 4 gamma: 0.7
weight_decay: 0.01 iter_size: 2 display: 2 average_loss: 3
test_iter: 2 test_iter: 3 test_state {{ }} test_state {{ stage: "other" }} test_interval: 3
snapshot_prefix: "{prefix}" {more}
"""


def files(folder: Path, prefix: Path, type: str = "SGD", more: str = "", iterations: int = 13) -> Path:
    """The databases, the net and a solver that writes to `prefix`; the solver's path."""
    if not (folder / "net.prototxt").exists():
        chance = np.random.default_rng(0)
        for name, count in (("train_lmdb", 30), ("test_lmdb", 11)):
            images = chance.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
            write_images(folder / name, images, chance.integers(0, 5, count).tolist())
        (folder / "net.prototxt").write_text(NET.format(folder=folder))
    prefix.parent.mkdir(exist_ok=True)
    path = prefix.parent / "solver.prototxt"
    more = f"max_iter: {iterations} {more if 'random_seed' in more else f'random_seed: 3 {more}'}"
    text = SOLVER.format(folder=folder, type=type, settings=TYPES.get(type, ""), prefix=prefix, more=more)
    path.write_text(text)
    return path


class Told:
    """What a run said that depends on its numbers."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def __call__(self, record: records.Record) -> None:
        if isinstance(record, records.Displayed):
            self.lines.append(("loss", record.iteration, record.loss, record.rate, record.outputs))
        elif isinstance(record, records.Tested):
            self.lines.append(("test", record.iteration, record.net, record.outputs))


def solver_of(path: Path, device: torch.device | None = None) -> tuple[Solver, Told]:
    """The solver of a file, and what it tells from now on.  It lets go of its files when it is collected."""
    solver, told = load_solver(path, device=device), Told()
    solver.sinks.append(told)
    for net in (solver.net, *solver.test_nets):
        weakref.finalize(solver, net.close)
    return solver, told


def in_stops(
    path: Path, stops: Iterable[int], device: torch.device | None = None
) -> tuple[Solver, list[Any], set[str]]:
    """A run that a new solver goes on with after each of these iterations: the last one, what all of them told, and the
    names of their runs."""
    lines: list[Any] = []
    newest, names = None, set[str]()
    for stop in stops:
        solver, said = solver_of(path, device)
        if newest is not None:
            solver.restore(newest)
        solver.step(stop - solver.iter)
        solver.snapshot()
        newest = solver.newest
        lines += said.lines
        names.add(solver.run_id)
        solver.close()
    return solver, lines, names


def whole(solver: Solver) -> bytes:
    """Weights and history, bit for bit."""
    values = [parameter.data for parameter in solver.net.parameters] + [
        slot.cpu().numpy() for slot in solver.rule.history
    ]
    return b"".join(np.ascontiguousarray(value).tobytes() for value in values)
