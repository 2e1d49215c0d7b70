"""Prototxt: text ⇄ message through a lossless syntax tree.

protobuf's own reader stops at the first fault and forgets where things stood; this one reports every fault of a file
at once, knows the place of any field, and reads what old files contain.  :func:`load`, :func:`loads` and :func:`dump`
are the door; :func:`override` is the command line's ``--set``.
"""

from __future__ import annotations

from .override import override
from .read import Loaded, load, loads
from .where import sub
from .write import dump

__all__ = ["Loaded", "dump", "load", "loads", "override", "sub"]
