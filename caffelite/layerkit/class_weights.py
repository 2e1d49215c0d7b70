"""From the labels of a data set to a weight for each class.  No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.label_counts import LabelCounts

_MOST_NAMED = 10


def by_class(counts: LabelCounts, classes: int, ignore: int | None) -> tuple[NDArray[np.int64], LabelCounts]:
    """How often each class from 0 to `classes` − 1 occurs, and what occurs that is neither a class nor `ignore`."""
    found, strangers = np.zeros(classes, np.int64), LabelCounts()
    for label, count in counts.items():
        if 0 <= label < classes and label == int(label):
            found[int(label)] += count * (label != ignore)
        elif label != ignore:
            strangers[label] = count
    return found, strangers


def listed(counts: LabelCounts) -> str:
    """Labels and how often they occur, the most frequent first, for messages."""
    named = [f"{label:.9g} ({count}×)" for label, count in counts.most_common(_MOST_NAMED)]
    left_out = len(counts) - len(named)
    return ", ".join(named) + (f" and {left_out} more" if left_out else "")


def balanced(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """N / (C·n_c) for a class with n_c of the N labels, C being the number of classes that have any; 1 for a class that
    has none.

    So the labels of every class weigh as much together, and a label weighs 1 on the average.  The class without labels
    never counts in training; in a test that has it, its labels count as they are.

    Source: King and Zeng, "Logistic Regression in Rare Events Data", 2001, as scikit-learn's "balanced" weights.
    """
    weights = np.ones(len(counts))
    some = counts > 0
    weights[some] = counts.sum() / (np.count_nonzero(some) * counts[some])
    return weights.astype(np.float32)
