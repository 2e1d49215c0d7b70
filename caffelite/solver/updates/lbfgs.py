"""L-BFGS: steps by the curvature that the last ones showed (Liu and Nocedal, 1989)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...layerkit.base import torch
from ..checks import Checks
from ..objective import Objective
from ..search import Search, number, numbers, vectors
from ..settings import Settings
from ..update import Memory, update

if TYPE_CHECKING:
    from torch import Tensor

SMALL = 0.1
_NEXT_TO_NOTHING = 1e-30
"""Below this torch sees no progress.  Its own 1e-9 would end a training whose loss is in small units."""


@update("LBFGS")
class LBFGS(Search):
    """A step that knows the curvature, as the last ones showed it, and how far to go.  For batches that are all of the
    data, or nearly so: from one batch to another gradients must change by less than a step changes them.

        d = -H · g;  update = -t · d,  so that  f(w + t · d) ≤ f(w) + 0.0001 · t · g·d
                                           and  |f'(w + t · d) · d| ≤ 0.9 · |g·d|

    f is the loss with decay/2 · w², and g its gradient; H is an inverse of the curvature, made from the last
    history_size changes of w and g.  To find t, f and its gradient are computed again, up to max_evaluations times in
    an iteration with its first, of the same batches and with the same choices of chance.  The first t is rate, in the
    first iteration rate · min(1, 1 / Σ|g|): base_lr 1 is the rule.  If nothing lower is found, the weights stay, and
    the next iteration is like the first, but begins at a tenth.

    All weights move by one t.  Those with lr_mult 0 stay; others stretch the space by √lr_mult, so that the first step
    goes along lr_mult · g.  No momentum, no clip_gradients, no L1.  The history is empty; what it remembers instead
    takes 2 · history_size + 2 times the memory of the weights.

    This is torch.optim.LBFGS with strong_wolfe, max_iter 1, max_eval max_evaluations - 1, and without tolerances.

    Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """

    reads = frozenset({"history_size", "max_evaluations"})
    example = """
    type: "LBFGS" base_lr: 1 lr_policy: "fixed"
    history_size: 10 max_evaluations: 20 weight_decay: 0.0005
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._optimizer: torch.optim.LBFGS | None = None
        self._state: dict[str, Any] = {}

    @classmethod
    def check(cls, checks: Checks) -> None:
        super().check(checks)
        checks.require(checks.message.history_size >= 1, "history_size", "must be at least 1")
        if 0 < checks.message.base_lr < SMALL:
            message = f"base_lr is small for {cls.type}: it tries so small a part of each step first"
            checks.warn(message, "base_lr", "base_lr: 1", code="CL510")

    def search(self, objective: Objective, rate: float) -> Tensor:
        optimizer = self._made(objective.start[1])
        (group,) = optimizer.param_groups
        (move,) = group["params"]
        move.zero_()
        group["lr"] = rate

        def evaluate() -> float:
            value, move.grad = objective(move)
            return value

        optimizer.step(evaluate)  # type: ignore[arg-type]  # a number will do
        return move

    def _made(self, like: Tensor) -> torch.optim.LBFGS:
        """The optimizer, of one parameter: how far the weights move."""
        if self._optimizer is None:
            move = torch.zeros_like(like)
            self._optimizer = torch.optim.LBFGS(
                [move],
                max_iter=1,
                max_eval=self.settings.max_evaluations - 1,
                tolerance_grad=0.0,
                tolerance_change=_NEXT_TO_NOTHING,
                history_size=self.settings.history_size,
                line_search_fn="strong_wolfe",
            )
            self._optimizer.state[move] = self._state
        return self._optimizer

    def learned(self) -> Memory:
        """torch's state under its own names, but for what each step makes anew."""
        state = self._state
        if not state.get("n_iter"):
            return {}
        return {
            "n_iter": state["n_iter"],
            "t": [float(state["t"])],
            "H_diag": [float(state["H_diag"])],
            "ro": [float(one) for one in state["ro"]],
            "d": [state["d"]],
            "prev_flat_grad": [state["prev_flat_grad"].clone()],
            "old_dirs": list(state["old_dirs"]),
            "old_stps": list(state["old_stps"]),
        }

    def learn(self, memory: Memory, size: int) -> None:
        state: dict[str, Any] = {}
        if memory:
            known = memory.get("ro")
            pairs, newest = len(known) if isinstance(known, list) else 0, slice(-self.settings.history_size, None)
            state = {"n_iter": number(memory, "n_iter"), "func_evals": 0}
            state |= {name: numbers(memory, name, 1)[0] for name in ("t", "H_diag")}
            state |= {name: vectors(memory, name, 1, size)[0] for name in ("d", "prev_flat_grad")}
            state["ro"] = numbers(memory, "ro", pairs)[newest]
            state |= {name: vectors(memory, name, pairs, size)[newest] for name in ("old_dirs", "old_stps")}
            state["prev_flat_grad"] = state["prev_flat_grad"].clone()  # torch writes to it
        self._optimizer, self._state = None, state
