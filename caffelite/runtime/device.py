"""Where a net computes, and in which memory order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice

from ..errors import DeviceError
from .torch_later import torch


def choose(gpus: Sequence[int] | None, wants_gpu: bool, device_id: int = 0) -> tuple[torch.device, str | None]:
    """The device to compute on, and a warning where it is not the one the solver file names.

    Args:
        gpus: what the command line asked for by number; None where it said nothing, [-1] for "all".
        wants_gpu: the solver's `solver_mode: GPU`, the schema's default.
        device_id: the solver's: which GPU it means.

    Raises:
        DeviceError: a GPU asked for by number is not there, or more than one was asked for.
    """
    if gpus is None:
        if not wants_gpu:
            return torch.device("cpu"), None
        if torch.cuda.is_available():
            return choose([device_id], True)
        return torch.device("cpu"), "solver_mode is GPU and there is no CUDA device here: training on the CPU"
    if not torch.cuda.is_available():
        raise DeviceError(
            "a GPU was asked for, and PyTorch finds no CUDA device here",
            help="leave --gpu out, or set_mode_gpu(), to compute on the CPU",
        )
    present = torch.cuda.device_count()
    wanted = list(range(present)) if list(gpus) == [-1] else list(gpus)
    if len(wanted) > 1:
        raise DeviceError(
            f"{len(wanted)} GPUs were asked for; training on more than one is not supported yet",
            help=f"name one of them: --gpu {wanted[0]}",
        )
    if not 0 <= wanted[0] < present:
        raise DeviceError(f"there is no GPU {wanted[0]}; this machine has {present}, numbered from 0")
    return torch.device("cuda", wanted[0]), None


_MANY = 16


def numbers(tensors: Sequence[torch.Tensor]) -> list[list[float]]:
    """The values of tensors; on a GPU all of them are waited for at once, on a CPU many are read at once."""
    if len(tensors) < (_MANY if tensors and tensors[0].device.type == "cpu" else 2):
        return [one.detach().reshape(-1).tolist() for one in tensors]
    if all(one.dim() == 0 for one in tensors):
        return [[value] for value in torch.stack(list(tensors)).tolist()]
    values = iter(torch.cat([one.detach().reshape(-1) for one in tensors]).tolist())
    return [list(islice(values, one.numel())) for one in tensors]


def arithmetic(device: torch.device, *, tf32: bool) -> AbstractContextManager[None]:
    """What is computed in it on a GPU is the same each time, and single precision may have its factors rounded to TF32
    or not.

    Left alone, torch rounds those of convolutions and not those of matrix products, and sums gradients of convolutions
    in whatever order.
    """
    return _settled(tf32) if device.type == "cuda" else _AS_IT_IS


_AS_IT_IS = nullcontext()


@contextmanager
def _settled(tf32: bool) -> Iterator[None]:
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark
    matrices.allow_tf32 = convolutions.allow_tf32 = tf32
    convolutions.deterministic, convolutions.benchmark = True, False
    try:
        yield
    finally:
        matrices.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark = before


WINDOWED = frozenset({"Convolution", "Deconvolution", "Pooling", "LRN"})
"""Types that gain from channels_last (on the CPU measured by `benchmarks/memory_format.py`)."""


def channels_last(types: Iterable[str], device: torch.device, *, rounds: bool) -> bool:
    """Whether a net of these layer types keeps its 4-d values and weights in channels_last memory order.

    Args:
        rounds: factors are rounded.  A GPU that rounds them gains by the order what a CPU does; in single precision
            GoogLeNet takes a third longer with it there (docs/benchmarks.md).
    """
    return (device.type == "cpu" or rounds) and not WINDOWED.isdisjoint(types)
