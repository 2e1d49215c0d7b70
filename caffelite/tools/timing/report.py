"""What `time` tells beside the original's report: as text, and for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..summary import aligned, size
from .layers import LayerTimes, busiest
from .machine import Machine
from .whole import Whole


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured.

    Attributes:
        training: whole iterations went backward, too.
        layer_by_layer: milliseconds of an iteration on average while layers were timed.
        peak_resident: the most bytes that the process had at once.
    """

    layers: Sequence[LayerTimes]
    machine: Machine
    training: bool
    layer_by_layer: float
    whole: Whole
    peak_resident: int

    @property
    def tops(self) -> int:
        """Bytes of all blobs."""
        return sum(layer.tops for layer in self.layers)

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return sum(layer.weights for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of a whole iteration."""
        both = (way for layer in self.layers for way in (layer.forward, layer.backward if self.training else None))
        return sum(way.work.multiply_adds for way in both if way is not None)

    def as_text(self) -> str:
        """Tables and sentences."""
        return "\n\n".join(
            [
                f"peak measured here: {self.machine}",
                self._speeds(),
                self._busiest(),
                self._sizes(),
                f"{self._whole()}\n{self._memory()}",
            ]
        )

    def _share(self, layer: LayerTimes) -> float:
        return layer.ms / (sum(one.ms for one in self.layers) or 1)

    def _speeds(self) -> str:
        head = ["layer", "type", "time", "forward ms", "speed", "of peak", "backward ms", "speed", "of peak"]
        rows = [
            [
                layer.name,
                layer.type,
                f"{self._share(layer):.1%}",
                *layer.forward.cells(self.machine),
                *(layer.backward.cells(self.machine) if layer.backward else ("", "", "")),
            ]
            for layer in self.layers
        ]
        forward = sum(layer.forward.ms for layer in self.layers)
        backward = sum(layer.backward.ms for layer in self.layers if layer.backward)
        last = [f"{len(rows)} layers", "", "", f"{forward:.3f}", "", "", f"{backward:.3f}", "", ""]
        return aligned(head, rows, last, left=2)

    def _busiest(self) -> str:
        names = ", ".join(f"{layer.name} ({self._share(layer):.0%})" for layer in busiest(self.layers))
        return textwrap.fill(f"90% of the time: {names}", 110, break_long_words=False, break_on_hyphens=False)

    def _sizes(self) -> str:
        head = ["layer", "how", "multiply-adds", "tops", "weights"]
        rows = [
            [
                layer.name,
                layer.how,
                f"{layer.forward.work.multiply_adds:,}" if layer.forward.work.multiply_adds else "",
                size(layer.tops) if layer.tops else "",
                size(layer.weights) if layer.weights else "",
            ]
            for layer in self.layers
        ]
        forward = sum(layer.forward.work.multiply_adds for layer in self.layers)
        last = [f"{len(rows)} layers", "", f"{forward:,}", size(self.tops), size(self.weights)]
        return aligned(head, rows, last, left=2)

    def _whole(self) -> str:
        what = "training runs it (forward and backward, no update)" if self.training else "test runs it (forward)"
        text = f"whole iteration as {what}: {self.whole.ms:.3f} ms; layer by layer: {self.layer_by_layer:.3f} ms"
        if not self.multiply_adds:
            return text
        gflops = 2 * self.multiply_adds / self.whole.ms / 1e6
        share = gflops / self.machine.gflops
        return f"{text}\nmatrix work of a whole iteration: {gflops:.1f} GFLOP/s, {share:.0%} of peak"

    def _memory(self) -> str:
        text = f"memory: blobs {size(self.tops)}, weights {size(self.weights)}"
        if self.whole.device_peak is not None:
            text += f"; a whole iteration takes up to {size(self.whole.device_peak)} on the GPU"
        return f"{text}; this process took up to {size(self.peak_resident)}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": asdict(self.machine),
            "layers": [
                {
                    "layer": layer.name,
                    "type": layer.type,
                    "how": layer.how,
                    "time": self._share(layer),
                    "forward": layer.forward.as_dict(self.machine),
                    "backward": layer.backward.as_dict(self.machine) if layer.backward else None,
                    "top_bytes": layer.tops,
                    "weight_bytes": layer.weights,
                }
                for layer in self.layers
            ],
            "layer_by_layer_ms": self.layer_by_layer,
            "whole_iteration_ms": self.whole.ms,
            "memory": {
                "blobs": self.tops,
                "weights": self.weights,
                "peak_resident": self.peak_resident,
                "peak_device": self.whole.device_peak,
            },
        }
