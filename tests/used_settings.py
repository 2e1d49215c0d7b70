"""Which settings the recorded cases and the tests use: the first read as messages, the second as text."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffelite import assembly, proto

from .conftest import CARRIED, REPO
from .recorded import indexed

Setting = tuple[str, str, str]
"""Message, field, enum value; the value is "" for the field itself."""


SHARED = ("NetParameter", "NetState", "LayerParameter", "ParamSpec", "NetStateRule", "FillerParameter")
"""Messages that do not belong to one layer type or a few."""


@dataclass
class Covered:
    """By setting: how many recorded cases of each layer type use it, and which test files."""

    recorded: dict[Setting, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    tests: dict[Setting, set[str]] = field(default_factory=lambda: defaultdict(set))


def settings_of(message: Any) -> Iterator[Setting]:
    """What a message sets, with what is in its fields; an enum left out has its default."""
    name = message.DESCRIPTOR.name
    for one in message.DESCRIPTOR.fields:
        repeated = one.is_repeated
        values = list(getattr(message, one.name)) if repeated else [getattr(message, one.name)]
        given = bool(values) if repeated else message.HasField(one.name)
        if given:
            yield name, one.name, ""
        if one.enum_type and (given or not repeated):
            yield from ((name, one.name, one.enum_type.values_by_number[value].name) for value in values)
        if one.message_type and given:
            for value in values:
                yield from settings_of(value)


def _of_recorded_nets(known: Covered) -> None:
    for case in indexed(CARRIED).values():
        if case.entry["kind"] in ("net_error", "solver"):
            continue
        net = assembly.read_net(case.file("prototxt")).message
        layers = [(layer.type, setting) for layer in net.layer for setting in settings_of(layer)]
        whole = [("", setting) for setting in settings_of(net)]
        for kind, setting in dict.fromkeys(layers + whole):
            if (setting[0] in SHARED) != bool(kind):
                known.recorded[setting][kind or "nets"] += 1


def _of_recorded_solvers(known: Covered) -> None:
    for folder in ("solvers/*", "cli/files", "upgrade"):
        for path in CARRIED.glob(f"{folder}/*solver*.prototxt"):
            if "upgraded" not in path.name:
                solver = text_format.Parse(path.read_text(), proto.SolverParameter())
                for setting in set(settings_of(solver)):
                    known.recorded[setting]["solvers"] += setting[0] == "SolverParameter"


# -- texts of tests --------------------------------------------------------------------------------------------------


def texts_of(source: str) -> str:
    """What a Python file may make prototxt of: its strings, keyword arguments (`name= value`) and dictionaries."""
    texts = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                texts.append(text)
            case ast.JoinedStr(values=values):
                texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values))
            case ast.keyword(arg=str(name), value=value):
                texts.append(f"{name}= {ast.unparse(value)}")
            case ast.Dict(keys=keys, values=values):
                given = zip(keys, values, strict=True)
                texts += [f"{key.value}: {ast.unparse(value)}" for key, value in given if isinstance(key, ast.Constant)]
    return "\n".join(texts)


def _blocks(text: str, name: str) -> Iterator[str]:
    """The bodies of all `name { … }` in a text; the doubled braces of `str.format` balance as well."""
    for match in re.finditer(rf"\b{name}\s*:?\s*\{{", text):
        depth = 1
        for end in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if not depth:
                yield text[match.end() : end]
                break


def _set_in(text: str, message: Any, whole: str) -> Iterator[Setting]:
    """The settings of a message in its body; a value that is put in at run time may be any in the `whole` file."""
    for one in message.fields:
        if re.search(rf"\b{one.name}\s*[:{{=]", text):
            yield message.name, one.name, ""
            at_run_time = re.search(rf"\b{one.name}\s*:\s*(…|\{{\w*\}})", text)
            for value in one.enum_type.values if one.enum_type else ():
                given = rf"\b{one.name}\s*[:=]\s*[\w.]*\b{value.name}\b"
                if re.search(rf"\b{value.name}\b", whole) if at_run_time else re.search(given, text):
                    yield message.name, one.name, value.name


def _somewhere(text: str, messages: list[Any]) -> Iterator[Setting]:
    """What a file sets that is about these messages and puts settings together at run time: fields that only one of
    the messages has, and values of enums wherever their names stand."""
    owners = Counter(one.name for message in messages for one in message.fields)
    for message in messages:
        for one in message.fields:
            if owners[one.name] == 1 and re.search(rf"\b{one.name}\s*[:{{=]|(?m:^{one.name}$)", text):
                yield message.name, one.name, ""
                for value in one.enum_type.values if one.enum_type else ():
                    if re.search(rf"\b{value.name}\b", text):
                        yield message.name, one.name, value.name


def _holders(message: Any) -> Iterator[tuple[str, Any]]:
    """The fields below a message that hold messages, by name, and what they hold."""
    for one in message.fields:
        if one.message_type:
            yield one.name, one.message_type
            yield from _holders(one.message_type)


HOLDERS = dict.fromkeys(
    [
        *_holders(proto.LayerParameter.DESCRIPTOR),
        *((name, proto.NetState.DESCRIPTOR) for name in ("state", "train_state", "test_state")),
        *((name, proto.TestWatchParameter.DESCRIPTOR) for name in ("early_stop", "plateau")),
    ]
)


def _of_test(text: str) -> Iterator[Setting]:
    present = []
    for name, message in HOLDERS:
        if re.search(rf"\b{name}\b", text):
            present.append(message)
            for block in _blocks(text, name):
                yield from _set_in(block, message, text)
    yield from _somewhere(text, [message for message in dict.fromkeys(present) if message.name not in SHARED])
    if re.search(r"\blayer\s*\{", text):
        yield from _set_in(text, proto.LayerParameter.DESCRIPTOR, text)
        yield from _set_in(text, proto.NetParameter.DESCRIPTOR, text)
    if re.search(r"\btype: \"(constant|xavier|msra|gaussian)\"", text):
        yield from _set_in(text, proto.FillerParameter.DESCRIPTOR, text)
    if re.search(r"\b(base_lr|max_iter|solver_type|device_id)\b", text):
        yield from _somewhere(text, [proto.SolverParameter.DESCRIPTOR])


@cache
def covered() -> Covered:
    """Everything the carried cases and the tests set."""
    known = Covered()
    _of_recorded_nets(known)
    _of_recorded_solvers(known)
    folder = REPO / "tests"
    for path in sorted(folder.rglob("test_*.py")):
        for setting in _of_test(texts_of(path.read_text(encoding="utf-8"))):
            known.tests[setting].add(Path(path.relative_to(folder)).as_posix())
    return known
