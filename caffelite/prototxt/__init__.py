"""Prototxt: text ⇄ message through a lossless syntax tree.

protobuf's own reader stops at the first fault and forgets where things stood; this one reports every fault of a file
at once, knows the place of any field, and reads what old files contain.  :func:`load`, :func:`loads` and :func:`dump`
are the door; :func:`override` is the command line's ``--set``; :func:`formatted` lays a text out anew,
comments and all.
"""

from __future__ import annotations

from .layout import formatted
from .override import override
from .read import Loaded, load, loads, text_of
from .where import sub
from .write import dump

__all__ = ["Loaded", "dump", "formatted", "load", "loads", "override", "sub", "text_of"]
