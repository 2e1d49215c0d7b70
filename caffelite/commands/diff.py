"""`caffelite diff`: where two nets, two solvers or two sets of weights differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..errors import CaffeliteError, UsageError
from ._files import given_shapes, input_option, is_solver
from ._kit import PHASES, debug_option, described

if TYPE_CHECKING:
    from ..tools.differences import ArrayChange, LayerChange, Setting

_TEXT, _WEIGHTS = "prototxt", "weights"


@described(
    "diff",
    "compare two nets, two solvers or two sets of weights, layer by layer",
    [
        "caffelite diff train_val_old.prototxt train_val.prototxt",
        "caffelite diff train_val.prototxt deploy.prototxt --phase TEST",
        "caffelite diff lenet_iter_5000.caffemodel lenet_iter_10000.caffemodel",
        "caffelite diff solver_a.prototxt solver_b.prototxt --format json",
    ],
    notes="What files say counts, not how: old spellings are brought to today's first; comments and order of "
    "fields do not matter.  Weights may be of any age and form.  Ends with status 1 if there is a difference.",
)
@click.argument("first")
@click.argument("second")
@click.option("--phase", metavar="TRAIN|TEST", help="Compare the layers of this phase only, as they are in it.")
@click.option(
    "--tolerance", type=click.FloatRange(0), default=0.0, help="Weights that differ by no more than this are the same."
)
@click.option("--all", "everything", is_flag=True, help="Name what is the same, too.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="How to say it.")
@input_option
@debug_option
def command(
    first: str, second: str, phase: str | None, tolerance: float, everything: bool, form: str, shapes: tuple[str, ...]
) -> int:
    if phase is not None and phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    kinds = [_kind(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        raise UsageError(f"{first} is {kinds[0]} and {second} is {kinds[1]}: there is nothing to compare")
    if kinds[0] == _WEIGHTS:
        return _weights(first, second, tolerance, everything, form)
    solvers = [is_solver(path) for path in (first, second)]
    if solvers[0] != solvers[1]:
        names = [
            f"{path} is a {'solver' if solver else 'net'}"
            for path, solver in zip((first, second), solvers, strict=True)
        ]
        raise UsageError(f"{' and '.join(names)}: there is nothing to compare")
    if solvers[0]:
        return _solvers(first, second, form)
    return _nets(first, second, phase, given_shapes(shapes), everything, form)


def _kind(path: str) -> str:
    from ..snapshot import Kind, kind_of

    kind = kind_of(path)
    if kind in (Kind.WEIGHTS, Kind.HDF5_WEIGHTS):
        return _WEIGHTS
    return _TEXT if kind in (Kind.PROTOTXT, Kind.UNKNOWN, Kind.EMPTY) else kind.value


# -- nets and solvers -------------------------------------------------------------------------------------------------


def _solvers(first: str, second: str, form: str) -> int:
    from ..proto import SolverParameter
    from ..prototxt import load
    from ..tools.differences import differences
    from ..upgrade import upgrade_solver

    old, new = (upgrade_solver(load(path, SolverParameter).message).message for path in (first, second))
    found = list(differences(old, new))
    if form == "json":
        click.echo(json.dumps([_setting(setting) for setting in found], indent=2))
    else:
        for setting in found:
            click.echo(str(setting))
        click.echo(_count(len(found), "setting") + " differ" + ("s" if len(found) == 1 else ""))
    return int(bool(found))


def _setting(setting: Setting) -> dict[str, Any]:
    return {"path": setting.path, "first": setting.old, "second": setting.new}


def _nets(first: str, second: str, phase: str | None, given: Any, everything: bool, form: str) -> int:
    from ..assembly import read_net
    from ..graph import state_of
    from ..graph.filtering import filter_net
    from ..tools.differences import differences, net_changes

    nets = [read_net(path) for path in (first, second)]
    messages = [net.message for net in nets]
    if phase is not None:
        states = [state_of(message, PHASES[phase], 0, [""]) for message in messages]
        messages = [
            filter_net(message, state, lambda _: None)[0] for message, state in zip(messages, states, strict=True)
        ]
    old, new = messages
    changes = net_changes(old, new, _graphs(nets, PHASES[phase or "TRAIN"], given))
    heads = [type(message)() for message in messages]
    for head, message in zip(heads, messages, strict=True):
        head.CopyFrom(message)
        head.ClearField("layer")
        head.ClearField("state")
    settings = list(differences(*heads))
    different = [change for change in changes if change.what != "same"]
    if form == "json":
        click.echo(json.dumps(_as_json(settings, changes if everything else different), indent=2))
    else:
        for setting in settings:
            click.echo(f"~ net: {setting}")
        for change in changes if everything else different:
            _show(change)
        same = len(changes) - len(different)
        click.echo(f"{_count(len(different), 'layer')} of {len(changes)} differ; {same} are the same")
    return int(bool(different or settings))


def _graphs(nets: list[Any], phase: int, given: Any) -> Any:
    """Both nets with their shapes; None where one does not fit together: it is compared all the same."""
    from ..assembly import build_graph
    from ..graph import state_of

    try:
        built = [
            build_graph(net, state_of(net.message, phase, 0, [""]), given=given, missing_data=True) for net in nets
        ]
    except CaffeliteError:
        return None
    return built[0], built[1]


_MARKS = {"only in the first": "-", "only in the second": "+", "changed": "~", "same": " "}


def _show(change: LayerChange) -> None:
    click.echo(f'{_MARKS[change.what]} layer "{change.name}" ({change.type})')
    for setting in change.settings:
        click.echo(f"    {setting}")
    for shape in change.shapes:
        click.echo(f"    {shape}")


def _as_json(settings: list[Setting], changes: list[LayerChange]) -> dict[str, Any]:
    layers = [
        {
            "layer": change.name,
            "type": change.type,
            "what": change.what,
            "settings": [_setting(setting) for setting in change.settings],
            "shapes": list(change.shapes),
        }
        for change in changes
    ]
    return {"net": [_setting(setting) for setting in settings], "layers": layers}


# -- weights ----------------------------------------------------------------------------------------------------------


def _weights(first: str, second: str, tolerance: float, everything: bool, form: str) -> int:
    from ..snapshot import read_weights
    from ..tools.differences import weight_changes

    changes = weight_changes(read_weights(first), read_weights(second))
    different = [change for change in changes if not change.within(tolerance)]
    if form == "json":
        click.echo(json.dumps([_array(change) for change in (changes if everything else different)], indent=2))
    else:
        for line in _table(changes if everything else different):
            click.echo(line)
        click.echo(
            f"{_count(len(different), 'array')} of {len(changes)} differ"
            + (f" by more than {tolerance:g}" if tolerance else "")
        )
    return int(bool(different))


def _array(change: ArrayChange) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": change.layer, "blob": change.slot, "shapes": change.shapes}
    if change.comparable:
        row |= {"largest": change.largest, "relative": change.relative, "at": change.at}
    return row


def _table(changes: list[ArrayChange]) -> list[str]:
    from ..tools.differences import by

    if not changes:
        return []
    rows = [("layer", "blob", "shape", "largest difference", "at", "relative")]
    for change in changes:
        one, other = change.shapes
        if change.comparable and one is not None:
            sizes = (by(one), f"{change.largest:.6g}", by(change.at), f"{change.relative:.3g}")
        elif one is not None and other is not None:
            sizes = (f"{by(one)} → {by(other)}", "", "", "")
        else:
            sizes = (by(one or other or ()), f"only in the {'first' if other is None else 'second'}", "", "")
        rows.append((change.layer, str(change.slot), *sizes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
