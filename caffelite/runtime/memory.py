"""What the process does with memory that it frees."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What malloc.h of GNU's C library calls them."""
_LARGEST = 32 << 20
"""The most that it allows."""
_NEVER = 1 << 30


def keep_freed() -> bool:
    """Let this process keep memory that it frees for what it allocates next, instead of handing it back to the system.

    A pass frees its activations and the next one allocates them anew.  Unless the C library is told, it gives larger
    pieces back each time, and the system hands out others, page by page, each to be cleared first: thousands of times
    an iteration.  The most memory that is used at any time stays what it was.

    It is for programs of ours to ask, not for a library: all that runs in the process is affected.  MKL, which would
    keep what it frees to itself, is told not to, as it gains nothing by that then.

    Returns:
        Whether it could be asked for; False where the C library is not GNU's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    os.environ.setdefault("MKL_DISABLE_FAST_MM", "1")
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
