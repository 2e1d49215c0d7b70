"""The operators of some work, as torch dispatches them, and a function that does the same without Python.

The function is run by TorchScript's interpreter, operator by operator in their order and with no optimisation, so that
no bit is another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

Tensors = Sequence[torch.Tensor | None]
Function = Callable[..., Tensors]
"""Called with the inputs and, if there are any, the numbers that change from time to time."""

_PLAIN = bool | int | float | str | torch.dtype | torch.device | torch.layout | torch.memory_format
_CHANGING = {torch.Tag.nondeterministic_seeded, torch.Tag.dynamic_output_shape}
"""What an operator does that is not the same each time: chance, and results of whatever size their values need."""


@dataclass(frozen=True, slots=True)
class Given:
    """An input, by its number."""

    number: int


@dataclass(frozen=True, slots=True)
class Made:
    """A result of an operator, by its number among all results."""

    number: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number that may be another the next time, by its number."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A tensor that was there before: the same one if it is the same object."""

    tensor: torch.Tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and other.tensor is self.tensor

    def __hash__(self) -> int:
        return id(self.tensor)


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator at work.

    Attributes:
        overload: which one.
        arguments: all its arguments in order, a tensor by where it is from.
        counts: for each result the length of the list of tensors that it is; None for what is no list.
        results: the tensors that these are, all in one row.
    """

    overload: Any
    arguments: tuple[Any, ...]
    counts: tuple[int | None, ...]
    results: tuple[Made, ...]

    def values(self) -> Iterator[Any]:
        """All its arguments, and what is in lists among them."""
        for argument in self.arguments:
            yield from argument if isinstance(argument, tuple) else (argument,)


@dataclass(frozen=True, slots=True)
class Row:
    """Operators in their order, and where the results of it all are from (None: there is none)."""

    operators: tuple[Operator, ...]
    results: tuple[Any, ...]


class _Unrepeatable(Exception):
    """The next time something may be otherwise."""


class Recorder(TorchDispatchMode):
    """Takes down what torch does within it.

    Args:
        inputs: the tensors that may be others the next time.
        numbers: the numbers that may be, unlike any other.
    """

    def __init__(self, inputs: Sequence[torch.Tensor], numbers: Sequence[float] = ()) -> None:
        super().__init__()
        self._numbers = {value: Number(number) for number, value in enumerate(numbers)}
        self._from = WeakTensorKeyDictionary()
        for number, tensor in enumerate(inputs):
            self._from[tensor] = Given(number)
        self._operators: list[Operator] = []
        self._made = 0
        self._sound = len(self._from) == len(inputs)  # one twice may be two the next time

    def row(self, results: Tensors) -> Row | None:
        """What was taken down; None where it cannot be done again."""
        return Row(tuple(self._operators), tuple(map(self._named, results))) if self._sound else None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by torch.  To keep torch.compile out of what follows, which it has no part in, all of it would be
        loaded, which takes more than a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._sound:
            return func(*args, **kwargs)
        self._sound = False  # so it stays if the operator fails
        rest = func._schema.arguments[len(args) :]
        given = [*args, *(kwargs.get(one.name, one.default_value) for one in rest)]
        try:
            arguments = tuple(self._named(value) for value in given)
        except _Unrepeatable:
            return func(*args, **kwargs)
        results = func(*args, **kwargs)
        self._sound = _CHANGING.isdisjoint(func.tags) and self._note(func, arguments, results)
        return results

    def _named(self, value: Any) -> Any:
        """An argument or a result, tensors by where they are from."""
        if isinstance(value, torch.Tensor):
            return self._from.get(value) or Fixed(value)
        if isinstance(value, list | tuple):
            return tuple(self._named(one) for one in value)
        if isinstance(value, float) and math.isnan(value):
            return math.nan  # which in rows is equal to itself, as it is the same object
        if isinstance(value, float) and value in self._numbers:
            return self._numbers[value]
        if value is None or isinstance(value, _PLAIN):
            return value
        raise _Unrepeatable(value)

    def _note(self, overload: Any, arguments: tuple[Any, ...], results: Any) -> bool:
        """Take an operator down; whether it can be done again."""
        each = results if isinstance(results, tuple) else (results,) if overload._schema.returns else ()
        if any(isinstance(one, _PLAIN) for one in each):
            # A number, which is the same the next time if what it tells of is.
            return all(one is None or isinstance(one, Fixed | _PLAIN) for one in arguments)
        made: list[Made] = []
        for result in each:
            for tensor in result if isinstance(result, list) else [result]:
                made.append(Made(self._made + len(made)))
                if tensor is not None:  # else it was not wanted
                    self._from[tensor] = made[-1]
        self._made += len(made)
        counts = tuple(len(one) if isinstance(one, list) else None for one in each)
        self._operators.append(Operator(overload, arguments, counts, tuple(made)))
        return True


# -- the function ---------------------------------------------------------------------------------------------------

_FORMATS = {
    torch.contiguous_format: 0,
    torch.preserve_format: 1,
    torch.channels_last: 2,
    torch.channels_last_3d: 3,
}
"""The numbers that TorchScript has for memory formats (`c10/core/MemoryFormat.h`)."""


def function(row: Row, inputs: int, numbers: int = 0) -> Function | None:
    """What does the same as a row of operators, given that many inputs and numbers; None if torch lacks the means.

    It raises RuntimeError where an operator does.
    """
    try:
        run = torch._C._create_function_from_graph("replay", _graph(row, inputs, numbers))
    except (AttributeError, RuntimeError, TypeError):
        return None
    executor, whole = torch._C, None not in row.results

    def replay(tensors: Sequence[torch.Tensor], numbers: Sequence[float] = ()) -> Tensors:
        optimizes = executor._get_graph_executor_optimize()
        executor._set_graph_executor_optimize(False)
        try:
            results: Tensors = run(*tensors, *numbers)
        finally:
            executor._set_graph_executor_optimize(optimizes)
        if whole:
            return results
        each = iter(results)
        return [None if one is None else next(each) for one in row.results]

    return replay


def _graph(row: Row, inputs: int, numbers: int) -> Any:
    """The operators as a graph, with all results that there are in one tuple."""
    graph = torch._C.Graph()
    writer = _Writer(graph, inputs, numbers)
    for operator in row.operators:
        writer.add(operator)
    there = [writer.value(one) for one in row.results if one is not None]
    kind = torch._C.TupleType([writer.tensor] * len(there))
    graph.registerOutput(writer.node("prim::TupleConstruct", there, [kind])[0])
    return graph


class _Writer:
    """Writes operators into a graph of TorchScript's.

    Attributes:
        tensor: the type.
    """

    def __init__(self, graph: Any, inputs: int, numbers: int) -> None:
        self._graph, self.tensor = graph, torch._C.TensorType.get()
        self._values: dict[Given | Made | Number, Any] = {}
        self._constants: dict[Any, Any] = {}
        for number in range(inputs):
            self._add_input(Given(number), f"input{number}", self.tensor)
        for number in range(numbers):
            self._add_input(Number(number), f"number{number}", torch._C.FloatType.get())

    def _add_input(self, value: Given | Number, name: str, kind: Any) -> None:
        self._values[value] = self._graph.addInput(name)
        self._values[value].setType(kind)

    def node(self, name: str, arguments: Sequence[Any], types: Sequence[Any]) -> list[Any]:
        """Write a node; its outputs, of these types."""
        node = self._graph.create(name, list(arguments), len(types))
        self._graph.appendNode(node)
        outputs = list(node.outputs())
        for output, kind in zip(outputs, types, strict=True):
            output.setType(kind)
        return outputs

    def add(self, operator: Operator) -> None:
        """Write an operator."""
        schema = operator.overload._schema
        pairs = zip(operator.arguments, schema.arguments, strict=True)
        arguments = [self.value(value, str(argument.type)) for value, argument in pairs]
        lists = torch._C.ListType(self.tensor)
        kinds = [self.tensor if count is None else lists for count in operator.counts]
        each: list[Any] = []
        for output, count in zip(self.node(schema.name, arguments, kinds), operator.counts, strict=True):
            each += [output] if count is None else self.node("prim::ListUnpack", [output], [self.tensor] * count)
        self._values.update(zip(operator.results, each, strict=True))

    def value(self, value: Any, kind: str = "Tensor") -> Any:
        """What an argument is in the graph; `kind` is the type that the operator's schema says, in words."""
        if isinstance(value, Given | Made | Number):
            return self._values[value]
        if isinstance(value, tuple):
            return self._list(value, kind)
        if isinstance(value, torch.memory_format):
            value = _FORMATS[value]
        if isinstance(value, int) and "float" in kind:
            value = float(value)
        key = value if isinstance(value, Fixed) else (type(value), repr(value))
        if key not in self._constants:
            constant = value.tensor if isinstance(value, Fixed) else value
            self._constants[key] = self._graph.insertConstant(constant)
        return self._constants[key]

    def _list(self, values: tuple[Any, ...], kind: str) -> Any:
        element = kind[kind.index("List[") + len("List[") :]
        c: Any = torch._C
        kinds = {"Tensor": c.TensorType, "float": c.FloatType, "bool": c.BoolType, "number": c.NumberType}
        inside = kinds.get(element.removeprefix("Optional[").rstrip("]"), c.IntType).get()
        made = c.ListType(c.OptionalType(inside) if "Optional" in element else inside)
        return self.node("prim::ListConstruct", [self.value(value, element) for value in values], [made])[0]
