"""docs/conformance.md from the carried recordings and the texts of the tests:
`python -m tests.conformance docs/conformance.md`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from caffelite import proto

from .conftest import CARRIED
from .recorded import KINDS, Case, Compared, compare, indexed, observe, train, types_of_the_original
from .used_settings import SHARED, Covered, Setting, covered

HEAD = """# Conformance

Made by `make conformance` from the recordings and the texts in `tests/`, which every clone carries.

The recordings are of BVLC Caffe 1.0 (master 9b8915401) on the CPU, in float32. `tests/test_recorded.py` runs each of
them through both plans of a net, in both memory orders (errors are told of the order that such a net has). The
*observed* plan keeps every blob and gradient, and each of them is compared. The *fast* plan, which training uses, keeps
losses, outputs and parameter gradients; where a recording begins its backward elsewhere than at a loss, or holds a
gradient of an input, the net is given a loss that asks for it, and inputs that are parameters.

A relative error is that of one element, or of a hundredth of the largest in its array where the element is smaller; the
worst of all elements of all cases is shown. float32 has about 6e-08. Each case has its own tolerance, mostly 1e-04;
images that are resized or turned grey may be off by one grey level. Errors differ a little from machine to machine.
"""
PLANS = ("observed", "fast")
Measured = dict[str, dict[str, tuple[Compared, Compared]]]
"""By case and plan what was compared forward and backward."""


def measure(cases: Iterable[Case]) -> Measured:
    """Run the cases.

    Raises:
        AssertionError: one does not give what was recorded.
    """
    result = {}
    for case in cases:
        arrays = case.arrays()
        found = (observe(case, arrays), train(case, arrays))
        result[str(case)] = {plan: compare(case, arrays, got) for plan, got in zip(PLANS, found, strict=True)}
    return result


def _worst(measured: Measured | None, cases: list[Case], plan: str, direction: int) -> str:
    if measured is None:
        return "?"
    passes = [measured[str(case)][plan][direction] for case in cases if case.differentiated or not direction]
    errors = [each.worst for each in passes if each.arrays]
    return "" if not errors else "0" if max(errors) == 0 else f"{max(errors):.0e}"


def _table(titles: list[str], rows: Iterable[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


ERRORS = [f"{plan}, {direction}" for direction in ("forward", "backward") for plan in PLANS]


def _errors(measured: Measured | None, cases: list[Case]) -> list[str]:
    return [_worst(measured, cases, plan, direction) for direction in (0, 1) for plan in PLANS]


def _types(cases: list[Case], measured: Measured | None) -> str:
    rows = []
    for kind in sorted(types_of_the_original(), key=str.lower):
        own = [case for case in cases if case.folder.name == kind]
        backward = sum(case.differentiated for case in own)
        rows.append([kind, str(len(own) or "none"), str(backward or ""), *_errors(measured, own)])
    return _table(["type", "cases", "with backward", *ERRORS], rows)


def _nets(cases: list[Case], measured: Measured | None) -> str:
    rows = [
        [str(case).split("/")[-1], case.entry["exercises"].replace("|", "\\|"), *_errors(measured, [case])]
        for case in cases
        if case.entry["kind"] in ("nets", "reshape")
    ]
    return _table(["case", "about", *ERRORS], rows)


def _others(every: Iterable[Case]) -> str:
    count = Counter(case.entry["kind"] for case in every)
    rows = [
        ["nets that the original refuses (one, oddly, it does not)", "net_error", "test_recorded.py"],
        ["nets with weight files that it wrote", "weights", "test_recorded.py, snapshot"],
        ["nets filtered in several states", "filter", "graph"],
        ["statistics of fillers", "filler", "test_fillers.py"],
        ["trajectories of solvers", "solver", "solver, snapshot"],
    ]
    return _table(["recorded", "cases", "in `tests/`"], [[what, str(count[kind]), where] for what, kind, where in rows])


# -- settings --------------------------------------------------------------------------------------------------------

OURS_FROM = 5000


def messages() -> Iterator[Any]:
    """What a net or a solver file consists of: the messages of layers in alphabetical order, and the shared ones."""
    params = [field.message_type for field in proto.LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    params += [field.message_type for param in params for field in param.fields if field.message_type]
    params = [param for param in params if param.name not in (*SHARED, "BlobShape")]
    shared = [getattr(proto, name).DESCRIPTOR for name in SHARED]
    own = {param.name: param for param in params}
    yield from (own[name] for name in sorted(own))
    yield from (*shared, proto.SolverParameter.DESCRIPTOR, proto.TestWatchParameter.DESCRIPTOR)


def _entries(message: Any) -> Iterator[tuple[str, str, bool]]:
    """Field, enum value ("" for the field itself), and whether it is an extension of ours.

    Fields that hold the settings of one layer type are left out: what is in them counts.
    """
    for field in message.fields:
        if message.name == "LayerParameter" and field.name.endswith("_param"):
            continue
        ours = field.number >= OURS_FROM
        yield field.name, "", ours
        for value in field.enum_type.values if field.enum_type else ():
            yield field.name, value.name, ours


def _by(known: Covered, setting: Setting) -> str:
    recorded, tests = known.recorded[setting], sorted(known.tests[setting])
    if recorded:
        return ", ".join(f"{kind} {recorded[kind]}" for kind in sorted(recorded))
    return ", ".join(f"`{path}`" for path in tests[:3]) or "not covered"


def _rows(message: Any, known: Covered, ours: bool) -> Iterator[list[str]]:
    for field, value, extension in _entries(message):
        if extension == ours:
            yield [f"`{field}: {value}`" if value else f"`{field}`", _by(known, (message.name, field, value))]


def _settings(known: Covered) -> Iterator[str]:
    titles = ["setting", "covered by"]
    for message in messages():
        if rows := list(_rows(message, known, ours=False)):
            yield f"### {message.name}\n\n{_table(titles, rows)}"
    yield "## Settings of our own"
    yield "Their numbers in `protos/caffe.proto` are 5000 and above. The original has none of them: there are no cases."
    for message in messages():
        if rows := list(_rows(message, known, ours=True)):
            yield f"### {message.name}, extensions\n\n{_table(titles, rows)}"


def missing(known: Covered) -> list[str]:
    """The settings that neither a recorded case nor a test uses, as "Message.field: VALUE"."""
    return [
        f"{message.name}.{field}" + (f": {value}" if value else "")
        for message in messages()
        for field, value, _ in _entries(message)
        if _by(known, (message.name, field, value)) == "not covered"
    ]


def text(measured: Measured | None) -> str:
    """The page; without measurements its errors are question marks."""
    every = indexed(CARRIED).values()
    runs = [case for case in every if case.entry["kind"] in KINDS]
    known = covered()
    parts = [
        HEAD.strip(),
        f"{len(runs)} cases are compared so. Of {sum('origin' in case.entry for case in runs)} of them, those with an "
        "`origin` in `tests/golden/index.json`, it is not noted how they were recorded.",
        "## Layer types",
        _types(runs, measured),
        "Python has no recordings: what such a layer computes is its author's (`tests/layers/test_python.py`). Embed's "
        "recorded gradients are zeros that the original did not compute, as its nets have no loss; closed forms and "
        "finite differences stand for them (`test_unrecorded_settings.py`, `test_gradients.py` in `tests/layers`).",
        "## Nets",
        _nets(runs, measured),
        "## Other recordings",
        _others(every),
        "Upgraded files and logs of the command line are recorded, too: `tests/upgrade`, `tests/commands`.",
        "## Settings",
        "Every field and enum value of a net's and a solver's messages: how many recorded cases of which type set it, "
        "or, where none does, up to three files in `tests/` that do. An enum's default counts as set where it is left "
        "out. What a test sets is found by reading its text, so a setting that is put together at run time may be "
        "missed. The spellings of before 2015 (V0, V1) are left out: `tests/upgrade` is about them.",
        *_settings(known),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    cases = [case for case in indexed(CARRIED).values() if case.entry["kind"] in KINDS]
    Path(sys.argv[1]).write_text(text(measure(cases)), encoding="utf-8")
