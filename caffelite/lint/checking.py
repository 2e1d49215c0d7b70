"""From a file to everything that is to be said about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..assembly.solvers import merged
from ..data.telling import find
from ..errors import CaffeliteError, DataError, Fault
from ..graph import state_of, survey
from ..graph.filtering import included
from ..graph.given import unused_shapes
from ..proto import Phase, SolverParameter
from ..prototxt import Loaded, sub
from ..upgrade import upgrade_solver
from . import rules
from .reading import Net, Text, overridden, read, read_net, upgraded
from .subject import Subject

Shape = tuple[int, ...]

_LACKING = frozenset({"CL501", "CL509", "CL512", "CL513", "CL515", "CL516", "CL521"})
"""Codes of settings that are missing: where the text has errors, the setting may be what could not be read."""

_BAD_DATA = frozenset({"CL400", "CL402", "CL403", "CL404", "CL405", "CL406", "CL407", "CL607"})
"""Codes of data that is there, and with which a training would fail."""


@dataclass(frozen=True, slots=True)
class Options:
    """How files are looked at.

    Attributes:
        phases: the phases of a net that is checked by itself.
        level, stages: of its state.
        sets: values put over the file's.
        allow_python: Python layers may run.
        shapes: of data blobs whose source is not at hand.
        weights: files whose weights are to fit the net.
    """

    phases: tuple[int, ...] = (0, 1)
    level: int = 0
    stages: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    allow_python: bool = False
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    weights: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What was found in one file; the same thing found in two phases counts once, though its help may differ.

    Attributes:
        path: the file.
        about: what it is, where it is sound.
    """

    path: str
    about: list[str] = field(default_factory=list)
    _faults: dict[Fault, Fault] = field(default_factory=dict)

    @property
    def faults(self) -> list[Fault]:
        """What was found, in the order it was found in."""
        return list(self._faults.values())

    def add(self, faults: Iterable[Fault]) -> None:
        """Enter faults."""
        for fault in faults:
            self._faults.setdefault(replace(fault, help=None), fault)

    def count(self, severity: str) -> int:
        """How many there are of a severity."""
        return sum(fault.severity == severity for fault in self._faults.values())


def check(path: str, solver: bool, options: Options) -> Report:
    """Everything that is wrong with a net, or a solver with its nets.  Never raises a CaffeliteError."""
    report = Report(path)
    (_check_solver if solver else _check_net)(report, options)
    return report


# -- nets -----------------------------------------------------------------------------------------------------------


def _check_net(report: Report, options: Options) -> None:
    net = read_net(report.path, options.sets, options.allow_python)
    report.add(net.text.faults)
    if net.file is None:
        return
    message = net.file.message
    states = [state_of(message, phase, options.level, options.stages) for phase in options.phases]
    fed = [state for state in states if any(not layer.bottom and included(layer, state) for layer in message.layer)]
    subjects = []
    for state in fed or states:  # a net for one phase only has nothing to read in the other
        subject = _build(net, state, report, options, "alone")
        subjects += [subject] if subject is not None else []
    _look_at(subjects, report)
    if options.weights:
        from .weights import of_weights

        report.add(of_weights(options.weights, subjects))
    for subject in subjects:
        subject.close()


def _look_at(subjects: Iterable[Subject], report: Report) -> None:
    for subject in subjects:
        report.add(rules.of_net(subject))


def _build(net: Net, state: Any, report: Report, options: Options, role: str) -> Subject | None:
    """The net in a state, for rules to look at; None where its layers do not fit together."""
    assert net.file is not None
    graph, faults = survey(net.file.message, state, net.make, net.file.places, given=options.shapes, missing_data=True)
    if net.text.unsure:  # the layer that makes a blob may be one that could not be read
        faults = [fault for fault in faults if fault.code not in ("CL201", "CL202")]
    report.add(faults)
    report.add(replace(fault, severity="error") if fault.code in _BAD_DATA else fault for fault in graph.warnings)
    if net.text.failed or any((fault.code or "").startswith("CL2") for fault in faults):
        return None
    if not faults:
        report.add(unused_shapes(graph, options.shapes))
        layers = sum(node.type != "Split" for node in graph.nodes)
        phase = Phase.Name(state.phase)
        report.about.append(f'net "{graph.name}" in {phase}: {layers} layer{"s" * (layers != 1)}')
    return Subject(graph, role)


# -- solvers --------------------------------------------------------------------------------------------------------


def _check_solver(report: Report, options: Options) -> None:
    nets = [entry for entry in options.sets if entry.lstrip().startswith("layer[")]
    text = read(report.path, SolverParameter)
    loaded = text.loaded
    if loaded is not None:
        try:
            today = upgrade_solver(loaded.message, loaded.places)
        except CaffeliteError as error:
            text = replace(text, loaded=None, faults=[*text.faults, *error.faults])
        else:
            loaded = replace(loaded, message=today.message, places=today.places)
            text = replace(text, loaded=loaded, faults=[*text.faults, *today.notes])
            text = overridden(text, [entry for entry in options.sets if entry not in nets])
    report.add(text.faults)
    if text.loaded is not None:
        _Solver(report, replace(options, sets=tuple(nets)), text, text.loaded).check()


class _Solver:
    """A solver's text, and the way from there to its nets."""

    def __init__(self, report: Report, options: Options, text: Text, loaded: Loaded[Any]) -> None:
        self.report, self.options, self.text, self.loaded = report, options, text, loaded
        self.read: dict[str, Net] = {}

    def check(self) -> None:
        """Settings, nets, and what follows from both."""
        from ..solver.settings import Settings, examined

        message = self.loaded.message
        if self.options.level:
            message.train_state.level = self.options.level
        message.train_state.stage.extend(stage for stage in self.options.stages if stage)
        full, checks, notes = examined(message, self.loaded.places, self.report.path)
        found = [*notes, *checks.warnings, *checks.faults]
        if self.text.failed:
            found = [fault for fault in found if fault.code not in _LACKING]
        self.report.add(found)
        settings = None if checks.faults else Settings.from_examined(full, checks, notes)
        if settings is None:
            self._nets_of(full)
        else:
            self._chain(settings, full)

    def _nets_of(self, message: Any) -> None:
        """The nets of a solver whose settings are wrong, each looked at as far as that goes."""
        from ..solver.checks import TRAIN_NETS

        named = [(kind, 0) for kind in TRAIN_NETS if message.HasField(kind)][:1]
        subjects = [self._build(kind, getattr(message, kind), None, phase, None, "alone") for kind, phase in named]
        for index, path in enumerate(message.test_net):
            subjects.append(self._build("test_net", path, index, 1, None, "alone"))
        if named and message.test_iter and not message.test_net:
            subjects.append(self._build(named[0][0], getattr(message, named[0][0]), None, 1, None, "alone"))
        built = [subject for subject in subjects if subject is not None]
        _look_at(built, self.report)
        for subject in built:
            subject.close()

    def _chain(self, settings: Any, message: Any) -> None:
        from ..assembly.settled import counting, watching
        from .subject import SolverSubject, Tested

        self.report.about.append(f"solver, {settings.type}, {settings.lr_policy} rate")
        kind, value = settings.train_net
        train = self._build(kind, value, None, 0, settings.train_state, "train")
        tests, counts = list[Tested](), dict[str, int]()
        for index, test in enumerate(settings.test_nets):
            place = counts[test.kind] = counts.get(test.kind, -1) + 1
            at = place if test.kind == "test_net_param" else None
            subject = self._build(test.kind, test.value, at, 1, test.state, "test")
            if subject is not None:
                tests.append(Tested(subject, test.test_iter, index))
        places = self.loaded.places
        with self._adding():
            if len(tests) == len(settings.test_nets):
                watching(settings, [test.net.graph for test in tests], places)
        with self._adding(), suppress(DataError):  # that data is missing was said when the net was built
            if train is not None:
                _, notes = counting(settings, train.graph, places)
                self.report.about += [note.message for note in notes]
        subjects = [*([train] if train is not None else []), *(test.net for test in tests)]
        _look_at(subjects, self.report)
        self.report.add(rules.of_solver(SolverSubject(settings, message, places, train, tests)))
        if self.options.weights and train is not None:
            from .weights import of_weights

            self.report.add(of_weights(self.options.weights, [train]))
        for subject in subjects:
            subject.close()

    @contextmanager
    def _adding(self) -> Iterator[None]:
        try:
            yield
        except CaffeliteError as error:
            self.report.add(error.faults)

    def _build(self, kind: str, value: Any, index: int | None, phase: int, state: Any, role: str) -> Subject | None:
        net = self._net(kind, value, index)
        self.report.add(net.text.faults)
        if net.file is None:
            return None
        return _build(net, merged(phase, net.file.message.state, state), self.report, self.options, role)

    def _net(self, kind: str, value: Any, index: int | None) -> Net:
        """A net that the solver names, or holds itself."""
        options = self.options
        if not isinstance(value, str):
            place = kind if index is None else f"{kind}[{index}]"
            inside = replace(Loaded.of(value), places=sub(self.loaded.places, place))
            return upgraded(Text(inside), self.report.path, options.sets, options.allow_python)
        if value not in self.read:
            where = str(find(value, Path(self.report.path).parent))
            self.read[value] = read_net(where, options.sets, options.allow_python)
        return self.read[value]
