from __future__ import annotations

import pytest

from caffelite.errors import Fault, Place


@pytest.mark.parametrize("control", ["\x1b[31m", "\r", "\0", "\x7f", "\x9b31m", "\u202e", "\u2066"])
def test_what_a_terminal_would_obey_is_not_passed_on(control: str) -> None:
    place = Place("net.prototxt", 1, 3, f"a{control}b")
    told = str(Fault(f"unknown bottom {control}", place, help=f"write {control}", layer=f"conv{control}"))
    assert control[0] not in told
    assert told.count("\ufffd") == 4


def test_the_caret_stands_under_its_column_whatever_is_before_it() -> None:
    lines = str(Fault("bad", Place("net.prototxt", 1, 4, "a\t\x1bb"))).split("\n")
    assert lines[1][lines[2].index("^")] == "b"


def test_a_message_may_have_several_lines() -> None:
    assert str(Fault("tried\n  a\n  b")) == "tried\n  a\n  b"
