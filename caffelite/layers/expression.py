"""Expression: formulas over the bottoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import ops
from ..errors import Fault
from ..layerkit import Layer, Run, Shape, at_least, layer
from ..layerkit.formula import Mistake, Step, place_in, shape_of, shown
from ..layerkit.formula_text import names_of, parse

if TYPE_CHECKING:
    from torch import Tensor

_FORMULA = "expression_param.formula"


@layer("Expression")
class Expression(Layer):
    """Each top is a formula over the bottoms: `formula: "t*h + (1 - t)*x"`.  A caffelite extension.

    A formula holds numbers, pi, names of bottoms (b0, b1 … by position), the operators + - * / // % **, comparisons and
    and/or/not (1 or 0; any number but 0 is a yes), and the functions exp log sqrt abs sign floor ceil sin cos tanh
    sigmoid relu softplus pow where clip min max sum mean; of one blob, the last four reduce: `mean(x, axis=(2, 3),
    keepdims=True)`.  Shapes are lined up as in NumPy.  May work in place.

    Gradients are autograd's: those of min and max are shared between equals, comparisons and // have none, and a side
    of `where` that is not taken gets 0, which a slope of ∞ or NaN there turns into NaN (clip its operand first).
    """

    example = """
    layer { name: "in" type: "Input" top: "t" top: "h" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer {
      name: "highway" type: "Expression" bottom: "t" bottom: "h" bottom: "x" top: "y"
      expression_param { formula: "t*h + (1 - t)*x" }
    }
    """

    bottoms, tops = at_least(1), at_least(1)

    def warnings(self) -> Sequence[Fault]:
        read = self._read()
        if any(mistakes for _, _, mistakes in read):
            return []
        used = {int(step.value) for _, steps, _ in read for step in steps if step.name == "blob"}
        names = {name for position, name in enumerate(self.bottom_names) if position in used}
        return [
            self.fault(f'no formula reads its bottom "{name}"', f"bottom[{position}]", severity="warning")
            for position, name in enumerate(self.bottom_names)
            if read and name not in names
        ]

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("expression_param")
        names, formulas, tops = list(settings.name), len(settings.formula), len(self.param.top)
        self.expect(formulas == tops, f"needs a formula for each of its tops: {tops}, got {formulas}", _FORMULA)
        once = len(names) in (0, len(bottoms)) and len(set(names)) == len(names)
        rule = f"must stand once for each of its {len(bottoms)} bottoms, all different, or not at all"
        self.require(once, "expression_param.name", rule)
        for position, name in enumerate(names):
            usable = name in names_of([name])
            self.expect(usable, f'"{name}" cannot be a name in a formula', f"expression_param.name[{position}]")
        self.raise_faults()
        self.formulas: list[tuple[str, list[Step]]] = []
        for text, steps, mistakes in self._read():
            for mistake in mistakes:
                self._mistaken(len(self.formulas), text, mistake)
            self.formulas.append((text, steps))

    def _read(self) -> list[tuple[str, list[Step], list[Mistake]]]:
        settings = self.settings("expression_param")
        names = names_of(list(settings.name) or self.bottom_names)
        return [(text, *parse(text, names)) for text in settings.formula]

    def _mistaken(self, formula: int, text: str, mistake: Mistake) -> None:
        fault = self.fault(mistake.message, f"{_FORMULA}[{formula}]", mistake.help)
        place = place_in(fault.place, text, mistake.column)
        if place is None:
            fault = replace(fault, message=f"{fault.message}\n{shown(text, mistake.column)}")
        self._faults.append(replace(fault, place=place or fault.place))

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        found: list[Shape] = []
        for index, (text, steps) in enumerate(self.formulas):
            try:
                found.append(shape_of(steps, bottoms))
            except Mistake as mistake:
                self._mistaken(index, text, mistake)
        return found

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return tuple(ops.formula.evaluate(steps, bottoms) for _, steps in self.formulas)
