"""Net file → torch module."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from ..errors import Fault, UsageError
from ..proto import TEST, TRAIN
from .nets import load_net

if TYPE_CHECKING:
    from ..net import Loaded
    from ..net.module import NetModule

Path = str | os.PathLike[str]

log = logging.getLogger("caffelite")


def load(
    net: Path | Message,
    weights: Path | Sequence[Path] = (),
    phase: int = TEST,
    *,
    level: int | None = None,
    stages: Iterable[str] = (),
    keeping: Iterable[str] = (),
    seed: int | None = None,
    strict: bool = False,
    sets: Sequence[str] = (),
    allow_python: bool = True,
) -> NetModule:
    """A net as a torch module (:class:`caffelite.net.module.NetModule`), on the CPU.

        module = caffelite.load("deploy.prototxt", "lenet.caffemodel").to("cuda")

    What is odd about the file, and layers with weights that no weight file has, are logged as warnings.

    Args:
        net: the net's prototxt, of any age, or a NetParameter.
        weights: a caffemodel to copy weights from, or several, in order.
        phase, level, stages: the NetState to build it in, over the file's own: which layers there are, and whether the
            module begins in `train()` (`caffelite.TRAIN`) or in `eval()`.
        keeping: blobs that a call is to give besides the outputs.
        seed: of first weights and of the order of data; torch's generator gives one where nothing is said.
        strict: warnings of the file are errors.
        sets: assignments put over the file ("layer[ip1].inner_product_param.num_output=300").
        allow_python: its Python layers may run.

    Raises:
        UsageError: weights are no files, or phase is none.
        CaffeliteError: with every fault found at the first step that finds any.
    """
    import torch

    from ..net.module import NetModule, close_with

    if phase not in (TRAIN, TEST):
        raise UsageError(f"a net has a phase, got {phase!r}", help="phase=caffelite.TRAIN, or caffelite.TEST")
    reports: list[list[Loaded]] = []
    core = load_net(
        net,
        phase,
        level=level,
        stages=stages,
        keeping=keeping,
        weights=_paths(weights),
        seed=int(torch.randint(1 << 31, ())) if seed is None else seed,
        strict=strict,
        sets=sets,
        allow_python=allow_python,
        warn=_warn,
        loaded=lambda _, report: reports.append(report),
    )
    for layer in _in_no_file(reports):
        log.warning('layer "%s" keeps its first values: no weight file has it', layer)
    module = NetModule(core)
    close_with(module)
    return module


def _paths(weights: Any) -> list[str]:
    try:
        return [os.fspath(path) for path in ([weights] if isinstance(weights, (str, os.PathLike)) else weights)]
    except TypeError as error:
        help = 'caffelite.load("net.prototxt", "net.caffemodel", caffelite.TRAIN)'
        raise UsageError(f"weights are a file, or several, not {weights!r}", help=help) from error


def _warn(fault: Fault) -> None:
    log.warning("%s", fault)


def _in_no_file(reports: Sequence[Sequence[Loaded]]) -> list[str]:
    """The layers that none of the files had weights for; where there are no files, none are missed."""
    missing = [[row.layer for row in report if row.status == "not in the file"] for report in reports]
    return [layer for layer in (missing[0] if missing else ()) if all(layer in others for others in missing)]
