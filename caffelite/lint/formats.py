"""Findings as text, as JSON, and as what GitHub shows beside the lines of a pull request."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Fault


def as_text(fault: Fault, path: str) -> str:
    """As all errors are told, with the code at the end of the first line."""
    told = replace(fault, message=f"{fault.message} [{fault.code}]") if fault.code else fault
    placed = fault.place is not None and str(fault.place)
    return str(told) if placed else f"{path}: {told}"


def as_json(fault: Fault, path: str) -> str:
    """An object on one line."""
    import json

    place = fault.place
    return (
        json.dumps(
            {
                "file": place.file if place is not None and place.file else path,
                "line": place.line if place is not None else None,
                "column": place.column if place is not None else None,
                "code": fault.code,
                "severity": fault.severity,
                "layer": fault.layer,
                "message": fault.message,
                "help": fault.help,
            },
            ensure_ascii=False,
        )
        .encode("utf-8", "backslashreplace")
        .decode()
    )  # names in damaged files may hold lone surrogates


_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = {**_IN_MESSAGES, ":": "%3A", ",": "%2C"}


def as_github(fault: Fault, path: str) -> str:
    """A workflow command (`::error file=…,line=…,col=…,title=CL012::message`), on one line."""
    place = fault.place
    found = {
        "file": place.file if place is not None and place.file else path,
        "line": place.line if place is not None else None,
        "col": place.column if place is not None else None,
        "title": fault.code,
    }
    named = ",".join(f"{name}={_escaped(str(value), _IN_PROPERTIES)}" for name, value in found.items() if value)
    message = str(replace(fault, place=None, severity="error"))
    return f"::{_COMMANDS[fault.severity]} {named}::{_escaped(message, _IN_MESSAGES)}"


def _escaped(text: str, by: dict[str, str]) -> str:
    return "".join(by.get(letter, letter) for letter in text)


FORMATS = {"text": as_text, "json": as_json, "github": as_github}
