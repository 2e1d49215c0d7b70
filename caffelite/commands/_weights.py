"""Loading trained weights, and telling which layers got them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..net import Net
    from ..net.weights import Loaded
    from ._log import Log


def load_and_tell(net: Net, path: str, log: Log) -> None:
    """Copy the weights of a file into a net and log a table: which layers were loaded, which not, and why.

    Raises:
        SnapshotError: the file cannot be read, or a layer's blobs do not fit.
    """
    log.note(f"Finetuning from {path}", "solver.cpp:72")
    report = net.load_weights(path)
    name, status = (max((len(text) for text in column), default=0) for column in _columns(report))
    for row in report:
        log.note(f"    {row.layer:<{name}}  {row.status:<{status}}  {row.detail}".rstrip(), "net.cpp:747")
    if not any(row.status == "loaded" for row in report):
        log.note(f"no layer of the net got weights from {path}: no layer of it has the same name", severity="warning")


def _columns(report: Sequence[Loaded]) -> tuple[list[str], list[str]]:
    return [row.layer for row in report], [row.status for row in report]
