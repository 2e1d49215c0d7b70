"""What a watch over a training found, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import Fault
from ..logs.records import NotFinite
from ..logs.text import number

if TYPE_CHECKING:
    from ..net.search import Origin


def placed(origin: Origin | None, message: str, help: str | None = None) -> Fault:
    """A fault of the layer where values stop being finite, or of none where that is not known."""
    return origin.node.fault(message, help=help) if origin else Fault(message, help=help)


def begun(origin: Origin | None) -> str:
    """Where values that were seen to be not finite begin to be so."""
    if origin is None:
        return "made again, every layer is finite: the sum of losses is too large, or the reason did not recur"
    return f"this begins here: {origin}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not finite.

    Attributes:
        what: which it is.
        iteration: where it began; of weights, the one that left them so, -1 if they came so.
        rate: of that iteration.
        loss: of that iteration; None for weights.
        origin: the layer and array; None where a repetition did not show them.
    """

    what: Literal["loss", "gradient", "weights"]
    iteration: int
    rate: float
    loss: float | None
    origin: Origin | None

    def record(self) -> NotFinite:
        """It as a record."""
        layer, array = (self.origin.node.name, self.origin.array) if self.origin else ("", "")
        return NotFinite(self.iteration, self.what, self.rate, self.loss, layer, array)

    def fault(self, newest: str | None) -> Fault:
        """It as a fault; `newest` is the last solver state written or read."""
        saved = f"the newest snapshot is {newest}" if newest else "no snapshot was written"
        return placed(self.origin, self._told(), f"{self._advice()}; {saved}")

    def _told(self) -> str:
        if self.loss is None:
            left = f"iteration {self.iteration} left weights that are not finite"
            came = "training began with weights that are not finite"
            return f"{left if self.iteration >= 0 else came}: {self.origin}"
        told = f"the loss of iteration {self.iteration} is {number(self.loss)}"
        return f"{told}{' but its gradient is not finite' if self.what == 'gradient' else ''}; {begun(self.origin)}"

    def _advice(self) -> str:
        if self.what == "weights" and self.iteration < 0:
            return "load other weights"
        if self.origin is not None and not self.origin.node.bottoms:
            return "mend the data, or leave out what is not finite in it"
        smaller = f"the rate was {number(self.rate)}: try a smaller base_lr"
        return smaller if self.what == "weights" else f"{smaller} or clip_gradients, or look at what the layer is given"
