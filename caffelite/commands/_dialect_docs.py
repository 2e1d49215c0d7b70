"""docs/dialects.md from the tables of dialects and the layer types that came from forks:
`python -m caffelite.commands._dialect_docs docs/dialects.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import dialects
from ..layerkit import layers
from ._layer_docs import anchor, title

HEAD = """# The dialects of Caffe

Made from the tables of `caffelite/dialects` and the layers' own files by `make docs`.

Caffe had many forks, and files written for them ask for what Caffe itself never knew. What is common and well defined
is built here under the fork's own names: its layer types, and its settings, which `protos/caffe.proto` explains. The
numbers of these fields are ours, as forks gave one number to different things; a fork's trained weights are found by
the names of their layers all the same. What only chooses how the same is computed is passed over with a note. What is
known and not built is an error that says whose it is. `caffelite check` tells all of this of a file, and
`caffelite upgrade` writes second names of types as the plain ones; where it lays a setting out anew, what has no effect
is left out.
"""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _built() -> Iterator[str]:
    yield "## Layer types that are built"
    kinds = [layers[name] for name in layers]
    forks: dict[str, list[str]] = {}
    for kind in sorted((kind for kind in kinds if kind.fork), key=lambda kind: title(kind).lower()):
        forks.setdefault(kind.fork, []).append(f"[{title(kind)}](layers.md#{anchor(kind)})")
    yield "\n".join(f"- {fork}: {', '.join(forks[fork])}" for fork in sorted(forks, key=str.lower))


def _readings() -> Iterator[str]:
    yield "## Names with several meanings"
    yield (
        "Which one a layer has is told by settings that only one of them knows, by the number of its weights or blobs, "
        "or by the other layers of its type in the file. Where nothing tells, the error shows every meaning, and "
        '`dialect: "…"` in the layer settles it.'
    )
    for entry in sorted(dialects.table().get("reading", []), key=lambda entry: entry["type"].lower()):
        rows = [f'- `dialect: "{fork["fork"]}"`: {fork["meaning"]}.' for fork in entry["forks"]]
        yield "\n".join([f"**{entry['type']}**", "", *rows])


def _aliases() -> Iterator[str]:
    yield "## Other names of the same"
    for entry in dialects.table().get("alias", []):
        names = ", ".join(f"`{name}` is `{kind}`" for name, kind in entry["types"].items())
        yield f"- {entry['fork']} ({entry['meaning']}): {names}"


def _python() -> Iterator[str]:
    yield "## Python layers that are known"
    yield (
        "Where a net asks for one of these classes and its code may not or cannot be run, caffelite's own layer of the "
        "same arithmetic stands for it, with a note."
    )
    for entry in dialects.table().get("python", []):
        yield f"- {entry['fork']}: {_listed(entry['names'])}"


def _rows(entries: Sequence[Any]) -> Iterator[str]:
    for entry in sorted(entries, key=lambda entry: entry["fork"].lower()):
        where = f" in {', '.join(entry['of'])}" if entry.get("of") else ""
        help = f"; {entry['instead']}" if entry.get("instead") else ""
        meaning = f"{entry['meaning'][0].upper()}{entry['meaning'][1:]}"
        yield f"- {entry['fork']}: {_listed(entry['names'])}{where}. {meaning}{help}."


def _known() -> Iterator[str]:
    table = dialects.table()
    settings = [*table.get("field", []), *table.get("value", [])]
    yield "## Settings without effect here"
    yield "\n".join(_rows([entry for entry in settings if not entry.get("effect", True)]))
    yield "## Known, and not built"
    yield "Layer types:"
    yield "\n".join(_rows(table.get("type", [])))
    yield "Settings, and values of settings:"
    yield "\n".join(_rows([entry for entry in settings if entry.get("effect", True)]))


def text() -> str:
    """The page."""
    parts = [HEAD.rstrip("\n")]
    for section in (_built, _readings, _aliases, _python, _known):
        parts += section()
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
