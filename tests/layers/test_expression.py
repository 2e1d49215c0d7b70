"""Expression: formulas against NumPy, their shapes, gradients and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caffelite import assembly
from caffelite.commands import perform
from caffelite.errors import CaffeliteError, LayerError
from caffelite.graph import state_of
from caffelite.net import Net
from caffelite.proto import TRAIN

from ..nets import net_of
from .alone import build, run_at

Shape = tuple[int, ...]
SHAPES: list[Shape] = [(2, 3, 4), (3, 1), (4,)]
"""Of the bottoms x, h and t."""


def text(*formulas: str, bottoms: str = "xht", more: str = "") -> str:
    """An Expression layer over the bottoms x, h and t with these formulas."""
    tops = " ".join(f'top: "y{number}"' for number in range(len(formulas)))
    listed = " ".join(f'formula: "{formula}"' for formula in formulas)
    names = " ".join(f'bottom: "{name}"' for name in bottoms)
    return f'name: "e" type: "Expression" {names} {tops} expression_param {{ {listed} {more} }}'


def values(seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers of both signs, none near 0, no two alike."""
    random = np.random.default_rng(seed)
    found = {}
    for name, shape in zip("xht", SHAPES, strict=True):
        array = random.uniform(0.2, 2, shape) * random.choice([-1, 1], shape)
        found[name] = array.astype(np.float64)
    return found


def computed(formula: str, given: dict[str, np.ndarray]) -> np.ndarray:
    """What the layer gives, whose declared shape is checked on the way."""
    layer, (shape,) = build(text(formula), *(array.shape for array in given.values()))
    (top,) = layer.forward(run_at(), [torch.from_numpy(array) for array in given.values()], [])
    assert top.dtype == torch.float64
    assert tuple(top.shape) == shape
    return top.numpy()


CLOSED: list[tuple[str, Callable[[Any, Any, Any], Any]]] = [
    ("t*h + (1 - t)*x", lambda x, h, t: t * h + (1 - t) * x),
    ("-x**2", lambda x, h, t: -(x**2)),
    ("2**x - x**-1", lambda x, h, t: 2**x - 1 / x),
    ("abs(x)**t", lambda x, h, t: np.abs(x) ** t),
    ("pow(abs(x), 0.5)", lambda x, h, t: np.sqrt(np.abs(x))),
    ("x // h + x % h", lambda x, h, t: x // h + np.mod(x, h)),
    ("7 // x", lambda x, h, t: 7 // x),
    ("1.5 % x", lambda x, h, t: np.mod(1.5, x)),
    ("-7 // 2 + -7 % 3 + x*0", lambda x, h, t: x * 0 - 4 + 2),
    ("+x / 3", lambda x, h, t: x / 3),
    ("x < h", lambda x, h, t: (x < h) * 1.0),
    ("(x <= x) + (x >= 0) + (x == t) + (x != t) + (x > t)", lambda x, h, t: 2.0 + (x >= 0) + (x > t)),
    ("x > 0 and h > 0 or not t < 0", lambda x, h, t: (((x > 0) & (h > 0)) | ~(t < 0)) * 1.0),
    ("not x", lambda x, h, t: x * 0),
    ("x and 0", lambda x, h, t: x * 0),
    ("where(x > 0, x, 0.1*x)", lambda x, h, t: np.where(x > 0, x, 0.1 * x)),
    ("where(t > 0, 1, 2)", lambda x, h, t: np.where(t > 0, 1, 2)),
    ("clip(x, -1, 1)", lambda x, h, t: np.clip(x, -1, 1)),
    ("clip(x, h, 5)", lambda x, h, t: np.minimum(np.maximum(x, h), 5)),
    ("clip(x, 1, -1)", lambda x, h, t: np.full_like(x, -1)),
    ("min(x, h, t) - max(x, 0)", lambda x, h, t: np.minimum(np.minimum(x, h), t) - np.maximum(x, 0)),
    ("exp(x) + log(abs(x)) + sqrt(abs(h))", lambda x, h, t: np.exp(x) + np.log(np.abs(x)) + np.sqrt(np.abs(h))),
    ("sign(x) * floor(h) + ceil(t)", lambda x, h, t: np.sign(x) * np.floor(h) + np.ceil(t)),
    ("sin(x)**2 + cos(x)**2", lambda x, h, t: np.ones_like(x)),
    ("tanh(x)", lambda x, h, t: np.tanh(x)),
    ("sigmoid(x)", lambda x, h, t: 1 / (1 + np.exp(-x))),
    ("relu(x)", lambda x, h, t: np.maximum(x, 0)),
    ("softplus(x)", lambda x, h, t: np.log1p(np.exp(x))),
    ("sum(x)", lambda x, h, t: x.sum()),
    ("sum(x, axis=1)", lambda x, h, t: x.sum(1)),
    ("mean(x, axis=(0, -1))", lambda x, h, t: x.mean((0, 2))),
    ("mean(x, axis=[1], keepdims=True)", lambda x, h, t: x.mean(1, keepdims=True)),
    ("x - mean(x, keepdims=True)", lambda x, h, t: x - x.mean()),
    ("max(x, axis=-1) - min(x, axis=-1)", lambda x, h, t: x.max(-1) - x.min(-1)),
    ("max(x) + min(h, keepdims=False)", lambda x, h, t: x.max() + h.min()),
    ("b0 - b1 + b2", lambda x, h, t: x - h + t),
    ("x", lambda x, h, t: x),
    ("2*pi", lambda x, h, t: np.float64(2 * np.pi)),
    ("exp(1) + sum(2, keepdims=True)", lambda x, h, t: np.float64(np.e + 2)),
    ("(1 - 0.9999) * x", lambda x, h, t: (1 - 0.9999) * x),
    ("9**9**9 > x", lambda x, h, t: np.ones_like(x)),
    ("x / 0", lambda x, h, t: np.copysign(np.inf, x)),
    ("1/0*0 + x", lambda x, h, t: x * np.nan),
    ("  x\\n  + t ", lambda x, h, t: x + t),
]


@pytest.mark.parametrize(("formula", "by_numpy"), CLOSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_formula_gives_is_what_numpy_gives(formula: str, by_numpy: Callable[[Any, Any, Any], Any]) -> None:
    given = values()
    with np.errstate(divide="ignore"):
        wanted = np.asarray(by_numpy(**given))
    got = computed(formula, given)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


SMOOTH = [
    "t*h + (1 - t)*x",
    "x**3 / (2 + h**2) - exp(-t)",
    "abs(x)**t + 2**h",
    "sqrt(abs(x)) * log(abs(h)) + sign(t)",
    "sin(x) * cos(h) + tanh(t)*sigmoid(x) - softplus(h) + relu(x)",
    "where(x > 0, x*h, t*x)",
    "min(x, h, t) * max(x, t)",
    "max(x, axis=1) + min(h)",
    "clip(x, -1, 1.1) + clip(t, h, h + 1)",
    "mean(x, axis=(0, 2)) * sum(t, keepdims=True)",
    "x % 0.7 + floor(h) + x // 2 + (x < t)*h",
]


@pytest.mark.parametrize("formula", SMOOTH)
def test_gradients_against_finite_differences(formula: str) -> None:
    bottoms = [torch.from_numpy(array).requires_grad_() for array in values(3).values()]
    layer, _ = build(text(formula), *SHAPES)
    assert torch.autograd.gradcheck(lambda *given: tuple(layer.forward(run_at(), given, [])), bottoms)


Pair = tuple[str, Callable[[dict[str, np.ndarray]], Any]]
"""A formula, and NumPy's way to its value."""

UNARY: dict[str, Callable[[Any], Any]] = {
    "-{}": np.negative, "not {}": lambda a: (a == 0) * 1.0, "exp({})": np.exp, "abs({})": np.abs, "sign({})": np.sign,
    "floor({})": np.floor, "ceil({})": np.ceil, "tanh({})": np.tanh, "sin({})": np.sin, "cos({})": np.cos,
    "sqrt(abs({}))": lambda a: np.sqrt(np.abs(a)), "relu({})": lambda a: np.maximum(a, 0),
    "sum({}, keepdims=True)": lambda a: np.sum(a, keepdims=True), "mean({})": np.mean, "max({})": np.max,
    "({})**2": lambda a: a**2,
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "{} + {}": np.add, "{} - {}": np.subtract, "{} * {}": np.multiply, "{} / {}": np.divide, "{} % {}": np.mod,
    "{} // {}": np.floor_divide, "max({}, {})": np.maximum, "min({}, {})": np.minimum,
    "{} < {}": lambda a, b: (a < b) * 1.0, "{} >= {}": lambda a, b: (a >= b) * 1.0,
    "{} and {}": lambda a, b: ((a != 0) & (b != 0)) * 1.0, "{} or {}": lambda a, b: ((a != 0) | (b != 0)) * 1.0,
    "where({0} > 0, {0}, {1})": lambda a, b: np.where(a > 0, a, b),
}  # fmt: skip


def _bracketed(formula: str) -> str:
    return f"({formula})"


def _one(name: str, operand: Pair) -> Pair:
    return name.format(_bracketed(operand[0])), lambda given: UNARY[name](operand[1](given))


def _two(name: str, left: Pair, right: Pair) -> Pair:
    formula = name.format(_bracketed(left[0]), _bracketed(right[0]))
    return formula, lambda given: BINARY[name](left[1](given), right[1](given))


def _blob(name: str) -> Pair:
    return name, lambda given: given[name]


def _number(value: float) -> Pair:
    return repr(value), lambda given: np.float64(value)


formulas = st.recursive(
    st.sampled_from("xht").map(_blob) | st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e-3]).map(_number),
    lambda inner: (
        st.builds(_one, st.sampled_from(list(UNARY)), inner)
        | st.builds(_two, st.sampled_from(list(BINARY)), inner, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(formulas)
def test_random_formulas_give_what_numpy_gives(pair: Pair) -> None:
    formula, by_numpy = pair
    given = values(5)
    try:
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            wanted = np.asarray(by_numpy(given))
    except FloatingPointError:
        assume(False)
    np.testing.assert_allclose(computed(formula, given), wanted, rtol=1e-9, atol=1e-12)


HOSTILE = [
    "x.__class__",
    "x.__class__.__mro__[-1].__subclasses__()",
    "().__class__",
    "__import__('os').system('false')",
    "open(x)",
    "eval(x)",
    "exec",
    "getattr(x, h)",
    "(lambda: x)()",
    "(lambda a: a)(x)",
    "[x for t in h]",
    "{x for t in h}",
    "sum(t for t in x)",
    "[x, h]",
    "{1: x}",
    "(x, h)",
    "x[0]",
    "x[::2]",
    "'x'",
    "b'x'",
    "f'{x}'",
    "'x' * 9**9",
    "x if h else t",
    "(x := h)",
    "x; h",
    "x = h",
    "import os",
    "await x",
    "yield",
    "*x",
    "exp(*x)",
    "sum(**x)",
    "sum(x, axis=x)",
    "sum(x, axis=9**9**9)",
    "sum(x, axis=True)",
    "sum(x, axis=1.0)",
    "sum(x, axis=())",
    "sum(x, keepdims=2)",
    "sum(x, dtype=1)",
    "None",
    "True",
    "...",
    "1j",
    "1e999",
    "9" * 1999,
    "x < h < t",
    "x is h",
    "x in h",
    "~x",
    "x @ h",
    "x << 2",
    "x # h",
    "x\0",
    "",
    "   ",
    "-" * 1999 + "x",
    "(" * 900 + "x" + ")" * 900,
    "exp(" * 150 + "x" + ")" * 150,
    "x" + "**x" * 500,
    "not " * 400 + "x",
    "x+" * 1000 + "x",
    "9**" * 500,
    "\ud800",
]


@pytest.mark.parametrize("formula", HOSTILE, ids=lambda formula: repr(formula)[:50])
def test_what_is_no_formula_is_refused(formula: str) -> None:
    layer, _ = build(text("x"), (2,), (2,), (2,))
    with pytest.raises(LayerError, match=r'layer "e" \(Expression\)'):
        _refused(layer, formula)


def _refused(layer: Any, formula: str) -> None:
    """Read a formula that protobuf may not even carry."""
    layer.settings("expression_param").ClearField("formula")
    try:
        layer.settings("expression_param").formula.append(formula)
    except ValueError:  # a lone surrogate is no text
        raise LayerError(layer.fault("not carried")) from None
    layer.setup([(2,), (2,), (2,)])
    layer.raise_faults()


@pytest.mark.parametrize(
    "formula", ["x" + "+x" * 900, "9**9**9**9**9 + x", "-" * 90 + "x", "(" * 90 + "x" + ")" * 90, "x" + "**1" * 90]
)
def test_what_is_merely_long_is_computed(formula: str) -> None:
    assert computed(formula, values()).shape == SHAPES[0]


MISTAKES = [
    ("t*hh + x", "t*hh", 2, 'no bottom is called "hh"', "did you mean h?"),
    ("x + exq(t)", "exq", 0, '"exq" is no function', "did you mean exp?"),
    ("x + 2(t)", "2(t)", 0, "only functions can be called", None),
    ("x + t(h)", "t(h)", 0, '"t" is no function', "a product is written with *"),
    ("np.exp(x)", "np.", 0, "only functions can be called", "functions go by their bare names: exp(x)"),
    ("x + t.T", ".T", 0, "an attribute cannot stand in a formula", None),
    ("x ^ 2", "^", 0, "unknown operator", "a power is **"),
    ("(x) & (h)", "&", 0, "unknown operator", "write and"),
    ("x + tanh", "tanh", 0, "tanh is a function", "write what it is to work on in parentheses: tanh(…)"),
    ("x - sum(x, 1)", "sum", 0, "sum takes 1 operand, got 2", "axes are named: sum(x, axis=1)"),
    ("where(x > 0, x)", "where", 0, "where takes 3 operands, got 2", None),
    ("max(x, h, axis=1)", "1)", 0, 'max of 2 operands has no option "axis"', None),
    ("exp(x, axis=1)", "1)", 0, 'exp has no option "axis"', None),
    ("0 < x < 1", "0", 0, "compares more than two values", "write a < b and b < c"),
    ("x * (t + x[0])", "[0]", 0, "[ ] cannot stand in a formula", "a Slice or Crop layer takes a part of a blob"),
    ("sum(x, axis=3)", "sum", 0, "axis 3 is none of a 3-d operand of shape (2, 3, 4)", None),
    ("sum(x, axis=(1, -2))", "sum", 0, "names an axis twice: [1, -2]", None),
    ("t + x*sum(x, axis=2)", "*", 0, "cannot line up operands of shapes (2, 3, 4) and (2, 3)", None),
    ("größe + x", "größe", 0, 'no bottom is called "größe"', None),
    ("'ä' + y", "y", 0, 'no bottom is called "y"', "there are: b0, b1, b2, x, h, t"),
]
INPUT = """layer { name: "in" type: "Input" top: "x" top: "h" top: "t"
  input_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 3 dim: 1 } shape { dim: 4 } } }
"""
FILED = INPUT + 'layer { name: "e" type: "Expression" bottom: "x" bottom: "h" bottom: "t" top: "y"\n  SETTINGS }\n'


def faults_of(path: Path, settings: str) -> list[Any]:
    path.write_text(FILED.replace("SETTINGS", settings), encoding="utf-8")
    file = assembly.read_net(path)
    with pytest.raises(CaffeliteError) as caught:
        assembly.build_graph(file, state_of(file.message, TRAIN))
    return list(caught.value.faults)


@pytest.mark.parametrize(("formula", "at", "offset", "message", "help"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_column(
    formula: str, at: str, offset: int, message: str, help: str | None, tmp_path: Path
) -> None:
    fault = faults_of(tmp_path / "net.prototxt", f'expression_param {{ formula: "{formula}" }}')[-1]
    line = f'  expression_param {{ formula: "{formula}" }} }}'
    assert fault.message.startswith(message)
    assert (fault.place.line, fault.place.text) == (4, line)
    assert fault.place.column == line.index(at, line.index(formula)) + offset + 1
    assert help is None or fault.help == help


def test_the_whole_text_of_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    (fault,) = faults_of(path, "expression_param { formula: 't*hh + x' }")
    assert str(fault) == (
        f'{path}:4:34: layer "e" (Expression): no bottom is called "hh"\n'
        "      expression_param { formula: 't*hh + x' } }\n"
        "                                     ^\n"
        "  help: did you mean h?"
    )


def test_what_python_cannot_read_is_told_inside_the_formula(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path / "net.prototxt", 'expression_param { formula: "x + (t * )" }')
    assert fault.message.startswith("the formula cannot be read here: ")
    assert 32 <= fault.place.column <= 32 + len("x + (t * )")


def test_a_formula_over_several_lines_is_shown_with_a_caret(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    (fault,) = faults_of(path, 'expression_param { formula: "t*"\n    "hh + x" }')
    assert str(fault) == (
        f'{path}:4:22: layer "e" (Expression): no bottom is called "hh"\n'
        "    t*hh + x\n"
        "      ^\n"
        '      expression_param { formula: "t*"\n'
        "                         ^\n"
        "  help: did you mean h?"
    )


def test_all_mistakes_of_all_formulas_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    faults = faults_of(path, 'top: "z" expression_param { formula: ["hh + exq(tt)", "x +* 2"] }')
    assert [fault.message.partition(":")[0] for fault in faults] == [
        'no bottom is called "hh"',
        '"exq" is no function',
        "the formula cannot be read here",
    ]
    assert [fault.place.column for fault in faults] == [42, 47, 61]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (text("x", more='formula: "h"'), "needs a formula for each of its tops: 1, got 2"),
        (
            text("a", more='name: "a"'),
            "name must stand once for each of its 3 bottoms, all different, or not at all, got ['a']",
        ),
        (
            text("a", more='name: "a" name: "a" name: "c"'),
            "name must stand once for each of its 3 bottoms, all different, or not at all, got ['a', 'a', 'c']",
        ),
        (text("a", more='name: "a" name: "if" name: "c d"'), '"if" cannot be a name in a formula'),
        (text("a", more='name: "a" name: "if" name: "c d"'), '"c d" cannot be a name in a formula'),
        (text("x + a", more='name: "a" name: "b" name: "c"'), 'no bottom is called "x"'),
    ],
)
def test_other_bad_settings(layer: str, told: str) -> None:
    with pytest.raises(LayerError) as caught:
        build(layer, (2,), (2,), (2,))
    assert any(fault.message.startswith(told) for fault in caught.value.faults), str(caught.value)


def test_an_intermediate_result_no_machine_can_hold() -> None:
    with pytest.raises(LayerError, match=r"would have shape \(100000, 100000\): more than the 2,147,483,647 values"):
        build(text("sum(x*h)"), (100_000, 1), (1, 100_000), (1,))


def test_nothing_is_the_least_of_no_elements() -> None:
    with pytest.raises(LayerError, match=r"there is no min of an operand without elements, shape \(0, 2\)"):
        build(text("min(x)"), (0, 2), (1,), (1,))
    assert build(text("sum(x, axis=0)"), (0, 2), (1,), (1,))[1] == [(2,)]


def test_names_that_are_no_identifiers_and_names_given() -> None:
    three = np.array([3.0]), np.array([5.0]), np.array([7.0])

    def top(layer: str) -> float:
        made, _ = build(layer, (1,), (1,), (1,))
        return float(made.forward(run_at(), [torch.from_numpy(array) for array in three], [])[0])

    odd = (
        'type: "Expression" bottom: "fc6/relu" bottom: "b0" bottom: "ﬁ" top: "y" expression_param { formula: "%s" %s }'
    )
    assert top(odd % ("b0", "")) == 5  # a blob's own name goes before a position
    assert top(odd % ("b1 + fi", "")) == 12
    named = 'name: "a" name: "b2" name: "c"'
    assert top(odd % ("100*a + 10*b2 + c", named)) == 357
    assert top(odd % ("b0 + b1", named)) == 8


def test_a_bottom_no_formula_reads_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(FILED.replace("SETTINGS", 'expression_param { formula: "b0 + t" }'))
    assert perform(["check", str(path), "--phase", "TRAIN"]) == 0
    assert f'{path}:3:50: warning: layer "e" (Expression): no formula reads its bottom "h"' in capsys.readouterr().out


HIGHWAY = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 5 dim: 4 } shape { dim: 5 dim: 4 } } }
layer { name: "h" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "t" type: "InnerProduct" bottom: "x" top: "t"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "gate" type: "Sigmoid" bottom: "t" top: "t" }
"""
WRITTEN = """
layer { name: "mix" type: "Expression" bottom: "t" bottom: "h" bottom: "x" top: "y" top: "open"
  expression_param { formula: "t*h + (1 - t)*x" formula: "mean(t, axis=0)" } }
layer { name: "loss" type: "Expression" bottom: "y" bottom: "label" top: "loss" loss_weight: 3
  expression_param { formula: "sum((y - label)**2) / 2" } }
"""
BUILT = """
layer { name: "th" type: "Eltwise" bottom: "t" bottom: "h" top: "th" eltwise_param { operation: PROD } }
layer { name: "u" type: "Power" bottom: "t" top: "u" power_param { scale: -1 shift: 1 } }
layer { name: "ux" type: "Eltwise" bottom: "u" bottom: "x" top: "ux" eltwise_param { operation: PROD } }
layer { name: "y" type: "Eltwise" bottom: "th" bottom: "ux" top: "y" }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "label" top: "loss" loss_weight: 15 }
"""


def fed(net: str, observed: bool) -> Net:
    """A net with random numbers in its inputs."""
    made = net_of(net, observed=observed)
    random = np.random.default_rng(2)
    for blob in made.graph.inputs:
        made.blobs[blob].data[...] = random.normal(size=made.blobs[blob].shape)
    return made


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_a_net_of_formulas_is_one_of_layers(observed: bool) -> None:
    """Blobs that several layers read keep their names in formulas; a sum of squares is 5 times a EuclideanLoss."""
    written, built = fed(HIGHWAY + WRITTEN, observed), fed(HIGHWAY + BUILT, observed)
    for _ in range(2):
        assert float(written.forward_backward()) == pytest.approx(float(built.forward_backward()), rel=1e-6)
    for one, other in zip(written.parameters, built.parameters, strict=True):
        assert one.diff.any()
        np.testing.assert_allclose(one.diff, other.diff, rtol=1e-4, atol=1e-6)
    gates = 1 / (1 + np.exp(-(written.blobs["x"].data @ written.params["t"][0].data.T)))
    np.testing.assert_allclose(written.blobs["open"].data, gates.mean(0), rtol=1e-5)
    if observed:
        np.testing.assert_allclose(written.blobs["y"].diff, built.blobs["y"].diff, rtol=1e-5)


IN_PLACE = """force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "once" type: "Sigmoid" bottom: "x" top: "y" }
layer { name: "again" type: "Expression" bottom: "y" top: "y" expression_param { formula: "y*y + b0" } }
layer { name: "last" type: "Power" bottom: "y" top: "z" loss_weight: 2 }
"""


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_it_works_in_place(observed: bool) -> None:
    net = fed(IN_PLACE, observed)
    s = 1 / (1 + np.exp(-net.blobs["x"].data))
    assert float(net.forward_backward()) == pytest.approx(float(2 * (s * s + s).sum()), rel=1e-6)
    if observed:
        # The original's Sigmoid reads its blob in its backward, where it finds what was computed in place.
        y = s * s + s
        np.testing.assert_allclose(net.blobs["x"].diff, 2 * (2 * s + 1) * y * (1 - y), rtol=1e-5)


def test_in_place_it_may_not_change_the_size() -> None:
    bad = IN_PLACE.replace("y*y + b0", "sum(y)")
    with pytest.raises(CaffeliteError, match=r'works in place on "y" and changes its size from \(2, 3\) to \(\)'):
        fed(bad, False)


def test_shapes_follow_the_inputs() -> None:
    net = fed(HIGHWAY + WRITTEN, True)
    for batch in (2, 7):
        for blob in net.graph.inputs:
            net.blobs[blob].reshape(batch, 4)
        net.forward_backward()
        assert net.blobs["y"].shape == net.blobs["y"].data.shape == (batch, 4)
        assert net.blobs["open"].shape == (4,)


def test_memory_order_is_kept() -> None:
    layer, _ = build(text("where(x > 0, x*2, exp(h))", bottoms="xh"), (2, 3, 4, 5), (3, 1, 1))
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    (top,) = layer.forward(run_at(), [x, torch.randn(3, 1, 1)], [])
    assert top.is_contiguous(memory_format=torch.channels_last)
