"""Collects what is wrong with a SolverParameter: for its rules as a whole (:mod:`.checking`) and those of a type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import Fault, Places

TRAIN_NETS = ("net", "net_param", "train_net", "train_net_param")
"""The four ways to name the train net."""


class Checks:
    """Collects faults and warnings about one message.

    Attributes:
        faults: what makes the settings unusable; warnings: what is odd, or has no effect.
    """

    def __init__(self, message: Any, places: Places) -> None:
        self.message = message
        self.places = places
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def given(self, field: str) -> bool:
        """Whether the field is in the message (a repeated one: has elements)."""
        try:
            return bool(self.message.HasField(field))
        except ValueError:  # protobuf knows presence for singular fields only
            return bool(len(getattr(self.message, field)))

    def said(self, field: str) -> str:
        """The field's value for a message: ", got 7", or ", and is not set"."""
        value = getattr(self.message, field)
        if not self.given(field):
            return ", and is not set"
        if isinstance(value, float):
            return f", got {value:g}"
        if isinstance(value, str):
            return f', got "{value}"'
        return f", got {value if isinstance(value, int) else list(value)}"

    @property
    def test_nets(self) -> int:
        """How many test nets are asked for."""
        own = len(self.message.test_net) + len(self.message.test_net_param)
        return max(own, len(self.message.test_iter))

    def expect(self, ok: bool, message: str, field: str = "", help: str | None = None, *, code: str = "CL511") -> bool:
        """Note a fault unless `ok`."""
        if not ok:
            self.faults.append(Fault(message, self.places(field), help, code=code))
        return ok

    def require(self, ok: bool, field: str, rule: str, help: str | None = None, *, code: str = "CL511") -> bool:
        """Note "<field> <rule>, got <value>" unless `ok`."""
        return self.expect(ok, f"{field} {rule}{self.said(field)}", field, help, code=code)

    def warn(self, message: str, field: str = "", help: str | None = None, *, code: str = "CL510") -> None:
        """Note a warning."""
        self.warnings.append(Fault(message, self.places(field), help, severity="warning", code=code))

    # -- rules that several settings share ----------------------------------------------------------------------

    def not_negative(self, field: str, help: str | None = None) -> None:
        """The field is at least 0."""
        self.require(getattr(self.message, field) >= 0, field, "must be at least 0", help)

    def fraction(self, field: str) -> None:
        """The field is at least 0 and below 1."""
        self.require(0 <= getattr(self.message, field) < 1, field, "must be at least 0 and below 1")

    def no_momentum(self, kind: str) -> None:
        """momentum is absent or 0."""
        help = "leave momentum out, or use type SGD, Nesterov or Adam"
        self.require(self.message.momentum == 0, "momentum", f"cannot be used with {kind}", help, code="CL519")

    def no_l1(self, kind: str, help: str) -> None:
        """Weight decay, if there is any, is L2."""
        used = self.message.weight_decay and self.message.regularization_type == "L1"
        message = f"regularization_type L1 cannot be used with {kind}"
        self.expect(not used, message, "regularization_type", help, code="CL519")

    def warn_unless_set(self, field: str, message: str, *, code: str = "CL516") -> None:
        """A setting whose default is hardly ever meant."""
        if not self.given(field):
            self.warn(message, field, code=code)

    def warn_without_effect(self, fields: Iterable[str], why: str) -> None:
        """Those of the fields that are set have no effect."""
        for field in fields:
            if self.given(field):
                self.warn(f"{field} has no effect with {why}", field, code="CL517")
