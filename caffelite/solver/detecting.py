"""A test pass of a net that detects: the mean average precision over a number of batches.

Source: `Solver::TestDetection`, `src/caffe/solver.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..logs.records import OutputValue
from .precision import average_precision
from .testing import Average

_COLUMNS = 5
_IMAGE, _LABEL, _SCORE, _RIGHT, _WRONG = range(_COLUMNS)


@dataclass(frozen=True, slots=True)
class Precision(Average):
    """The mean average precision of each output; and for each class of each, in their order, its label and average
    precision, None where nothing of it was detected, which counts as 0."""

    by_class: tuple[tuple[int, float | None], ...] = ()


def mean_precision(
    net: Any, batches: int, version: str, *, with_loss: bool, interrupted: Callable[[], bool], shows: bool = False
) -> Precision | None:
    """Run `batches` forward passes and judge all that was detected in them.

    Args:
        net: the net; every output holds rows of a DetectionEvaluate layer.
        version: one of `precision.VERSIONS`.
        with_loss, interrupted, shows: as in :func:`.testing.average`.

    Returns:
        The precisions, or None when interrupted.

    Raises:
        UsageError: an output holds something else.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {}
    total = np.float32(0)
    for loss in _passes(net, batches, interrupted, shows):
        if loss is None:
            return None
        if with_loss:
            total += np.float32(float(loss))
        for name, _, flat in net.output_values():
            rows.setdefault(name, []).append(_table(net, name, flat))
    judged = {name: _by_class(np.concatenate(tables), version) for name, tables in rows.items()}
    outputs = tuple(OutputValue(index, name, _mean(classes)) for index, (name, classes) in enumerate(judged.items()))
    by_class = tuple(one for classes in judged.values() for one in classes)
    return Precision(outputs, float(total / np.float32(batches)) if with_loss and batches > 0 else None, by_class)


def _passes(net: Any, batches: int, interrupted: Callable[[], bool], shows: bool) -> Iterator[Any]:
    """Run `batches` forward passes: the loss of each; None, as the last, when interrupted."""
    for batch in range(batches):
        if interrupted():
            yield None
            return
        if shows:
            net.observe(batch + 1 == batches)
        yield net.forward()


def _table(net: Any, name: str, flat: list[float]) -> NDArray[np.float32]:
    shape = net.graph.shape(name)
    if shape is None or shape[-1:] != (_COLUMNS,):
        raise UsageError(
            f'eval_type "detection" judges rows of a DetectionEvaluate layer, and output "{name}" is none: '
            f"its shape is {shape}",
            help="let Silence read outputs that are no detections",
        )
    return np.array(flat, np.float32).reshape(-1, _COLUMNS)


def _by_class(rows: NDArray[np.float32], version: str) -> list[tuple[int, float | None]]:
    """Each label and its average precision."""
    counts = rows[rows[:, _IMAGE] == -1]
    found = rows[(rows[:, _IMAGE] != -1) & ((rows[:, _RIGHT] != 0) | (rows[:, _WRONG] != 0))]
    precisions: list[tuple[int, float | None]] = []
    for label in np.unique(counts[:, _LABEL]).tolist():
        positives = int(counts[counts[:, _LABEL] == label, _SCORE].sum(dtype=np.float64))
        own = found[found[:, _LABEL] == label]
        value = average_precision(own[:, _RIGHT] != 0, own[:, _SCORE], positives, version) if len(own) else None
        precisions.append((int(label), value))
    return precisions


def _mean(classes: list[tuple[int, float | None]]) -> float:
    return sum(precision or 0.0 for _, precision in classes) / max(1, len(classes))
