"""Signals as requests."""

from __future__ import annotations

import os
import signal

import pytest

from caffelite.errors import UsageError
from caffelite.solver import Action, Signals
from caffelite.solver.signals import effect


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_each_signal_is_given_out_once() -> None:
    with Signals() as request:
        assert request() is Action.NONE
        send(signal.SIGHUP)
        send(signal.SIGHUP)
        assert [request(), request()] == [Action.SNAPSHOT, Action.NONE]
        send(signal.SIGTERM)
        assert [request(), request()] == [Action.SNAPSHOT_AND_STOP, Action.NONE]


def test_a_second_ctrl_c_ends_at_once() -> None:
    with Signals() as request:
        send(signal.SIGINT)
        assert request() is Action.STOP
        with pytest.raises(SystemExit) as ended:
            send(signal.SIGINT)
        assert ended.value.code == 130


def test_ctrl_c_may_snapshot_again_and_again() -> None:
    with Signals(sigint=Action.SNAPSHOT) as request:
        for _ in range(3):
            send(signal.SIGINT)
            assert request() is Action.SNAPSHOT
        send(signal.SIGINT)
        with pytest.raises(SystemExit):  # nobody heeded the one before
            send(signal.SIGINT)


def test_ctrl_c_may_be_ignored() -> None:
    with Signals(sigint=Action.NONE) as request:
        for _ in range(3):
            send(signal.SIGINT)
        assert request() is Action.NONE


def test_previous_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)]
    with Signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)] == before


def test_effects_by_name() -> None:
    assert [effect(name, "--sigint_effect") for name in ("stop", "snapshot", "none")] == [
        Action.STOP,
        Action.SNAPSHOT,
        Action.NONE,
    ]
    with pytest.raises(UsageError) as caught:
        effect("snapshto", "--sighup_effect")
    assert str(caught.value) == 'invalid signal effect "snapshto" for --sighup_effect\n  help: did you mean snapshot?'
