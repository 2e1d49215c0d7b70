"""Prototxt: text ⇄ message through a lossless syntax tree.

protobuf's own reader stops at the first fault and forgets where things stood; this one reports every fault of a file
at once, knows the place of any field, and reads what old files contain.  :func:`load`, :func:`loads` and :func:`dump`
are the door; :func:`override` is the command line's ``--set``; :func:`formatted` lays a text out anew,
comments and all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .override import override
from .read import Loaded, load, loads, refuse_empty, survey, text_of
from .where import sub
from .write import dump

if TYPE_CHECKING:
    from .layout import formatted

__all__ = ["Loaded", "dump", "formatted", "load", "loads", "override", "refuse_empty", "sub", "survey", "text_of"]


def __getattr__(name: str) -> Any:
    """`formatted`, which hardly anybody needs, is imported when it is asked for."""
    if name == "formatted":
        from .layout import formatted

        return formatted
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
