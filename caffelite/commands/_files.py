"""Prototxt files as `check` and `summary` look at them: whole chains without data, weights or torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import Fault, UsageError

if TYPE_CHECKING:
    from ..graph import Graph

# Fields that a solver has and nothing inside a net; a net written inside a solver is found by the second half.
_SOLVER = re.compile(
    r"(?:^|[\s{;,])(?:(?:base_lr|lr_policy|max_iter|net|train_net|test_net|test_iter|test_interval|snapshot_prefix"
    r"|solver_mode|solver_type)\s*:|(?:net_param|train_net_param|test_net_param)\s*[:{<])"
)


_ENOUGH = 1 << 20
"""Characters that tell a solver from a net; whoever gives a database instead need not have it read to its end."""


def is_solver(path: str) -> bool:
    """Whether a prototxt describes a solver, judged by its fields; a file that cannot be read counts as a net."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(_ENOUGH)
    except OSError:
        return False
    return _SOLVER.search(re.sub(r"#.*|\"[^\"\n]*\"|'[^'\n]*'", "", text)) is not None


input_option = click.option(
    "--input",
    "shapes",
    multiple=True,
    metavar="BLOB=NxCxHxW",
    help="Shape of a data blob whose source is not at hand. Repeatable.",
)


def given_shapes(entries: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """`--input data=64x1x28x28` as blob → shape.

    Raises:
        UsageError: an entry is not of this form.
    """
    found = {}
    for entry in entries:
        blob, _, sizes = entry.partition("=")
        numbers = sizes.replace("x", ",").split(",")
        if not blob or not all(number.strip().isdecimal() for number in numbers):
            raise UsageError(f'--input takes BLOB=NxCxHxW, not "{entry}"', help="--input data=64x1x28x28")
        found[blob] = tuple(int(number) for number in numbers)
    return found


def unused_shapes(graph: Graph, given: Mapping[str, tuple[int, ...]]) -> list[Fault]:
    """Warnings about shapes of `--input` that a graph had no use for."""
    from ..graph.given import unused_shapes as unused

    return unused(graph, given)
