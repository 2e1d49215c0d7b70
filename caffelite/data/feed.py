"""Batches in order, loaded ahead of need by background threads where that pays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import perf_counter
from typing import Generic, TypeVar

Batch = TypeVar("Batch")

WORTH_A_THREAD = 200e-6
"""Seconds.  Handing a batch from one thread to another costs some 100 µs where both want the interpreter, so what
loads faster than this is loaded when it is wanted.  No value depends on it."""

_REMEMBERED = 8


class Feed(Generic[Batch]):
    """Batches by position: batch p is `load(p)`, and positions follow each other in steps of `step`.

    What is handed out depends on the position asked for alone; what was loaded ahead of it and is not wanted is
    dropped.

    Args:
        load: makes a batch; may be called by several threads at once.
        step: from one position to the next.
        ahead: at most so many batches are loaded, or being loaded, before they are wanted.
        workers: threads that load; 0: none, each batch is loaded when it is wanted.
        begin: called once by each thread before anything else.
        worth: the seconds of a load from which on threads pay.
    """

    def __init__(
        self,
        load: Callable[[int], Batch],
        step: int,
        ahead: int,
        workers: int = 1,
        begin: Callable[[], object] | None = None,
        worth: float = WORTH_A_THREAD,
    ) -> None:
        self._load = load
        self._step = step
        self._ahead = ahead
        self._workers = min(workers, ahead)
        self._begin = begin
        self._worth = worth
        self._queue: deque[tuple[int, Future[Batch]]] = deque()
        self._executor: ThreadPoolExecutor | None = None
        self._durations: deque[float] = deque(maxlen=_REMEMBERED)

    def take(self, position: int) -> Batch:
        """The batch at `position`.  What `load` raised for it is raised here."""
        if self._queue and self._queue[0][0] != position:
            self._drop()
        if self._pays():
            self._order(position)
        if not self._queue:
            return self._timed(position)
        future = self._queue.popleft()[1]
        try:
            return future.result()
        except BaseException:
            self._drop()
            raise

    def _pays(self) -> bool:
        """Whether to load ahead.  The quickest of the last loads counts: the others were disturbed."""
        return bool(self._workers and self._durations) and min(self._durations) > self._worth

    def _timed(self, position: int) -> Batch:
        start = perf_counter()
        batch = self._load(position)
        self._durations.append(perf_counter() - start)
        return batch

    def _order(self, position: int) -> None:
        """Have everything loaded up to `ahead` batches after `position`."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._workers, "caffelite-data", self._begin)
        following = self._queue[-1][0] + self._step if self._queue else position
        for wanted in range(following, position + (self._ahead + 1) * self._step, self._step):
            self._queue.append((wanted, self._executor.submit(self._timed, wanted)))

    def _drop(self) -> None:
        """Forget what was ordered; afterwards the threads are idle."""
        wait([future for _, future in self._queue if not future.cancel()])
        self._queue.clear()

    def close(self) -> None:
        """Stop the threads.  May be called twice."""
        self._drop()
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
