"""The registry of rules: a function each, with the code of what it finds.

A rule is silent where it is not sure: a false alarm costs more than a fault that is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from ..errors import DataError, Fault
from .subject import SolverSubject, Subject

T = TypeVar("T")
Rule = Callable[[T], Iterable[Fault]]

_of_nets: list[tuple[str, Rule[Subject]]] = []
_of_solvers: list[tuple[str, Rule[SolverSubject]]] = []


def net_rule(code: str) -> Callable[[Rule[Subject]], Rule[Subject]]:
    """Decorator: a rule about a net in one phase."""
    return _entering(_of_nets, code)


def solver_rule(code: str) -> Callable[[Rule[SolverSubject]], Rule[SolverSubject]]:
    """Decorator: a rule about a solver and its nets."""
    return _entering(_of_solvers, code)


def _entering(rules: list[tuple[str, Rule[T]]], code: str) -> Callable[[Rule[T]], Rule[T]]:
    def enter(rule: Rule[T]) -> Rule[T]:
        rules.append((code, rule))
        return rule

    return enter


def _applied(rules: Iterable[tuple[str, Rule[T]]], subject: T) -> Iterator[Fault]:
    for code, rule in rules:
        try:
            for fault in rule(subject):
                yield fault if fault.code else replace(fault, code=code)
        except DataError as error:  # what is wrong with data is told where it is first read
            yield from (replace(fault, code=fault.code or "CL400", severity="warning") for fault in error.faults)


def of_net(subject: Subject) -> Iterator[Fault]:
    """What all rules about nets find."""
    from . import data_rules, loss_rules, wiring_rules  # noqa: F401  they enter themselves

    return _applied(_of_nets, subject)


def of_solver(subject: SolverSubject) -> Iterator[Fault]:
    """What all rules about solvers find."""
    from . import solver_rules  # noqa: F401

    return _applied(_of_solvers, subject)
