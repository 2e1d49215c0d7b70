"""The solver types as torch optimizers, for nets that are torch modules.

    optimizer = caffelite.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

They are made of the same classes as a solver's, so that a step computes what an iteration does, to the last bit: there
is one for each solver type, by its name.  Settings have the names of a solver's prototxt, but for `lr`, which is the
rate; they may differ from one param group to another, schedulers may change them, and torch's `state_dict` and
`load_state_dict` keep all state.  lr_mult and decay_mult are a param group's `lr` and `weight_decay`; to clip gradients
there is `torch.nn.utils.clip_grad_norm_`.

Two things are as in torch.optim, not as in a solver: a parameter without a gradient is left alone (a solver takes it
for zeros), and gradients stay what they were (a solver leaves updates in their place).
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from .errors import SettingsError, UsageError
from .proto import SolverParameter
from .solver.objective import Objective
from .solver.policies import single
from .solver.rule import decay_and_apply
from .solver.search import Search
from .solver.settings import Settings
from .solver.update import FIELDS, Group, Update, updates

Closure = Callable[[], Any]


class SolverOptimizer(torch.optim.Optimizer):
    """Base of them all.

    Args:
        params: parameters, or param groups; of types that search, one group.
        lr: the rate.
        settings: those the type reads, weight_decay and regularization_type; the schema's defaults.

    Raises:
        SettingsError: with everything that is wrong with them, of a param group too.
    """

    kind: ClassVar[type[Update]]

    def __init__(self, params: Any, lr: float | Tensor, **settings: Any) -> None:
        known = _defaults(self.kind.type)
        for name in settings:
            if name not in known:
                raise SettingsError(
                    f'{self.kind.type} has no setting "{name}"', help=f"it has {', '.join(['lr', *known])}"
                )
        super().__init__(params, {"lr": lr} | known | settings)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with settings that are to differ.

        Raises:
            SettingsError: they are wrong, or the type searches and has a group.
            UsageError: a parameter is complex.
        """
        if issubclass(self.kind, Search) and self.param_groups:
            raise SettingsError(f"{self.kind.type} has one param group: it moves all parameters by one step")
        full = self.defaults | param_group
        for warning in _settings(self.kind.type, _given(self.kind, full), float(full["lr"])).warnings:
            warnings.warn(warning.message, stacklevel=4)
        super().add_param_group(param_group)
        if any(parameter.is_complex() for parameter in self.param_groups[-1]["params"]):
            raise UsageError(f"{self.kind.type} takes real parameters only", help="torch.view_as_real")

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:  # type: ignore[override]
        """One update of all parameters that have a gradient.

        Args:
            closure: clears gradients, computes the loss and its gradients, and returns it; types that search need it,
                and call it at most max_evaluations times.

        Returns:
            What the first call of `closure` returned.

        Raises:
            UsageError: the type searches, and there is no closure.
        """
        evaluate = torch.enable_grad()(closure) if closure is not None else None
        if issubclass(self.kind, Search):
            return self._search(self.kind, evaluate)
        loss = evaluate() if evaluate is not None else None
        for group in self.param_groups:
            update = self.kind(_settings(self.kind.type, _given(self.kind, group)))
            alike: dict[Any, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[self._state(parameter)["step"], parameter.device, parameter.dtype].append(parameter)
            for (step, *_), members in alike.items():
                self._advance(update, members, group, step)
        return loss

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            zeros = [torch.zeros_like(parameter) for _ in range(self.kind.slots)]
            state.update(step=0, history=zeros)
        return state

    def _advance(self, update: Update, members: list[Tensor], group: dict[str, Any], step: int) -> None:
        states = [self.state[parameter] for parameter in members]
        decay_and_apply(
            update,
            Group(
                weights=members,
                gradients=[_dense(parameter).clone() for parameter in members],
                history=[[state["history"][slot] for state in states] for slot in range(update.slots)],
                rate=single(float(group["lr"])),
                decay=single(update.settings.weight_decay),
                iteration=step,
                momentum=update.settings.momentum,
            ),
        )
        for state in states:
            state["step"] += 1

    def _search(self, kind: type[Search], evaluate: Closure | None) -> Any:
        if evaluate is None:
            raise UsageError(f"{kind.type} computes loss and gradients several times: step needs a closure")
        (group,) = self.param_groups
        again = _Again(evaluate(), evaluate)
        moving = [_Moving(parameter) for parameter in group["params"] if parameter.requires_grad]
        if moving:
            settings = _settings(kind.type, _given(kind, group))
            update, state = kind(settings), self.state[moving[0].tensor]
            update.remember(state, sum(one.tensor.numel() for one in moving))
            update.move(Objective(moving, settings, again), single(float(group["lr"])))
            memory = update.remembered()
            state.clear()
            state |= memory
        return again.loss


@dataclass(frozen=True, slots=True)
class _Again:
    """A closure that was called once."""

    loss: Any
    evaluate: Closure

    def __call__(self) -> Any:
        return self.evaluate()


@dataclass(frozen=True, slots=True)
class _Moving:
    """A parameter as an objective sees it."""

    tensor: Tensor
    lr_mult: float = 1.0
    decay_mult: float = 1.0

    @property
    def grad(self) -> Tensor | None:
        return None if self.tensor.grad is None else _dense(self.tensor)


def _dense(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    return gradient.to_dense() if gradient.layout != torch.strided else gradient


@cache
def _defaults(kind: str) -> dict[str, Any]:
    """The settings of a type and their defaults."""
    schema = SolverParameter()
    read = [name for name in ("momentum", *FIELDS) if name in updates[kind].reads]
    return {name: getattr(schema, name) for name in (*read, "weight_decay", "regularization_type")}


def _given(kind: type[Update], group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The settings of a param group, those that are not the schema's defaults."""
    return tuple((name, group[name]) for name, default in _defaults(kind.type).items() if group[name] != default)


@lru_cache(maxsize=64)
def _settings(kind: str, given: tuple[tuple[str, Any], ...], rate: float = 1.0) -> Settings:
    """A solver's settings: checked, and rounded as a prototxt's are."""
    fixed = {"net": "none", "lr_policy": "fixed", "max_iter": 1}
    try:
        message = SolverParameter(type=kind, base_lr=rate, **fixed, **dict(given))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"a setting of {kind} cannot be what it is: {error}") from error
    return Settings.from_message(message)


def _class_of(kind: type[Update]) -> type[SolverOptimizer]:
    parameter = inspect.Parameter
    signature = [
        parameter("params", parameter.POSITIONAL_OR_KEYWORD),
        parameter("lr", parameter.POSITIONAL_OR_KEYWORD),
        *(parameter(name, parameter.KEYWORD_ONLY, default=value) for name, value in _defaults(kind.type).items()),
    ]
    about = {"kind": kind, "__doc__": kind.__doc__, "__module__": __name__}
    return type(kind.type, (SolverOptimizer,), about | {"__signature__": inspect.Signature(signature)})


def __getattr__(name: str) -> type[SolverOptimizer]:
    kind = updates.get(name)
    if kind is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = _class_of(kind)
    return made


def __dir__() -> list[str]:
    return sorted({*globals(), *updates})
