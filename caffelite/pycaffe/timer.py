"""A stopwatch that also waits for the GPU."""

from __future__ import annotations

import time

from . import state


def _now() -> float:
    device = state.current_device()
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


class Timer:
    """Wall time between `start` and `stop`.

    Source: `src/caffe/util/benchmark.cpp`: a second `start` without a `stop` between them changes nothing.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Begin, unless it runs already."""
        if self._begun is None:
            self._begun = _now()

    def stop(self) -> None:
        """End, unless it does not run."""
        if self._begun is not None:
            self._seconds, self._begun = _now() - self._begun, None

    @property
    def ms(self) -> float:
        """Milliseconds of the last run; one that goes on is ended.  0 where there was none."""
        self.stop()
        return self._seconds * 1e3
