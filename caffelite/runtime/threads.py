"""Processors, and how many threads torch computes with."""

from __future__ import annotations

import os
from functools import cache, partial
from threading import Thread

from .torch_later import torch


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def compute_alone_in_forks() -> None:
    """Let processes that are forked from this one compute without helpers, as torch's own loaders do.

    The helpers of their parent are not there, and they would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def compute_alone() -> None:
    """Let this thread compute without helpers, and leave all other threads what they have.

    Where several threads compute at once, helpers of each of them would only wait for each other.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread; and what threads begin with, which is put back by another thread
    other = Thread(target=torch.set_num_threads, args=(usual,))
    other.start()
    other.join()
