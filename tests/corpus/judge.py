"""What becomes of public files here, beside the original's verdict on them.

    python -m tests.corpus.judge FOLDER [--only PART] [--jobs N] [--report FILE]

FOLDER holds files of the manifest as <owner>+<repository>/<path>; those that are missing or have changed are left out.
A net is built in both phases, its data layers replaced by Input layers of the manifest's shapes, as it was for the
original; README.md says more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from caffelite import prototxt
from caffelite.assembly import NetFile, build_graph, read_net
from caffelite.errors import CaffeliteError
from caffelite.graph import Graph, state_of
from caffelite.layerkit import layers
from caffelite.proto import LayerParameter, Phase, SolverParameter
from caffelite.solver import Settings
from caffelite.upgrade import upgrade_solver

MANIFEST = Path(__file__).with_name("manifest.jsonl")
PHASES = ("TRAIN", "TEST")
SHAPED = frozenset({"Input", "DummyData", "MemoryData", "Parameter", "ContinuationIndicator"})
"""Types without bottoms that say the shapes of their tops themselves."""

SIZES = [(h, h) for h in (224, 256, 321, 513, 500, 713, 473, 300, 304)] + [(360, 480), (512, 1024)]
"""Heights and widths of images that are tried where the data's are not known."""

Plan = Sequence[tuple[int, str, Sequence[int]]]
"""(which layer of data, top, shape)."""


@dataclass(slots=True)
class Outcome:
    """What became of a file.

    Attributes:
        builds: by phase ("" for a solver).
        alike: by phase, whether shapes of blobs and weights are the original's, where it builds.
        faults: of the first phase that was refused.
        failure: a traceback.
    """

    row: dict[str, Any]
    builds: dict[str, bool] = field(default_factory=dict)
    alike: dict[str, bool] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    placed: bool = True
    failure: str = ""


def digest(graph: Graph) -> str:
    """The shapes of a net as the manifest has them: 16 hexadecimal digits of blobs, layers, weights and outputs."""
    whole = {
        "blobs": {blob: list(graph.shape(blob) or ()) for blob in graph.blobs},
        "layers": [
            [node.name, node.type, [list(graph.weights[index].shape) for index in node.weights]] for node in graph.nodes
        ],
        "outputs": sorted(graph.outputs),
        "learnable": len(graph.owners()),
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_phase(entry: dict[str, Any], phase: str) -> Any:
    """An entry of the manifest that is kept once where both phases have the same."""
    return entry.get(phase, entry.get("both"))


def fed(net: NetFile, plan: Plan) -> NetFile:
    """The net with its data layers as Input layers of these shapes; a shape that is not known is (1)."""
    shapes = {(number, top): shape for number, top, shape in plan}
    data = [layer for layer in net.message.layer if not layer.bottom and layer.top and layer.type not in SHAPED]
    for number, layer in enumerate(data):
        if layer.type not in _known():
            continue
        new = LayerParameter(name=layer.name, type="Input", top=list(layer.top))
        new.include.extend(layer.include)
        new.exclude.extend(layer.exclude)
        if layer.HasField("phase"):
            new.phase = layer.phase
        for top in layer.top:
            new.input_param.shape.add().dim.extend(shapes.get((number, top), [1]))
        layer.CopyFrom(new)
    return net


def _known() -> set[str]:
    return {name.partition("@")[0] for name in layers.names()}


def other_plans(plan: Plan) -> Iterator[Plan]:
    """The plan, and other forms of what it only guesses: labels as images or boxes, images of other sizes."""
    image = next((list(shape) for _, _, shape in plan if len(shape) >= 4), None)
    yield plan
    if image is None:
        return
    for label in ([], [1, *image[2:4]], [1, 1, 1], [1, 300, 5], [1, 8, 8]):
        yield [(k, t, [image[0], *label] if len(s) == 1 or t == "label" else s) for k, t, s in plan]
    for height, width in SIZES:
        yield [(k, t, [*s[:-2], height, width] if len(s) in (4, 5) and s[-1] > 1 else s) for k, t, s in plan]
    yield [(k, t, [s[0], 3, 16, 112, 112] if len(s) == 4 else s) for k, t, s in plan]
    for channels in (1, 3):
        yield [(k, t, [s[0], 3 if t == "data" else channels, 16, 112, 112]) for k, t, s in plan]


def _build(path: str, phase: str, plan: Plan, kept: bool = False) -> Graph:
    """The graph of a net; with its data layers `kept`, which then say their shapes themselves where they can."""
    net = read_net(path, allow_python=False)
    state = state_of(net.message, Phase.Value(phase), 0, [""])
    if kept:
        given = {top: tuple(shape) for _, top, shape in plan}
        return build_graph(net, state, given=given, missing_data=True)
    return build_graph(fed(net, plan), state)


def _judge_net(path: str, outcome: Outcome) -> None:
    row = outcome.row
    for phase in PHASES:
        theirs, plan = of_phase(row["original"], phase), of_phase(row.get("data", {}), phase) or []
        graph, error = None, None
        tries = [(plan, False)] if theirs["builds"] else [*((one, False) for one in other_plans(plan)), (plan, True)]
        for candidate, kept in tries:
            try:
                graph = _build(path, phase, candidate, kept)
                break
            except CaffeliteError as found:
                error = error or found
        outcome.builds[phase] = graph is not None
        if theirs["builds"]:
            outcome.alike[phase] = graph is not None and digest(graph) == theirs["shapes"]
        if graph is None and error is not None and not outcome.faults:
            _note(outcome, error)


def _judge_solver(path: str, outcome: Outcome) -> None:
    try:
        text = prototxt.load(path, SolverParameter)
        today = upgrade_solver(text.message, text.places)
        today.message.ClearField("snapshot_prefix")
        Settings.from_message(today.message, today.places, path)
        outcome.builds[""] = True
    except CaffeliteError as error:
        outcome.builds[""] = False
        _note(outcome, error)


def _note(outcome: Outcome, error: CaffeliteError) -> None:
    faults = [fault for fault in error.faults if fault.severity == "error"]
    outcome.faults = [fault.message for fault in faults]
    outcome.placed = all(fault.place is not None and fault.place.line is not None for fault in faults)


def judge(row: dict[str, Any], folder: Path) -> Outcome | None:
    """What becomes of one file; None where it is not there as it was."""
    path = folder / row["repository"].replace("/", "+", 1) / row["path"]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
        return None
    outcome = Outcome(row)
    try:
        if row["kind"] == "net":
            _judge_net(str(path), outcome)
        elif row["kind"] == "solver":
            _judge_solver(str(path), outcome)
        else:
            read_net(str(path))
    except CaffeliteError as error:
        _note(outcome, error)
    except Exception:  # what this is looking for
        outcome.failure = traceback.format_exc()
    return outcome


def manifest(path: Path = MANIFEST) -> list[dict[str, Any]]:
    """The rows of the manifest."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- what comes of it -------------------------------------------------------------------------------------------------


def needs_code(outcome: Outcome) -> bool:
    """Whether it stops only for Python code that is not in the file."""
    return bool(outcome.faults) and any("would run Python code" in fault for fault in outcome.faults)


def report(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The counts as lines of Markdown, and then every file that does not do as it should."""
    nets = [outcome for outcome in outcomes if outcome.row["kind"] == "net"]
    theirs = [outcome for outcome in nets if outcome.alike]
    others = [outcome for outcome in nets if not outcome.alike]
    whole = [outcome for outcome in others if "not_whole" not in outcome.row and not _faulty(outcome.row)]
    plain = [outcome for outcome in whole if not needs_code(outcome)]
    solvers = [outcome for outcome in outcomes if outcome.row["kind"] == "solver"]
    run = [outcome for outcome in solvers if outcome.row["original"]["builds"]]
    repositories = {outcome.row["repository"] for outcome in outcomes}
    yield f"{len(outcomes)} files of {len(repositories)} repositories: {len(nets)} nets, {len(solvers)} solvers"
    yield ""
    yield "| files | how many | do here | share |"
    yield "|---|---|---|---|"
    yield _row("nets that the original builds: the same shapes of blobs and weights", theirs, _alike)
    yield _row("other nets that are whole: build", whole, _builds)
    yield _row("the same, without those that need Python code of somebody's own", plain, _builds)
    yield _row("solvers that the original runs: accepted", run, _builds)
    refused = [outcome for outcome in outcomes if outcome.faults]
    yield _row("refusals: every fault with a file and a line", refused, lambda outcome: outcome.placed)
    yield _row("files without a traceback", outcomes, lambda outcome: not outcome.failure)
    yield ""
    for outcome in outcomes:
        wrong = not _alike(outcome) if outcome.alike else not _builds(outcome) and "not_whole" not in outcome.row
        if outcome.failure or (wrong and outcome.row["kind"] != "other"):
            said = outcome.failure.strip().splitlines()[-1] if outcome.failure else "; ".join(outcome.faults[:2])
            yield f"- {outcome.row['repository']}/{outcome.row['path']}: {said or 'other shapes'}"


def _row(what: str, of: Sequence[Outcome], good: Any) -> str:
    count = sum(map(good, of))
    return f"| {what} | {len(of)} | {count} | {100 * count / max(len(of), 1):.1f} % |"


def _alike(outcome: Outcome) -> bool:
    return all(outcome.alike.values())


def _builds(outcome: Outcome) -> bool:
    return any(outcome.builds.values())


def _faulty(row: dict[str, Any]) -> bool:
    """Whether the original knows all the file asks for, and refuses it for something else."""
    kinds = {of_phase(row["original"], phase).get("refusal") for phase in PHASES} - {None}
    return not kinds & {"unknown field", "unknown enum value", "unknown layer type", "needs code"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the files of a folder, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.judge", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="files whose repository and path contain this")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    given = parser.parse_args(arguments)
    rows = [row for row in manifest(given.manifest) if given.only in f"{row['repository']}/{row['path']}"]
    with ProcessPoolExecutor(given.jobs) as pool:
        found = list(pool.map(partial(judge, folder=given.folder.resolve()), rows, chunksize=8))
    outcomes = [outcome for outcome in found if outcome is not None]
    missing = Counter(outcome is None for outcome in found)[True]
    print("\n".join(report(outcomes)))
    if missing:
        print(f"\n{missing} files of the manifest are not in {given.folder} as they were")
    return int(any(outcome.failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
