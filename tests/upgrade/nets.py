"""Nets from text, and places that say which path was asked for."""

from __future__ import annotations

from google.protobuf import text_format

from caffelite import proto
from caffelite.errors import Place


def net(text: str):
    return text_format.Parse(text, proto.NetParameter())


def asked(path: str) -> Place:
    """Places of a file in which every path is found, under its own name."""
    return Place(file=path)
