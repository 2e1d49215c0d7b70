"""The canonical layout: what a text says stays, comments stay, and laying out twice is laying out once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import PrototxtError
from caffelite.prototxt import formatted, loads
from caffelite.prototxt.parse import parse
from caffelite.prototxt.tokens import tokenize

from .strategies import by_protobuf, corpus, messages, same, styled
from .test_properties import RELAXED, TYPES

BEFORE = """name: 'a"b' // the net


# one
layer { # open
 name: "x" type: "Input" # of data
 top: ["a", # first
   'b']
 input_param: { shape <dim: 1, dim: 2;> }
   # end
} # closed
layer { name:"c" type: "Convolution" bottom: "a" convolution_param { num_output: 3 } }
layer { name:"longer" type: "Convolution" bottom: "a" convolution_param { num_output: 3 weight_filler{type:"xavier"} } }
silence {}
rate: -  5   # short
momentum_of_it: 0.90 # long
# last"""
AFTER = """name: "a\\"b"  # the net

# one
layer {  # open
  name: "x"
  type: "Input"  # of data
  # first
  top: ["a", "b"]
  input_param { shape { dim: 1 dim: 2 } }
  # end
}  # closed
layer { name: "c" type: "Convolution" bottom: "a" convolution_param { num_output: 3 } }
layer {
  name: "longer"
  type: "Convolution"
  bottom: "a"
  convolution_param { num_output: 3 weight_filler { type: "xavier" } }
}
silence {}
rate: -5              # short
momentum_of_it: 0.90  # long
# last
"""


def test_the_layout_is_this() -> None:
    assert formatted(BEFORE) == AFTER
    assert formatted(AFTER) == AFTER
    assert formatted("") == ""
    assert formatted("\ufeff# only a comment") == "# only a comment\n"


@pytest.mark.parametrize("message_type", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
@RELAXED
def test_any_text_says_the_same_afterwards(message_type: Any, data: Any) -> None:
    text = data.draw(messages(message_type).flatmap(styled))
    laid_out = formatted(text)
    assert same(loads(laid_out, message_type).message, loads(text, message_type).message)
    assert formatted(laid_out) == laid_out


def _comments(text: str) -> list[str]:
    return [token.text.removeprefix("//").removeprefix("#").strip() for token in parse(text)[0].comments()]


@given(seed=st.integers(0, 10_000), every=st.floats(0.02, 0.9))
@RELAXED
def test_comments_anywhere_stay_in_their_order(seed: int, every: float) -> None:
    draw = random.Random(seed)
    pieces = []
    for number, token in enumerate(tokenize(BEFORE)):
        pieces.append(token.text)
        if draw.random() < every:
            pieces.append(draw.choice(["#", "  # ", "//", "\n\n#"]) + f" note {number}\n")
    text = "".join(pieces)
    laid_out = formatted(text)
    assert _comments(laid_out) == _comments(text)
    assert formatted(laid_out) == laid_out
    kinds = ("name", "number", "string")
    said = [[token.text for token in tokenize(each) if token.kind in kinds] for each in (AFTER, laid_out)]
    assert said[0] == said[1]


def test_recorded_files_say_the_same_afterwards() -> None:
    for text, kind in corpus():
        laid_out = formatted(text)
        assert _comments(laid_out) == _comments(text)
        assert formatted(laid_out) == laid_out
        assert same(by_protobuf(laid_out, kind), by_protobuf(text, kind))


def test_faults_of_syntax_are_all_told_and_others_not_asked_for() -> None:
    with pytest.raises(PrototxtError) as caught:
        formatted('layer { name: "a\n}\nbase_lr 0.1\n', "net.prototxt")
    assert [fault.place.line for fault in caught.value.faults if fault.place] == [1, 3]
    assert formatted('no_such_field: "x"') == 'no_such_field: "x"\n'
