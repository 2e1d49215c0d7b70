"""Filter: drop samples of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, at_least, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("Filter")
class Filter(Layer):
    """Every bottom but the last, N×…, without the samples for which the last one, the selector, is 0: S×….

    The selector has N values (N, N×1 …).  How many samples are left is known in each pass only; until then N are
    assumed, and on a GPU the pass waits for it.  Samples that were dropped get a gradient of 0, the selector none.
    Cannot work in place.

    Source: `src/caffe/layers/filter_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "data" top: "label" top: "keep"
      input_param { shape { dim: 8 dim: 5 } shape { dim: 8 } shape { dim: 8 } }
    }
    layer {
      name: "filter" type: "Filter" bottom: "data" bottom: "label" bottom: "keep"
      top: "kept_data" top: "kept_label"
    }
    """

    bottoms, tops = at_least(2), at_least(1)
    varies = True

    @property
    def ungraded(self) -> frozenset[int]:  # type: ignore[override]
        """The selector."""
        return frozenset({len(self.param.bottom) - 1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)
        tops = len(self.param.top)
        self.expect(
            tops == len(bottoms) - 1,
            f"needs one top for each bottom but the selector: {len(bottoms) - 1}, got {tops}",
            "top[0]",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        *filtered, selector = bottoms
        last = f"bottom[{len(filtered)}]"
        single = len(selector) > 0 and set(selector[1:]) <= {1}
        self.expect(single, f"the selector must hold one value per sample (N, or N×1 …), got shape {selector}", last)
        self.raise_faults()
        for position, shape in enumerate(filtered):
            self.expect(
                shape[:1] == selector[:1],
                f"its bottoms must have as many samples as the selector: {selector[0]}, got shape {shape}",
                f"bottom[{position}]",
            )
        return filtered

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        *filtered, selector = bottoms
        kept = selector.detach().reshape(-1).nonzero().squeeze(1)
        return tuple(bottom.index_select(0, kept) for bottom in filtered)
