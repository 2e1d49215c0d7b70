"""Which layers belong to a state: phase, level, stages.  Source: `Net::FilterNet`, `src/caffe/net.cpp`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import Fault, Places
from ..proto import NetParameter, Phase


def state_of(net: Any, phase: int, level: int | None = None, stages: Iterable[str] = ()) -> Any:
    """The NetState a net is built in: the file's own, with the caller's phase and level put over it and the caller's
    stages added to it (as the original's Net constructor does)."""
    state = type(net.state)()
    state.CopyFrom(net.state)
    state.phase = phase
    if level is not None:
        state.level = level
    state.stage.extend(stages)
    return state


def why_not(rule: Any, state: Any) -> str | None:
    """Why a state does not meet a NetStateRule, or None when it does.  Every condition of a rule must hold."""
    if rule.HasField("phase") and rule.phase != state.phase:
        return f"phase is {Phase.Name(state.phase)}, not {Phase.Name(rule.phase)}"
    if rule.HasField("min_level") and state.level < rule.min_level:
        return f"level {state.level} is below min_level {rule.min_level}"
    if rule.HasField("max_level") and state.level > rule.max_level:
        return f"level {state.level} is above max_level {rule.max_level}"
    missing = [stage for stage in rule.stage if stage not in state.stage]
    if missing:
        return f'stage "{missing[0]}" is not set'
    unwanted = [stage for stage in rule.not_stage if stage in state.stage]
    return f'stage "{unwanted[0]}" is set' if unwanted else None


def included(layer: Any, state: Any) -> bool:
    """Whether a layer belongs to a state: no `exclude` rule holds, or, with `include` rules, any one of them does."""
    if layer.include:
        return any(why_not(rule, state) is None for rule in layer.include)
    return all(why_not(rule, state) is not None for rule in layer.exclude)


def filter_net(net: Any, state: Any, places: Places) -> tuple[Any, list[int], list[Fault]]:
    """A copy of the net with the layers of this state only.

    Returns:
        The NetParameter (its `state` set), for each layer its index in the file, and the faults found.
    """
    kept = NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    kept.state.CopyFrom(state)
    origins, faults = [], []
    for index, layer in enumerate(net.layer):
        if layer.include and layer.exclude:
            faults.append(
                Fault(
                    "has both include and exclude rules",
                    places(f"layer[{index}].exclude[0]"),
                    "keep the include rules (the layer is there when any of them holds), or the exclude rules",
                    layer.name,
                    layer.type,
                    code="CL208",
                )
            )
        elif included(layer, state):
            kept.layer.add().CopyFrom(layer)
            origins.append(index)
    return kept, origins, faults
