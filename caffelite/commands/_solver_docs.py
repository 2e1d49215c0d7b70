"""docs/solvers.md from the solver types' own docstrings and examples:
`python -m caffelite.commands._solver_docs docs/solvers.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from ..proto import SolverParameter
from ..solver.update import FIELDS, Update, updates
from ._layer_docs import PROTO, markdown

HEAD = f"""# The solver types

Made from the types' own files by `make docs`.

A solver's `type` says what becomes of the gradients. In each iteration, for every weight w:

```text
g = the gradient, added up over iter_size batches
g ← g · clip_gradients / |all g|     where clip_gradients is given, and the length of all g together above it
g ← g / iter_size
g ← g + decay · w                    or, with regularization_type: "L1",  g + decay · sign(w)
update = what the type makes of g
w ← w - update
```

rate is that of the iteration, as `lr_policy` has it, times the `lr_mult` of w; decay is `weight_decay` times its
`decay_mult` (AdamW, LBFGS and ConjugateGradient put it elsewhere, as they say). All of it is element by element, but
for a·b, the sum of the products of all elements of two vectors. ← is "becomes", one line after the other. What a type
carries on, such as h, begins with zeros, and is the history in a solverstate. The line below each name shows the fields
of its own with their defaults; [caffe.proto]({PROTO}) explains them.

Each example is what a solver file says about the update; `net`, `max_iter` and the rest go with it.

Every type is a torch optimizer as well, for nets that are torch modules, with the same arithmetic and the same fields
(base_lr is `lr`); `help(caffelite.optim)` tells what is different there:

```python
import caffelite.optim

optimizer = caffelite.optim.Nesterov(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)
```
"""


def _fields(kind: type[Update]) -> str:
    """The settings it reads, with their defaults."""
    schema = SolverParameter()
    return " · ".join(f"`{name}` {getattr(schema, name):g}" for name in ("momentum", *FIELDS) if name in kind.reads)


def _section(kind: type[Update]) -> Iterator[str]:
    yield f"## {kind.type}"
    yield _fields(kind)
    for paragraph in inspect.cleandoc(kind.__doc__ or "").split("\n\n"):
        formula = paragraph.startswith("    ")
        yield f"```text\n{dedent(paragraph)}\n```" if formula else markdown(paragraph)
    yield f"```prototxt\n{inspect.cleandoc(kind.example)}\n```"


def text() -> str:
    """The page."""
    kinds = [updates[name] for name in updates]
    parts = [HEAD.rstrip("\n"), ", ".join(f"[{kind.type}](#{kind.type.lower()})" for kind in kinds) + "."]
    for kind in kinds:
        parts += _section(kind)
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
