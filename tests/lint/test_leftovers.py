"""Merge markers and holes of templates."""

from __future__ import annotations

import pytest

from caffelite.lint.leftovers import clean

NET = """name: "net"
<<<<<<< HEAD
layer { name: "a" }
||||||| base
layer { name: "base" }
=======
layer { name: "b" }
>>>>>>> theirs
layer { name: "c" }
"""


def test_the_upper_version_is_kept_and_places_do_not_move() -> None:
    cleaned = clean(NET, "net.prototxt")
    assert len(cleaned.text) == len(NET)
    assert [line.strip() for line in cleaned.text.splitlines() if line.strip()] == [
        'name: "net"',
        'layer { name: "a" }',
        'layer { name: "c" }',
    ]
    [fault] = cleaned.faults
    assert (fault.code, fault.place.line if fault.place else None) == ("CL025", 2)
    assert "up to line 8" in fault.message


@pytest.mark.parametrize("marker", ["<<<<<<< HEAD", "=======", ">>>>>>> theirs"])
def test_a_marker_that_was_left_over(marker: str) -> None:
    cleaned = clean(f'name: "net"\n{marker}\n', "net.prototxt")
    assert [fault.message for fault in cleaned.faults] == ["half-merged: a marker of a merge was left over"]
    assert cleaned.text.splitlines()[1].strip() == ""


@pytest.mark.parametrize(
    "hole", ["{{ num }}", "{% if deep %}", "${NUM}", "%(num)d", "@NUM@", "REPLACE_ME", "CHANGEME", "YOUR_NUM_CLASSES"]
)
def test_holes(hole: str) -> None:
    cleaned = clean(f"num_output: {hole}", "net.prototxt")
    assert [(fault.code, fault.severity) for fault in cleaned.faults] == [("CL026", "error")]
    assert hole in cleaned.faults[0].message
    assert cleaned.text.strip() == "num_output:"
    inside = clean(f'source: "data/{hole}"', "net.prototxt")
    assert [(fault.code, fault.severity) for fault in inside.faults] == [("CL026", "warning")]
    assert inside.text == f'source: "data/{hole}"'


@pytest.mark.parametrize(
    "text",
    [
        "a { b { c: 1 }}",
        '# {{ a comment }}\nname: "50%"',
        'name: "me@home" top: "a@b"',
        'source: "$HOME/data" # ======= not a marker',
        "a {b{c: 1}}",
        'name: "<<<<<<< HEAD"',
    ],
)
def test_what_is_no_leftover(text: str) -> None:
    assert clean(text, "net.prototxt").faults == []
