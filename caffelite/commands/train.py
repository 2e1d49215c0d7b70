"""`caffelite train`: train or finetune a net.  Source: `train()`, `tools/caffe.cpp`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import Fault, UsageError
from ._kit import (
    described,
    file_options,
    gpu_numbers,
    gpu_option,
    log_options,
    open_log,
    parts,
    python_option,
    state_options,
)
from ._record import folder_of, note_session, record_of, seed_of

if TYPE_CHECKING:
    import torch

    from ..assembly import SolverFile
    from ..net import Loaded
    from ..solver import Solver
    from ..solver.watch import OnNan
    from ._log import Log


AUTO = "auto"
"""What --snapshot takes instead of a file."""


@described(
    "train",
    "train or finetune a net",
    [
        "caffelite train --solver lenet_solver.prototxt",
        "caffelite train --solver lenet_solver.prototxt --snapshot lenet_iter_5000.solverstate",
        "caffelite train --solver lenet_solver.prototxt --snapshot auto",
        "caffelite train --solver lenet_solver.prototxt --weights pretrained.caffemodel",
        "caffelite train --solver lenet_solver.prototxt --set base_lr=0.005 --set 'layer[ip1].param[0].lr_mult=2'",
    ],
    notes=(
        "Ctrl-C (or SIGTERM) snapshots and stops; a second Ctrl-C ends at once.  A run that goes on from a snapshot of "
        "ours is the same run: data and chance go on, too.  Every run keeps a record in <snapshot_prefix>_run: its "
        "log, the solver and nets as they were run, versions, seed and command.  Training by that record's "
        "solver.prototxt, in the same folder, does it again."
    ),
)
@click.option("--solver", metavar="FILE", help="The solver's prototxt.  Required.")
@click.option(
    "--snapshot",
    metavar="FILE",
    help='Go on from this .solverstate; "auto": from the newest whole one of snapshot_prefix, and where there is none, '
    "begin.",
)
@click.option(
    "--weights", default="", metavar="FILES", help="Begin with these trained weights (.caffemodel), comma-separated."
)
@gpu_option
@state_options
@click.option(
    "--sigint_effect", default="stop", show_default=True, metavar="EFFECT", help="Of Ctrl-C: stop, snapshot or none."
)
@click.option(
    "--sighup_effect",
    default="snapshot",
    show_default=True,
    metavar="EFFECT",
    help="Of a closed terminal: stop, snapshot or none.",
)
@click.option(
    "--on-nan",
    type=click.Choice(["stop", "warn", "ignore"]),
    default="stop",
    show_default=True,
    help="When the loss, a gradient or a weight is NaN or infinite: say in which layer that began, and stop, or go on "
    "after a warning; or do not look.",
)
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Keep the newest N snapshots only, and what <snapshot_prefix>_best holds.",
)
@file_options
@python_option
@click.option(
    "--run-dir", type=click.Path(file_okay=False, path_type=Path), help="Keep the run's record in this folder instead."
)
@log_options
def command(
    solver: str | None, snapshot: str | None, weights: str, gpu: str | None, level: int, stage: str,
    sigint_effect: str, sighup_effect: str, on_nan: OnNan, keep: int | None, sets: tuple[str, ...], strict: bool,
    allow_python: bool, run_dir: Path | None,
) -> None:  # fmt: skip
    from ..solver.signals import Signals, effect

    if not solver:
        raise UsageError("train needs a solver: --solver FILE")
    if snapshot and weights and snapshot != AUTO:
        raise UsageError(
            Fault(
                "--snapshot and --weights exclude each other",
                help="--snapshot goes on with a run, weights included; --weights begins a new run with trained weights",
            )
        )
    signals = Signals(effect(sigint_effect, "--sigint_effect"), effect(sighup_effect, "--sighup_effect"))
    gpus = gpu_numbers(gpu)
    if snapshot and snapshot != AUTO:
        _refuse_weights(snapshot)
    with open_log(training=True) as log:
        from ..assembly import read_solver

        file = read_solver(
            solver, strict=strict, sets=sets, level=level, stages=["", *parts(stage)], weights=parts(weights) or None,
            allow_python=allow_python,
        )  # fmt: skip
        if snapshot == AUTO:
            snapshot = _newest(file.settings.snapshot_prefix, run_dir, log)
        _train(file, snapshot, _device(file, gpus, log), signals, on_nan, keep, run_dir, log)


def _newest(prefix: str, run_dir: Path | None, log: Log) -> str | None:
    """The newest whole state of a prefix; says why newer ones are passed over, and where it is of an older run."""
    from ..logs.run_record import sessions
    from ..snapshot import newest, read_state

    def passed_over(fault: Fault) -> None:
        log.warn(replace(fault, message=f"passed over: {fault.message}", severity="warning"))

    found = newest(prefix, passed_over)
    if found is None:
        log.note(f"No snapshot of {prefix} yet: training begins")
        return None
    noted = sessions(folder_of(prefix, run_dir))
    last, run = noted[-1].get("run") if noted else None, read_state(found.state).run
    if last is not None and run is not None and run.id != last:
        help = "to go on with the last one, name its snapshot; for a new run give another snapshot_prefix"
        text = f"{found.state} is of another run than the last one of {prefix}"
        log.warn(Fault(text, help=help, severity="warning"))
    return str(found.state)


def _refuse_weights(snapshot: str) -> None:
    from ..snapshot import Kind, kind_of

    if kind_of(snapshot) in (Kind.WEIGHTS, Kind.HDF5_WEIGHTS):
        raise UsageError(
            Fault(
                f"{snapshot} holds weights only; --snapshot takes the .solverstate written beside it",
                help=f"to begin a new run with these weights: --weights {snapshot}",
            )
        )


def _device(file: SolverFile, gpus: list[int] | None, log: Log) -> torch.device:
    from ..proto import SolverParameter
    from ..runtime import device

    wants_gpu = file.settings.solver_mode == SolverParameter.GPU
    where, warning = device.choose(gpus, wants_gpu, file.settings.device_id)
    if where.type == "cpu":
        log.note("Use CPU.", "caffe.cpp:197")
    else:
        log.note(f"Using GPUs {where.index}", "caffe.cpp:204")
    if warning:
        log.note(warning, severity="warning")
    return where


def _train(
    file: SolverFile, snapshot: str | None, device: torch.device, signals: Any, on_nan: OnNan, keep: int | None,
    run_dir: Path | None, log: Log,
) -> None:  # fmt: skip
    _announce(file, log)
    folder = folder_of(file.settings.snapshot_prefix, run_dir)
    solver = _made(file, device, snapshot is not None, seed_of(folder) if snapshot else None, on_nan, log)
    try:
        record = record_of(file, solver, folder, snapshot)
        log.keep(record)
        solver.sinks.append(log)
        solver.keep = keep
        if log.progress:
            log.progress.iteration = lambda: solver.iter
        if snapshot:
            log.note(f"Resuming from {snapshot}", "caffe.cpp:235")
            solver.restore(snapshot)
            if solver.iter >= solver.settings.max_iter:
                field = "max_iter" if solver.settings.max_iter == file.settings.max_iter else "max_epoch"
                limit = f"{field} {getattr(solver.settings, field):g}"
                text = f"{snapshot} is at iteration {solver.iter}: with {limit} nothing is left to train"
                log.note(f"{text} (--set {field}=… goes on)", severity="warning")
        note_session(record, file, solver, snapshot)
        log.note("Starting Optimization", "caffe.cpp:239")
        with signals as request:
            solver.request = request
            solver.solve()
        log.note("Optimization Done.", "caffe.cpp:250")
    finally:
        solver.close()


def _announce(file: SolverFile, log: Log) -> None:
    """What the original says while it sets up, as far as somebody may look for it."""
    from ..prototxt import dump

    for fault in file.warnings:
        log.warn(fault)
    log.note(f"Initializing solver from parameters: \n{dump(file.message).rstrip()}", "solver.cpp:45")
    kind, value = file.settings.train_net
    if isinstance(value, str):
        what, line = ("net file", 102) if kind == "net" else ("train_net file", 97)
        log.note(f"Creating training net from {what}: {value}", f"solver.cpp:{line}")
    else:
        log.note(f"Creating training net specified in {kind}.", f"solver.cpp:{92 if kind == 'net_param' else 88}")
    for index, test in enumerate(file.settings.test_nets):
        named = f"{test.kind} file: {test.value}" if isinstance(test.value, str) else test.kind
        log.note(f"Creating test net (#{index}) specified by {named}", "solver.cpp:190")


def _made(file: SolverFile, device: torch.device, resuming: bool, seed: int | None, on_nan: OnNan, log: Log) -> Solver:
    """The solver, with the weights it is to begin with (a snapshot brings its own); says which layers got them."""
    from ..assembly import make_solver
    from ._weights import tell

    def finetuning(path: str, report: list[Loaded]) -> None:
        log.note(f"Finetuning from {path}", "solver.cpp:72")
        tell(path, report, log)

    solver = make_solver(
        file, device=device, warn=log.warn, seed=seed, loaded=finetuning, on_nan=on_nan, resuming=resuming
    )
    log.note("Solver scaffolding done.", "solver.cpp:57")
    return solver
