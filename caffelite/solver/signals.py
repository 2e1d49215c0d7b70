"""Signals as requests to the loop: Ctrl-C, a closed terminal, a polite kill."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from ..errors import Fault, UsageError, did_you_mean
from .events import Action

EFFECTS = {action.value: action for action in (Action.STOP, Action.SNAPSHOT, Action.NONE)}
"""What `--sigint_effect` and `--sighup_effect` accept."""

INTERRUPTED = 130
"""The exit status of a process ended by Ctrl-C, as shells report it."""


def effect(name: str, option: str) -> Action:
    """The action called `name` on the command line.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in EFFECTS:
        help = did_you_mean(name, EFFECTS) or f"known effects: {', '.join(EFFECTS)}"
        raise UsageError(Fault(f'invalid signal effect "{name}" for {option}', help=help))
    return EFFECTS[name]


class Signals:
    """Turns signals into actions while the `with` block lasts; called, it is the loop's :data:`~.events.Request`.

        with Signals() as request:
            solver.request = request
            solver.solve()

    SIGINT and SIGHUP have the effects chosen (the defaults are the original's); SIGTERM snapshots and stops.  A second
    SIGINT ends the process at once with status 130, if the first asked for a stop or was not heeded yet.  Leaving the
    block restores the previous handlers.  Signals can be caught in the main thread only.
    """

    def __init__(self, sigint: Action = Action.STOP, sighup: Action = Action.SNAPSHOT) -> None:
        self.effects = {signal.SIGINT: sigint, signal.SIGTERM: Action.SNAPSHOT_AND_STOP}
        if hasattr(signal, "SIGHUP"):
            self.effects[signal.SIGHUP] = sighup
        self._pending: list[signal.Signals] = []
        self._stopping = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> Action:
        """The next action asked for since the last call, or NONE."""
        return self.effects[self._pending.pop(0)] if self._pending else Action.NONE

    def _receive(self, number: int, frame: FrameType | None) -> None:
        received = signal.Signals(number)
        action = self.effects[received]
        if action is Action.NONE:
            return
        if received is signal.SIGINT and (self._stopping or received in self._pending):
            raise SystemExit(INTERRUPTED)
        self._stopping = self._stopping or action.stops
        if received not in self._pending:
            self._pending.append(received)

    def __enter__(self) -> Signals:
        for number in self.effects:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()
