"""How nets show themselves: as text at a prompt, as a table and a picture in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ..proto import Phase
from ..tools import drawing
from ..tools.summary import HEAD, Row, rows, table

if TYPE_CHECKING:
    from ..graph import Graph


def heading(graph: Graph) -> str:
    """`Net "LeNet", TEST`."""
    return f'Net "{graph.name}", {Phase.Name(graph.phase)}'


def text(graph: Graph) -> str:
    """The net as a table for a terminal."""
    return f"{heading(graph)}\n\n{table(graph)}"


def html(graph: Graph) -> str:
    """The net as HTML: its picture, and the table folded away behind it."""
    *found, last = rows(graph)
    body = "".join(_line(row, "td") for row in found) + _line(last, "th")
    folded = f"<details><summary>table of layers</summary><table>{_line(HEAD, 'th')}{body}</table></details>"
    return f"<p><b>{escape(heading(graph))}</b></p>{drawing.notebook(graph)}{folded}"


def _line(row: Row, cell: str) -> str:
    sides = ("left",) * 3 + ("right",) * 3
    cells = (
        f'<{cell} style="text-align: {side}">{escape(value)}</{cell}>' for value, side in zip(row, sides, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def picture(message: Any) -> str:
    """A NetParameter as HTML: its picture, with shapes as far as they are known without data."""
    return drawing.notebook(message)
