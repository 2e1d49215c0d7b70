"""A solver's settings, as far as they follow from its nets: how long an epoch is, which output is watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Fault, Places, SettingsError
from ..graph import Graph
from ..layerkit.fed import FedLayer

if TYPE_CHECKING:
    from ..solver import Settings


def watching(settings: Settings, tests: Sequence[Graph], places: Places) -> Settings:
    """The settings with the outputs that early_stop and plateau watch.

    Args:
        tests: the test nets; their data need not be at hand.
        places: finds fields of the solver.

    Raises:
        SettingsError: with what is wrong with each of the two.
    """
    found, faults, reduced = {}, list[Fault](), settings.eval_type == "detection"
    for field in ("early_stop", "plateau"):
        watched = getattr(settings, field)
        if watched is not None:
            try:
                found[field] = watched.found_in(tests[watched.test_net], field, places, reduced=reduced)
            except SettingsError as error:
                faults += error.faults
    if faults:
        raise SettingsError(faults)
    return replace(settings, **found)


def counting(settings: Settings, train: Graph, places: Places) -> tuple[Settings, list[Fault]]:
    """The settings with max_epoch as max_iter, where it comes first; and a note that says what it came to.

    max_epoch · records / (batch_size · iter_size) iterations, rounded up.

    Args:
        train: the train net, whose data is at hand.
        places: finds fields of the solver.

    Raises:
        SettingsError: no layer knows how many records an epoch has, or several disagree.
        DataError: the data is missing or damaged.
    """
    if not settings.max_epoch:
        return settings, []
    epochs = Fraction(str(np.float32(settings.max_epoch)))  # 0.1 is meant, not what is next to it in single precision
    records, batch = _epoch(train, places)
    batch *= settings.iter_size
    iterations = ceil(epochs * records / batch)
    text = f"max_epoch {settings.max_epoch:g} is {iterations} iterations: {records} records, {batch} an iteration"
    if not settings.max_iter or iterations <= settings.max_iter:
        return replace(settings, max_iter=iterations), [Fault(text, severity="note", code="CL526")]
    return settings, [Fault(f"{text}; max_iter {settings.max_iter} comes first", severity="note", code="CL526")]


def _epoch(train: Graph, places: Places) -> tuple[int, int]:
    """How many records an epoch has, and a batch."""
    sources = [(node, node.layer) for node in train.nodes if isinstance(node.layer, FedLayer)]
    known = [(node, layer.records, layer.batch_size) for node, layer in sources if layer.records is not None]
    if not known:
        message = "max_epoch: no layer of the train net knows how many records it has"
        help = "Data, ImageData and HDF5Data know; with others, say how long to train with max_iter"
        raise SettingsError(Fault(message, places("max_epoch"), help, code="CL524"))
    if len({Fraction(records, batch) for _, records, batch in known}) > 1:
        each = ", ".join(f"{node.name} {records} in batches of {batch}" for node, records, batch in known)
        message = f"max_epoch: the layers of the train net do not agree on what an epoch is: they read {each}"
        help = "say how long to train with max_iter"
        raise SettingsError(Fault(message, places("max_epoch"), help, code="CL524"))
    _, records, batch = known[0]
    return records, batch
