"""Functions of tensors on a GPU as CUDA graphs: all their operators are launched at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .recording import Function, Tensors


class Graphed:
    """What a function does, as a CUDA graph, captured when it is first called.

    A graph reads and writes the same memory each time.  So inputs are copied to where it reads them, and **the results
    of a call lie where those of the next one will**.

    Args:
        function: waits for no device.
        stay: so many of its last inputs are not copied; the graph is captured again if they lie elsewhere.
    """

    def __init__(self, function: Function, stay: int) -> None:
        self._function, self._stay = function, stay
        self._graph: torch.cuda.CUDAGraph | None = None
        self._copied: list[torch.Tensor] = []
        self._places: list[int] = []
        self._results: Tensors = ()

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Tensors:
        """The results.

        Raises:
            RuntimeError: there is no such graph.
        """
        moving, staying = inputs[: len(inputs) - self._stay], inputs[len(inputs) - self._stay :]
        places = [one.data_ptr() for one in staying]
        if self._graph is None or places != self._places:
            self._graph = self._captured(moving, staying)
            self._places = places
        elif moving:
            torch._foreach_copy_(self._copied, list(moving), non_blocking=True)
        self._graph.replay()
        return self._results

    def _captured(self, moving: Sequence[torch.Tensor], staying: Sequence[torch.Tensor]) -> torch.cuda.CUDAGraph:
        self._graph, self._results = None, ()  # their memory is free before more is asked for
        device = (*moving, *staying)[0].device
        self._copied = [one.clone() for one in moving]
        graph = torch.cuda.CUDAGraph()
        # Threads that load data may ask for memory meanwhile.
        capturing = torch.cuda.graph(graph, stream=torch.cuda.Stream(device), capture_error_mode="thread_local")
        with torch.cuda.device(device), capturing:
            self._results = self._function([*self._copied, *staying])
        return graph
