"""Contenders in processes of their own, as their users run them.

In one process they would share what the C library does with freed memory, and what the first of them made of it.  While
one computes, the others wait to be asked, and need no processor.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from caffelite.runtime.memory import keep_freed

from .harness import Turn

REST = 0.05
"""Seconds until threads that have just computed have ceased to look for work."""


@dataclass(frozen=True)
class Made:
    """A contender that is ready, and what there is to say about it."""

    turn: Turn
    note: str | None = None


Make = Callable[[], Made]
"""Makes a contender; to be sent to another process."""


class Failed(Exception):
    """A contender could not be made, or failed."""


class Apart:
    """A turn that another process makes.

    Args:
        make: makes it, there.
        threads: that it computes with.
        keeping: its process keeps memory that it frees, even where `make` does not ask for that.

    Attributes:
        note: what there is to say about it.

    Raises:
        Failed: it cannot be made.
        SystemExit: it would not do the same work as the others.
    """

    def __init__(self, make: Make, threads: int, *, keeping: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, threads, keeping), daemon=True)
        self._process.start()
        theirs.close()
        self.note: str | None = self._answer()

    def __call__(self, iterations: int) -> float:
        """Seconds that so many iterations take.

        Raises:
            Failed: they could not be made.
        """
        self._connection.send(iterations)
        taken: float = self._answer()
        time.sleep(REST)
        return taken

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise Failed("its process has ended") from None
        if isinstance(answer, BaseException):
            self.close()
            raise answer
        return answer

    def close(self) -> None:
        """End the process.  May be called twice."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Make, threads: int, keeping: bool) -> None:
    torch.set_num_threads(threads)
    if keeping:
        keep_freed()
    try:
        made = make()
        connection.send(made.note)
        while True:
            connection.send(made.turn(connection.recv()))
    except EOFError:
        return
    except SystemExit as error:  # it computes something else
        connection.send(error)
    except BaseException as error:
        connection.send(Failed(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"))
