"""Names of the original's training on several GPUs, as far as one process on one device has a use for them."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import UsageError

WHY = "one process trains on one device here"


def has_nccl() -> bool:
    """Whether several GPUs can train one net: no."""
    return False


class NCCL:
    """Not available.

    Raises:
        UsageError: always.
    """

    def __init__(self, solver: Any = None, uid: Any = None) -> None:
        _refuse("NCCL is not available")

    @staticmethod
    def new_uid() -> bytes:
        """Not available.

        Raises:
            UsageError: always.
        """
        _refuse("NCCL is not available")


def _refuse(what: str) -> NoReturn:
    raise UsageError(f"{what}: {WHY}", help="leave out what is meant for several GPUs; caffe.has_nccl() is False")


def solver_count() -> int:
    """How many solvers train together: 1."""
    return 1


def solver_rank() -> int:
    """Which of the solvers this is: 0."""
    return 0


def set_solver_count(count: int) -> None:
    """Say how many solvers train together.

    Raises:
        UsageError: it is not 1.
    """
    if count != 1:
        _refuse(f"{count} solvers cannot train together")


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers this is.

    Raises:
        UsageError: it is not 0.
    """
    if rank != 0:
        _refuse(f"there is no solver of rank {rank}")


def set_multiprocess(several: bool) -> None:
    """Say whether several processes train together.

    Raises:
        UsageError: they do.
    """
    if several:
        _refuse("several processes cannot train together")
