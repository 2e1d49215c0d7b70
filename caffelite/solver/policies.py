"""Learning rates as pure functions: (settings, iteration, current step) → (rate, current step).

The `current step` is the one piece of state: `multistep` counts in it how many of its stepvalues were passed, `step`
leaves its number of drops there, the others leave it alone; for `plateau` tests advance it (:mod:`.follow_up`).  It is
stored in a solverstate.

The source is `SGDSolver::GetLearningRate` in `src/caffe/solvers/sgd_solver.cpp`, for rampup_interval, rampup_lr, min_lr
and momentum_policy that of NVIDIA's fork, for warmup_iter and multifixed that of Intel's (whose builds without
ENABLE_SGD_FUSION also make the momentum larger while the rate rises; that is left out); arithmetic is rounded to single
precision where these round, so that six printed digits agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from ctypes import c_float
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..registry import Registry

if TYPE_CHECKING:
    from .settings import Settings


class Rate(NamedTuple):
    """The rate of an iteration, and the current step after it."""

    rate: float
    step: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A rate function, and the settings it reads (others that are set have no effect)."""

    rate: Callable[[Settings, int, int], Rate]
    reads: frozenset[str]


FIELDS = ("gamma", "power", "stepsize", "stepvalue", "plateau", "stagelr", "stageiter")
"""The settings that exist for policies only."""

policies: Registry[Policy] = Registry("lr_policy")

_Function = Callable[["Settings", int, int], "float | Rate"]


def policy(name: str, *reads: str) -> Callable[[_Function], _Function]:
    """Decorator: the policy called `name`, reading those settings.  A function that returns a number leaves the
    current step alone."""

    def enter(function: _Function) -> _Function:
        def rate(settings: Settings, iteration: int, step: int) -> Rate:
            result = function(settings, iteration, step)
            return result if isinstance(result, Rate) else Rate(result, step)

        policies.register(name)(Policy(rate, frozenset(reads)))
        return function

    return enter


def single(value: float) -> float:
    """The value rounded to single precision."""
    return c_float(value).value


def _power(base: float, exponent: float) -> float:
    """base ** exponent as C's pow: infinite on overflow and at 0 to a negative power, NaN where undefined."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def learning_rate(settings: Settings, iteration: int, step: int) -> Rate:
    """The rate of an iteration: that of lr_policy, at least min_lr.

    Before rampup_interval it is rampup_lr + (base_lr - rampup_lr) · (iteration / rampup_interval)², at least min_lr,
    and the policy is not asked.  Before warmup_iter it is warmup_start_lr + (base_lr - warmup_start_lr) · iteration /
    warmup_iter.
    """
    if iteration < settings.rampup_interval:
        rate = _ramp(settings, iteration)
    elif iteration < settings.warmup_iter:
        rate = _warmed(settings, iteration)
    else:
        rate, step = policies[settings.lr_policy].rate(settings, iteration, step)
    return Rate(settings.min_lr if settings.min_lr and rate < settings.min_lr else rate, step)


def _ramp(settings: Settings, iteration: int) -> float:
    risen = single(single(iteration) / single(settings.rampup_interval))
    rise = single(single(single(settings.base_lr - settings.rampup_lr) * risen) * risen)
    return single(settings.rampup_lr + rise)


def _warmed(settings: Settings, iteration: int) -> float:
    left = single((settings.warmup_iter - iteration) * settings.warmup_start_lr)
    return single(single(single(iteration * settings.base_lr) + left) / settings.warmup_iter)


def momentum(settings: Settings, iteration: int) -> float:
    """The momentum of an iteration: with momentum_policy "poly" momentum + (max_momentum - momentum) · (iteration /
    max_iter) ^ momentum_power."""
    if settings.momentum_policy == "fixed":
        return settings.momentum
    done = single(_power(single(single(iteration) / single(settings.max_iter)), settings.momentum_power))
    return single(settings.momentum + single(single(settings.max_momentum - settings.momentum) * done))


@policy("fixed")
def fixed(settings: Settings, iteration: int, step: int) -> float:
    """base_lr"""
    return settings.base_lr


@policy("step", "gamma", "stepsize")
def step(settings: Settings, iteration: int, step: int) -> Rate:
    """base_lr · gamma ^ floor(iteration / stepsize)"""
    drops = iteration // settings.stepsize
    return Rate(single(settings.base_lr * _power(settings.gamma, drops)), drops)


@policy("exp", "gamma")
def exp(settings: Settings, iteration: int, step: int) -> float:
    """base_lr · gamma ^ iteration"""
    return single(settings.base_lr * _power(settings.gamma, iteration))


@policy("inv", "gamma", "power")
def inv(settings: Settings, iteration: int, step: int) -> float:
    """base_lr · (1 + gamma · iteration) ^ -power"""
    base = single(1 + single(settings.gamma * single(iteration)))
    return single(settings.base_lr * single(_power(base, -settings.power)))


@policy("multistep", "gamma", "stepvalue")
def multistep(settings: Settings, iteration: int, step: int) -> Rate:
    """base_lr · gamma ^ current step, which advances by at most one an iteration, when the next stepvalue is reached.

    So after a resume with other stepvalues, or stepvalues that do not ascend, it catches up one step an iteration.
    """
    if step < len(settings.stepvalue) and iteration >= settings.stepvalue[step]:
        step += 1
    return Rate(single(settings.base_lr * _power(settings.gamma, step)), step)


@policy("poly", "power", "max_iter")
def poly(settings: Settings, iteration: int, step: int) -> float:
    """(base_lr - min_lr) · (1 - iteration / max_iter) ^ power + min_lr: min_lr at max_iter, undefined (NaN) beyond it
    for a broken power"""
    rest = single(1 - single(single(iteration) / single(settings.max_iter)))
    above = single(single(settings.base_lr - settings.min_lr) * single(_power(rest, settings.power)))
    return single(above + settings.min_lr)


@policy("sigmoid", "gamma", "stepsize")
def sigmoid(settings: Settings, iteration: int, step: int) -> float:
    """base_lr / (1 + exp(-gamma · (iteration - stepsize))): gamma may not be negative, so the rate rises"""
    exponential = single(_exp(single(-settings.gamma * single(single(iteration) - single(settings.stepsize)))))
    return single(settings.base_lr * single(1 / single(1 + exponential)))


@policy("cosine", "max_iter")
def cosine(settings: Settings, iteration: int, step: int) -> float:
    """min_lr + (base_lr - min_lr) · (1 + cos(π · iteration / max_iter)) / 2: half a wave, min_lr from max_iter on

    Source: Loshchilov and Hutter, SGDR, equation 5, without restarts.
    """
    done = min(iteration / settings.max_iter, 1.0)
    return single(settings.min_lr + (settings.base_lr - settings.min_lr) * (1 + math.cos(math.pi * done)) / 2)


@policy("plateau", "gamma", "plateau")
def plateau(settings: Settings, iteration: int, step: int) -> float:
    """base_lr · gamma ^ current step, which advances when tests bring nothing better (:mod:`.follow_up`)"""
    return single(settings.base_lr * _power(settings.gamma, step))


@policy("multifixed", "stagelr", "stageiter")
def multifixed(settings: Settings, iteration: int, step: int) -> float:
    """The stagelr of the first stageiter that the iteration has not passed, or the last: each goes up to and with its
    stageiter"""
    stages = zip(settings.stageiter, settings.stagelr, strict=True)
    return next((rate for last, rate in stages if iteration <= last), settings.stagelr[-1])
