"""From the text of a formula to its steps.

The text is parsed with Python's grammar, and its tree is walked against what a formula may hold: names of blobs,
numbers, operators, and the functions of :data:`.formula.FUNCTIONS`.  Nothing of it is ever compiled or run.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from keyword import iskeyword
from unicodedata import normalize

import numpy as np

from ..errors import did_you_mean
from .formula import FUNCTIONS, REDUCTIONS, Mistake, Step

LONGEST, DEEPEST = 2000, 100
"""Characters of a formula, and levels of operations within each other."""

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "pow",
    ast.USub: "negative", ast.UAdd: "positive", ast.Not: "not", ast.And: "and", ast.Or: "or",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_INSTEAD: dict[type[ast.AST], str] = {
    ast.BitAnd: "write and",
    ast.BitOr: "write or",
    ast.BitXor: "a power is **",
    ast.MatMult: "a product of matrices is an InnerProduct layer",
}
_ATTRIBUTE = "functions go by their bare names: exp(x)"
_STRANGE: dict[type[ast.AST], tuple[str, str | None]] = {
    ast.Attribute: ("an attribute", _ATTRIBUTE),
    ast.Subscript: ("[ ]", "a Slice or Crop layer takes a part of a blob"),
    ast.IfExp: ("if … else", "write where(condition, a, b)"),
    ast.UnaryOp: ("~", "write not"),
    ast.Lambda: ("lambda", None),
    ast.Starred: ("*", None),
    **dict.fromkeys((ast.List, ast.Tuple, ast.Set, ast.Dict), ("a list of values", None)),
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), ("a loop", None)),
}
_ON_NUMBERS: dict[str, Callable[..., np.float64]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "pow": operator.pow, "negative": operator.neg,
}  # fmt: skip


def names_of(bottoms: Sequence[str]) -> dict[str, int]:
    """What the bottoms can be called in a formula: by their names, where these are identifiers, and b0, b1 …."""
    names: dict[str, int] = {}
    for position, bottom in enumerate(bottoms):
        if bottom.isidentifier() and not iskeyword(bottom):
            names.setdefault(normalize("NFKC", bottom), position)  # the form in which Python reads identifiers
    return {f"b{position}": position for position in range(len(bottoms))} | names


def parse(text: str, names: Mapping[str, int]) -> tuple[list[Step], list[Mistake]]:
    """The steps of a formula, and what is wrong with it: with mistakes, the steps mean nothing.

    Args:
        text: the formula.
        names: what its blobs are called, see :func:`names_of`.
    """
    reader = _Reader(text, names)
    try:
        reader.read(reader.tree(), 0)
    except Mistake as mistake:
        reader.mistakes.append(mistake)
    return reader.steps, reader.mistakes


class _Reader:
    """Walks the tree of a formula.  Notes a mistake and goes on; raises one where it cannot."""

    def __init__(self, text: str, names: Mapping[str, int]) -> None:
        self.text = text.translate(dict.fromkeys(map(ord, "\n\r\t\f\v"), " "))
        self.names = names
        self.steps: list[Step] = []
        self.mistakes: list[Mistake] = []
        self.indent = len(self.text) - len(self.text.lstrip(" "))

    # -- text -----------------------------------------------------------------------------------------------------

    def tree(self) -> ast.expr:
        """The formula in Python's grammar."""
        text = self.text[self.indent :]
        if not text:
            raise Mistake("the formula is empty", 0)
        if len(text) > LONGEST:
            raise Mistake(f"the formula is longer than {LONGEST} characters", 0, "split it over several layers")
        if "#" in text:
            raise Mistake("a formula holds no comments", self.indent + text.index("#"))
        try:
            return ast.parse(text, mode="eval").body
        except SyntaxError as error:
            column = min(max((error.offset or 1) - 1, 0), len(text) - 1)
            raise Mistake(f"the formula cannot be read here: {error.msg}", self.indent + column) from None
        except (ValueError, MemoryError, RecursionError) as error:  # a NUL, or nested beyond what Python takes
            raise Mistake(f"the formula cannot be read: {error or 'it is nested too deeply'}", 0) from None

    def column(self, node: ast.expr, end: bool = False) -> int:
        """Where a node begins, or ends; Python counts in bytes."""
        offset = (node.end_col_offset or 0) if end else node.col_offset
        return self.indent + len(self.text[self.indent :].encode()[:offset].decode(errors="ignore"))

    def between(self, left: ast.expr, right: ast.expr) -> int:
        """Where the operator between two operands stands."""
        first, last = self.column(left, end=True), self.column(right)
        return next((at for at in range(first, last) if self.text[at] not in " ()"), first)

    # -- what comes out -------------------------------------------------------------------------------------------

    def wrong(self, message: str, column: int, help: str | None = None) -> None:
        """Note a mistake; the same one once only, as a wrong name may stand there many times."""
        if message not in (mistake.message for mistake in self.mistakes):
            self.mistakes.append(Mistake(message, column, help))

    def emit(self, step: Step) -> None:
        """Add a step; arithmetic on numbers is done now, in double precision."""
        if step.name == "positive" or self.mistakes:
            return
        last = self.steps[len(self.steps) - step.takes :]
        if step.name in _ON_NUMBERS and all(operand.name == "number" for operand in last):
            with np.errstate(all="ignore"):
                value = float(_ON_NUMBERS[step.name](*(np.float64(operand.value) for operand in last)))
            del self.steps[len(self.steps) - step.takes :]
            step = Step("number", value=value, column=step.column)
        self.steps.append(step)

    # -- nodes ----------------------------------------------------------------------------------------------------

    def read(self, node: ast.expr, depth: int) -> None:
        """Emit the steps of a node, its operands first."""
        if depth > DEEPEST:
            raise Mistake(f"the formula is nested deeper than {DEEPEST} levels", self.column(node), "split it")
        match node:
            case ast.Constant():
                self.number(node)
            case ast.Name():
                self.name(node)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                self.read(operand, depth + 1)
                self.emit(Step(_OPERATORS[type(op)], 1, column=self.column(node)))
            case ast.BinOp():
                self.chain(node, depth)
            case ast.BoolOp(op=op, values=[first, *rest]):
                self.read(first, depth + 1)
                for left, right in zip([first, *rest], rest, strict=False):
                    self.pair(op, left, right, depth)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                self.read(left, depth + 1)
                self.pair(op, left, right, depth)
            case ast.Compare():
                self.wrong("compares more than two values", self.column(node), "write a < b and b < c")
            case ast.Call():
                self.call(node, depth)
            case _:
                what, help = _STRANGE.get(type(node), ("this", None))
                follows = node.value if isinstance(node, ast.Attribute | ast.Subscript) else None
                column = self.column(follows, end=True) if follows else self.column(node)
                self.wrong(f"{what} cannot stand in a formula", column, help)

    def chain(self, node: ast.BinOp, depth: int) -> None:
        """a + b + c …: however long, it is no deeper than its operands."""
        links = [node]
        while isinstance(links[-1].left, ast.BinOp):
            links.append(links[-1].left)
        self.read(links[-1].left, depth + 1)
        for link in reversed(links):
            self.pair(link.op, link.left, link.right, depth)

    def pair(self, op: ast.AST, left: ast.expr, right: ast.expr, depth: int) -> None:
        """An operator whose left operand was read."""
        column = self.between(left, right)
        if type(op) not in _OPERATORS:
            known = "there are: + - * / // % ** < <= > >= == != and or not"
            self.wrong("unknown operator", column, _INSTEAD.get(type(op), known))
            return
        self.read(right, depth + 1)
        self.emit(Step(_OPERATORS[type(op)], 2, column=column))

    def number(self, node: ast.Constant) -> None:
        value, column = node.value, self.column(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong("must be a number here", column)
            return
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if math.isinf(value):
            self.wrong("the number is too large", column)
        self.emit(Step("number", value=value, column=column))

    def name(self, node: ast.Name) -> None:
        name, column = node.id, self.column(node)
        if name in self.names:
            self.emit(Step("blob", value=self.names[name], column=column))
        elif name == "pi":
            self.emit(Step("number", value=math.pi, column=column))
        elif name in FUNCTIONS:
            self.wrong(f"{name} is a function", column, f"write what it is to work on in parentheses: {name}(…)")
        else:
            help = did_you_mean(name, self.names) or did_you_mean(name, FUNCTIONS)
            self.wrong(f'no bottom is called "{name}"', column, help or f"there are: {', '.join(self.names)}")

    # -- calls ----------------------------------------------------------------------------------------------------

    def call(self, node: ast.Call, depth: int) -> None:
        column, operands = self.column(node), node.args
        name = self.function(node.func)
        if name is None:
            return
        if len(operands) not in FUNCTIONS[name]:
            self.miscounted(name, len(operands), column)
            return
        options = Step(name, 1, column=column)
        for keyword in node.keywords:
            options = self.option(options, keyword, len(operands))
        for number, operand in enumerate(operands):
            self.read(operand, depth + 1)
            if name in REDUCTIONS and number:
                self.emit(Step(name, 2, column=column))
        if len(operands) == 1:
            self.emit(options)
        elif name not in REDUCTIONS:
            self.emit(Step(name, len(operands), column=column))

    def function(self, node: ast.expr) -> str | None:
        """The name of what is called; None, with a mistake noted, where it is no function."""
        column = self.column(node)
        known = f"there are: {', '.join(FUNCTIONS)}"
        if not isinstance(node, ast.Name):
            self.wrong("only functions can be called", column, _ATTRIBUTE if isinstance(node, ast.Attribute) else known)
        elif node.id in FUNCTIONS:
            return node.id
        elif node.id in self.names:
            self.wrong(f'"{node.id}" is no function', column, "a product is written with *")
        else:
            self.wrong(f'"{node.id}" is no function', column, did_you_mean(node.id, FUNCTIONS) or known)
        return None

    def miscounted(self, name: str, given: int, column: int) -> None:
        arity = FUNCTIONS[name]
        noun = "operand" if str(arity) == "1" else "operands"
        help = f"axes are named: {name}(x, axis=1)" if name in REDUCTIONS and given > 1 else None
        self.wrong(f"{name} takes {arity} {noun}, got {given}", column, help)

    def option(self, step: Step, keyword: ast.keyword, operands: int) -> Step:
        """A reduction with its `axis` or `keepdims` set."""
        column = self.column(keyword.value)
        if step.name not in REDUCTIONS or operands > 1 or keyword.arg not in ("axis", "keepdims"):
            of = f" of {operands} operands" if step.name in REDUCTIONS and operands > 1 else ""
            self.wrong(f'{step.name}{of} has no option "{keyword.arg or "**"}"', column)
            return step
        try:
            value = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            value = None
        if keyword.arg == "keepdims":
            if not isinstance(value, bool):
                self.wrong("keepdims must be True or False", column)
            return replace(step, keep=value is True)
        axes = tuple(value) if isinstance(value, tuple | list) else (value,)
        if not axes or not all(type(axis) is int for axis in axes):
            self.wrong("axis must be a whole number, or several: axis=(2, 3)", column)
            return step
        return replace(step, axes=axes)
