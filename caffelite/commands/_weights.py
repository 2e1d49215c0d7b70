"""Telling which layers got trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..net.weights import Loaded
    from ._log import Log


def tell(path: str, report: Sequence[Loaded], log: Log, *, exceptions_only: bool = False) -> None:
    """Log a table: which layers were loaded from `path`, which not, and why.

    Args:
        exceptions_only: leave out the layers that were loaded.
    """
    if not any(row.status == "loaded" for row in report):
        log.note(f"no layer of the net got weights from {path}: no layer of it has the same name", severity="warning")
    if exceptions_only:
        report = [row for row in report if row.status != "loaded"]
    name, status = (max((len(text) for text in column), default=0) for column in _columns(report))
    for row in report:
        log.note(f"    {row.layer:<{name}}  {row.status:<{status}}  {row.detail}".rstrip(), "net.cpp:747")


def _columns(report: Sequence[Loaded]) -> tuple[list[str], list[str]]:
    return [row.layer for row in report], [row.status for row in report]
