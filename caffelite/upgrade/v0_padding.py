"""V0 padding layers, folded into the convolution or pooling that reads them."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places
from .step import Step
from .v0 import is_v0

PADDED_TYPES = ("conv", "pool")


class _Folding:
    """One run over the layers of a V0 net, remembering which layer made each blob last."""

    def __init__(self, old: Any, places: Places) -> None:
        self.old, self.places = old, places
        self.new = type(old)()
        self.new.CopyFrom(old)
        self.new.ClearField("layers")
        self.makers: dict[str, int | None] = dict.fromkeys(old.input)
        self.step = Step(self.new)

    def run(self) -> Step:
        for index, layer in enumerate(self.old.layers):
            if layer.layer.type != "padding":
                self.step.renamed[f"layers[{len(self.new.layers)}]"] = f"layers[{index}]"
                self.new.layers.add().CopyFrom(layer)
            for position, blob in enumerate(layer.bottom):
                self._bottom(index, position, blob)
            self.makers.update(dict.fromkeys(layer.top, index))
        return self.step

    def _bottom(self, index: int, position: int, blob: str) -> None:
        if blob not in self.makers:
            self._error(index, f"bottom[{position}]", f'unknown bottom "{blob}"', "no input or earlier layer makes it")
            return
        maker = self.makers[blob]
        if maker is not None and self.old.layers[maker].layer.type == "padding":
            self._fold(index, maker)

    def _fold(self, index: int, padding: int) -> None:
        layer, source = self.old.layers[index], self.old.layers[padding]
        if layer.layer.type not in PADDED_TYPES:
            self._error(
                index,
                "bottom[0]",
                f'reads the padding layer "{source.layer.name}", but is of type "{layer.layer.type}"',
                "only conv and pool can take over the padding of a padding layer",
            )
        elif not (len(layer.bottom) == len(source.bottom) == len(source.top) == 1):
            self._error(
                index,
                "bottom[0]",
                f'reads the padding layer "{source.layer.name}", and one of the two has more than one bottom or top',
                "a padding layer has one bottom and one top, and its reader no other bottom",
            )
        else:
            self._take_over(index, padding)

    def _take_over(self, index: int, padding: int) -> None:
        source, target = self.old.layers[padding], len(self.new.layers) - 1
        self.new.layers[target].layer.pad = source.layer.pad
        self.new.layers[target].bottom[0] = source.bottom[0]
        self.step.renamed[f"layers[{target}].layer.pad"] = f"layers[{padding}].layer.pad"
        self.step.renamed[f"layers[{target}].bottom[0]"] = f"layers[{padding}].bottom[0]"
        reader = self.new.layers[target].layer
        self.step.faults.append(
            Fault(
                f'the padding layer "{source.layer.name}" was folded into it as pad: {source.layer.pad}',
                self.places(f"layers[{padding}]"),
                layer=reader.name,
                layer_type=reader.type,
                severity="note",
                code="CL111",
            )
        )

    def _error(self, index: int, path: str, message: str, help: str) -> None:
        layer = self.old.layers[index].layer
        place = self.places(f"layers[{index}].{path}")
        self.step.faults.append(Fault(message, place, help, layer=layer.name, layer_type=layer.type, code="CL112"))


def fold_padding(message: Any, places: Places) -> Step | None:
    """Take padding layers out of a V0 net and give their `pad` to the conv or pool layer behind them.

    As in the original every V0 net is wired here once, so that a bottom nobody makes is an error.
    """
    return _Folding(message, places).run() if is_v0(message) else None
