"""The solver's type, once an enum, now a name."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places
from .step import Step

TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
"""Name of the SolverType → today's type."""


def name_solver_type(message: Any, places: Places) -> Step | None:
    """`solver_type: ADAM` as `type: "Adam"`."""
    if not message.HasField("solver_type"):
        return None
    kind = message.DESCRIPTOR.fields_by_name["solver_type"].enum_type.values_by_number[message.solver_type].name
    place = places("solver_type")
    if message.HasField("type"):
        text = f'both solver_type: {kind} and type: "{message.type}" are given'
        help = "keep type; solver_type is its old spelling"
        return Step(message, faults=[Fault(text, place, help=help, code="CL119")])
    new = type(message)()
    new.CopyFrom(message)
    new.ClearField("solver_type")
    new.type = TYPES[kind]
    note = Fault(f'solver_type: {kind} read as type: "{new.type}"', place, severity="note", code="CL118")
    return Step(new, {"type": "solver_type"}, [note])
