"""What `check` knows: everything that is wrong with a net or solver, told at once, each finding with a code.

Faults of text, graph, layers, data and settings come from the rooms below, which attach the codes; rules about what is
well-formed and yet hardly meant are here, one a function (:mod:`.rules`).  `codes/` holds what `caffelite explain` says
about each code.  No torch.
"""

from __future__ import annotations

from .checking import Options, Report, check

__all__ = ["Options", "Report", "check"]
