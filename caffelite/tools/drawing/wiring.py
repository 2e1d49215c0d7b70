"""Who reads what, in one state of a net or in all that it has.  Splits are seen through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...graph import state_of
from ...graph.filtering import included
from ...proto import TEST, TRAIN

Top = tuple[int, int]
"""(layer index, top index)."""


@dataclass(slots=True)
class Wiring:
    """What the layers of a net read, whatever the state.

    Attributes:
        reads: by layer that is drawn, for each of its bottoms the tops it may be: several where states differ, none
            where no layer makes it.
        shared: (top, reader), where somebody else reads the same top in the same state.
    """

    reads: dict[int, list[list[Top]]] = field(default_factory=dict)
    shared: set[tuple[Top, int]] = field(default_factory=set)

    def add(self, reads: dict[int, list[Top | None]], only: Iterable[int] | None = None) -> None:
        """Add what is read in one more state (`only` by these layers)."""
        readers = Counter(top for tops in reads.values() for top in tops if top is not None)
        for index in reads if only is None else only:
            known = self.reads.setdefault(index, [[] for _ in reads[index]])
            for tops, top in zip(known, reads[index], strict=True):
                if top is not None and top not in tops:
                    tops.append(top)
                if top is not None and readers[top] > 1:
                    self.shared.add((top, index))


def states_of(net: Any, phase: int | None, level: int | None, stages: Iterable[str]) -> list[Any]:
    """The states to draw a net in: of one phase one; of both, where a level or stages are said, two; else all."""
    stages = list(stages)
    if phase is not None:
        return [state_of(net, phase, level, stages)]
    both = [state_of(net, phase, level, stages) for phase in (TRAIN, TEST)]
    return both if stages or level is not None else list(_unlike([*both, *_asked_for(net)]))


def _asked_for(net: Any) -> Iterator[Any]:
    """A state for every rule of a layer, which that rule fits."""
    for layer in net.layer:
        for rule in (*layer.include, *layer.exclude):
            level = next((getattr(rule, end) for end in ("min_level", "max_level") if rule.HasField(end)), None)
            for phase in [rule.phase] if rule.HasField("phase") else [TRAIN, TEST]:
                yield state_of(net, phase, level, rule.stage)


def _unlike(states: Iterable[Any]) -> Iterator[Any]:
    seen = set()
    for state in states:
        key = (state.phase, state.level, frozenset(state.stage))
        if key not in seen:
            seen.add(key)
            yield state


def members(net: Any, state: Any) -> list[int]:
    """The layers of a state, Splits included."""
    return [index for index, layer in enumerate(net.layer) if included(layer, state)]


def wire(net: Any, states: Iterable[Any], everything: bool) -> Wiring:
    """The wiring of a net in some states; with `everything`, of layers that are in none of them, too."""
    wiring = Wiring()
    for state in states:
        wiring.add(_reads(net, members(net, state)))
    if everything:
        reads = _reads(net, range(len(net.layer)))
        wiring.add(reads, [index for index in reads if index not in wiring.reads])
    return wiring


def _reads(net: Any, layers: Iterable[int]) -> dict[int, list[Top | None]]:
    """What each of these layers reads, when they are all the net has."""
    last: dict[str, Top | None] = {}
    reads = {}
    for index in layers:
        layer = net.layer[index]
        sources = [last.get(blob) for blob in layer.bottom]
        if layer.type == "Split":
            last.update(dict.fromkeys(layer.top, sources[0] if sources else None))
            continue
        reads[index] = sources
        last.update({blob: (index, position) for position, blob in enumerate(layer.top)})
    return reads
