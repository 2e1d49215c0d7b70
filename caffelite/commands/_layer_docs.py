"""docs/layers.md from the layers' own docstrings and examples:
`python -m caffelite.commands._layer_docs protos/caffe.proto docs/layers.md`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import prototxt
from ..layerkit import Arity, Layer, layers
from ..layerkit.neuron import Neuron
from ..proto import LayerParameter, NetParameter

HEAD = """# The layer types

Made from the layers' own files by `make docs`.

N is the number of samples in a batch, C that of channels, H and W are height and width; N×C×H×W → N×C says what a layer
makes of a shape, and a shape of no axes, 0-d, is a single number. x is the first bottom and y the first top. Losses
have a `loss_weight` of 1 unless they say otherwise; every other top becomes a loss where `loss_weight` is given.

Each example is a net: saved as a file it runs as it stands, and `caffelite summary FILE` shows its shapes. What comes
from elsewhere stands for your own: files of data, and the `Input` layers, whose blobs a script fills.
"""
ORIGINAL = "https://github.com/BVLC/caffe/blob/master"
PROTO = "../protos/caffe.proto"


def _counted(arity: Arity, noun: str) -> str:
    if arity.most == 0:
        return f"no {noun}s"
    if arity.most is None:
        return f"{arity.least} or more {noun}s" if arity.least else f"any number of {noun}s"
    return f"{arity} {noun}{'' if str(arity) == '1' else 's'}"


def _settings(kind: type[Layer]) -> list[Any]:
    """The fields of LayerParameter that hold its settings: its own message, and what its docstring and example name."""
    shown = set(re.findall(r"`(\w+_param)\b", kind.__doc__ or ""))
    for param in prototxt.loads(inspect.cleandoc(kind.example), NetParameter).message.layer:
        shown |= {field.name for field, _ in param.ListFields() if param.type == kind.type}
    fields = [field for field in LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    return [field for field in fields if field.name in shown or field.message_type.name == f"{kind.type}Parameter"]


def _facts(kind: type[Layer], lines: dict[str, int]) -> str:
    facts = [_counted(kind.bottoms, "bottom"), _counted(kind.tops, "top")]
    facts += ["as many tops as bottoms"] * kind.same_count + ["a loss"] * kind.loss
    links = [f"[`{field.name}`]({PROTO}#L{lines[field.message_type.name]})" for field in _settings(kind)]
    return " · ".join([*facts, f"settings: {', '.join(links)}" if links else "no settings of its own"])


def _piece(text: str) -> str:
    """Text as Markdown; code stays, and a file of the original becomes a link."""
    if re.fullmatch(r"`(src|include)/caffe/[\w/.]+`", text):
        return f"[{text}]({ORIGINAL}/{text[1:-1]})"
    return text if text.startswith("`") else re.sub(r"[<*]", r"\\\g<0>", text)


def markdown(paragraph: str) -> str:
    """A paragraph of a docstring as Markdown."""
    if paragraph.startswith("Raises:\n"):
        errors = re.sub(r"(?m)^    (\w+):", r"- `\1`:", paragraph.removeprefix("Raises:\n"))
        return "Raises:\n\n" + re.sub(r"(?m)^ {8}", "  ", errors)
    text = "".join(map(_piece, re.split(r"(`[^`]*`)", paragraph)))
    return re.sub(r"(?m)^[+-](?= )", r"\\\g<0>", text)  # no list, but a formula that goes on


def title(kind: type[Layer]) -> str:
    """What a type's section is called; a name with several meanings has a section for each."""
    return f"{kind.type} ({kind.dialect})" if kind.dialect else kind.type


def anchor(kind: type[Layer]) -> str:
    """What links to a type's section end in."""
    return re.sub(r"[^\w-]", "", title(kind).lower().replace(" ", "-"))


def _section(kind: type[Layer], lines: dict[str, int]) -> Iterator[str]:
    yield f"## {title(kind)}"
    yield _facts(kind, lines)
    if kind.fork:
        yield f"From {kind.fork}."
    yield from map(markdown, inspect.cleandoc(kind.__doc__ or "").split("\n\n"))
    yield f"```prototxt\n{inspect.cleandoc(kind.example)}\n```"


def _group(kind: type[Layer]) -> str:
    if kind.bottoms.most == 0:
        return "Data, and other tops without a bottom"
    if kind.loss:
        return "Losses"
    return "Activations" if issubclass(kind, Neuron) else "All others"


def _contents(kinds: list[type[Layer]]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        groups.setdefault(_group(kind), []).append(f"[{title(kind)}](#{anchor(kind)})")
    for group in sorted(groups):
        yield f"{group}: {', '.join(groups[group])}."


def text(proto: str) -> str:
    """The page; `proto` is the text of protos/caffe.proto, whose lines it links to."""
    lines = {line.split()[1]: number for number, line in enumerate(proto.split("\n"), 1) if line.startswith("message ")}
    kinds = sorted((layers[name] for name in layers), key=lambda kind: title(kind).lower())
    parts = [HEAD.rstrip("\n"), *_contents(kinds)]
    for kind in kinds:
        parts += _section(kind, lines)
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(text(Path(sys.argv[1]).read_text(encoding="utf-8")), encoding="utf-8")
