"""Net file → Net."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from .. import dialects, prototxt
from .. import graph as graphs
from ..errors import Fault, GraphError, Places, UsageError, did_you_mean, nowhere
from ..layerkit import kind_of, layers
from ..layerkit.stand_in import SourceNotRun, StandIn
from ..layerkit.user_code import missing_class
from ..proto import TEST, NetParameter, SolverParameter
from ..runtime import seeds
from ..upgrade import upgrade_net

if TYPE_CHECKING:
    import torch

    from ..net import Loaded, Net

Warn = Callable[[Fault], None]
"""Takes what is odd but harmless."""


Told = Callable[[str, list["Loaded"]], None]
"""Takes the path of a weight file and what became of each layer."""


def untold(_path: str, _report: list[Loaded]) -> None:
    """The :data:`Told` of somebody who does not want to know."""


def silent(_fault: Fault) -> None:
    """The :data:`Warn` of somebody who does not want to know."""


def make_layer(param: Any, phase: int, places: Places, *, allow_python: bool = True, given: Container[str] = ()) -> Any:
    """The layer a LayerParameter asks for.

    Args:
        allow_python: it may run code that the file names.
        given: blobs whose shapes somebody gives: a source of these alone need not run.

    Raises:
        GraphError: no such type; the message proposes the nearest.  Or the type runs code that the file names, and
            that is not allowed; but a class of which caffelite has a layer of its own is taken from there, then, and
            where the class cannot be imported.
    """
    kind = kind_of(param)
    if kind is None:
        raise GraphError(_unknown(param).at(places("type")))
    code = kind.code(param)
    own = _own_version(param, code)
    if own is not None:
        why = missing_class(kind(param, phase, places)) if allow_python else "--allow-python runs the class itself"
        if why is not None:
            return own(param, phase, places, why)
    if code is not None and not allow_python:
        what = f'would run Python code that the file names: "{code}"'
        help = "--allow-python lets it; do so only for a file and a module that you trust"
        refusal = Fault(what, places("python_param"), help, param.name, param.type, code="CL215")
        if param.top and not param.bottom and all(top in given for top in param.top):
            return SourceNotRun(param, phase, places, refusal)
        raise GraphError(refusal)
    return kind(param, phase, places)


def _own_version(param: Any, code: str | None) -> type[StandIn] | None:
    """The layer that computes what a class of Python layers does that caffelite knows, if the numbers of bottoms and
    tops are right."""
    name = None if code is None else dialects.python_class(code)
    if name is None:
        return None
    own = cast(type[StandIn], layers[f"Python@{name}"])
    return own if len(param.bottom) in own.bottoms and len(param.top) in own.tops else None


def _unknown(param: Any) -> Fault:
    """The fault of a layer whose type is not built."""
    name, foreign = param.type, dialects.layer_type(param.type)
    if foreign is not None:
        what, help = f'layer type "{name}" is not built here; it comes from {foreign}', foreign.instead
        code = "CL103"
    else:
        what = f'unknown layer type "{name}"' if name else "the layer has no type"
        help = did_you_mean(name, layers.names()) or layers.known()
        code = "CL204" if name else "CL205"
    return Fault(what, None, help, param.name, name or None, code=code)


@dataclass(slots=True)
class NetFile:
    """A net as read and upgraded, with what was odd about it.

    `strict`: what is odd about its graph is an error.  `allow_python`: its layers may run code that it names.
    """

    message: Any
    places: Places = nowhere
    warnings: list[Fault] = field(default_factory=list)
    path: str | None = None
    strict: bool = False
    allow_python: bool = True


def read_net(
    net: str | os.PathLike[str] | Message, *, strict: bool = False, sets: Sequence[str] = (), allow_python: bool = True
) -> NetFile:
    """A net's prototxt of any age, brought to today's form.

    Args:
        net: the file, or a NetParameter (of this or another package's schema), which is not changed.

    Raises:
        PrototxtError, UpgradeError: with every fault of the file.
        UsageError: a message is given that is no NetParameter.
    """
    text, path = (copied(net, NetParameter), None) if isinstance(net, Message) else _read(os.fspath(net), strict)
    return upgraded(text, path, strict=strict, sets=sets, allow_python=allow_python)


def _read(path: str, strict: bool) -> tuple[prototxt.Loaded[Any], str]:
    return prototxt.load(path, NetParameter, strict=strict), path


def copied(message: Message, kind: Any) -> prototxt.Loaded[Any]:
    """A message of this or another package's schema as one of ours, as if it had been read.

    Raises:
        UsageError: it is of another kind.
    """
    if message.DESCRIPTOR.full_name != kind.DESCRIPTOR.full_name:
        raise UsageError(f"a {kind.DESCRIPTOR.name} is needed, not a {message.DESCRIPTOR.name}")
    return prototxt.Loaded.of(kind.FromString(message.SerializeToString()))


def upgraded(
    text: prototxt.Loaded[Any], path: str | None, *, strict: bool, sets: Sequence[str], allow_python: bool
) -> NetFile:
    """A net as read from `path`, brought to today's form; the rest as in :func:`read_net`."""
    today = upgrade_net(text.message, text.places)
    text = replace(text, message=today.message, places=today.places)
    if sets:
        text = prototxt.override(text, sets, strict)
    return NetFile(text.message, text.places, [*text.warnings, *today.notes], path, strict, allow_python)


def build_graph(
    net: NetFile,
    state: Any,
    *,
    given: Mapping[str, tuple[int, ...]] | None = None,
    missing_data: bool = False,
) -> graphs.Graph:
    """The graph of a net in a state; see :func:`caffelite.graph.build`.

    With `missing_data`, warnings stay warnings in a strict file: the caller goes on to find everything.
    """
    factory = partial(make_layer, allow_python=net.allow_python, given=(given or {}) if missing_data else ())
    graph = graphs.build(net.message, state, factory, net.places, given=given, missing_data=missing_data)
    odd = [replace(fault, severity="error") for fault in graph.warnings if fault.severity != "note"]
    if net.strict and odd and not missing_data:
        raise GraphError(odd)
    return graph


def load_net(
    path: str | os.PathLike[str] | Message,
    phase: int = TEST,
    *,
    level: int | None = None,
    stages: Iterable[str] = (),
    weights: Sequence[str] = (),
    device: torch.device | None = None,
    seed: int | None = None,
    observed: bool = False,
    keeping: Iterable[str] = (),
    strict: bool = False,
    sets: Sequence[str] = (),
    allow_python: bool = True,
    precision: int = SolverParameter.FLOAT32,
    warn: Warn = silent,
    loaded: Told = untold,
) -> Net:
    """A net file as a runnable net, with trained weights where files are named.

    Args:
        path: the net's prototxt, of any age, or a NetParameter.
        phase, level, stages: the NetState to build it in, over the file's own.
        weights: caffemodels to copy weights from, in order.
        device: where to compute; the CPU where nothing is said.
        seed: of all its random draws; one of the system's where nothing is said.
        observed: keep every blob and gradient.
        keeping: blobs to keep besides losses and outputs.
        strict: warnings of the file are errors.
        sets: assignments put over the file ("layer[ip1].inner_product_param.num_output=300").
        allow_python: its Python layers may run.
        precision: what it computes in, as a solver's `precision` says.
        warn: told what is odd.
        loaded: told which layers got weights from each file.

    Raises:
        CaffeliteError: with every fault found at the first step that finds any.
    """
    from ..net import Net

    file = read_net(path, strict=strict, sets=sets, allow_python=allow_python)
    graph = build_graph(file, graphs.state_of(file.message, phase, level, stages)).keeping(keeping)
    for fault in (*file.warnings, *graph.warnings):
        warn(fault)
    seed = seeds.fresh() if seed is None else seed
    net = Net(graph, device, seed, observed=observed, precision=precision)
    for weight_file in weights:
        loaded(weight_file, net.load_weights(weight_file))
    return net
