"""An upgraded message as text: what the upgrade leaves alone stays as it is written, and every comment is kept.

Fields at the top of the file that the upgrade does not change stay character for character.  One that it changes is
laid out anew, its parts in the old order, with numbers as they were written.  A comment goes with the field it belongs
to; where that is gone, to the next one that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from ..prototxt import Loaded, formatted, sub
from ..prototxt.build import is_repeated
from ..prototxt.layout import end_of, one_line
from ..prototxt.tree import Block, Field, ListValue
from ..prototxt.write import shown
from . import Upgraded, upgrade_net, upgrade_solver
from .old_text import Comment, OldText, Spot, slice_of

NETS = ("net_param", "train_net_param", "test_net_param")
"""The nets that a solver may hold."""

_SHORT = 4
"""Fields that a block made of others may have to stand on one line."""


def upgrade_loaded(loaded: Loaded[Any]) -> Upgraded:
    """A net or a solver that was read, and the nets in it, brought to today's form; layers whose type means different
    things in different forks stay as they are.

    Raises:
        UpgradeError: as :func:`upgrade_net` and :func:`upgrade_solver` do.
    """
    if loaded.message.DESCRIPTOR.name != "SolverParameter":
        return upgrade_net(loaded.message, loaded.places, dialects=False)
    solver = upgrade_solver(loaded.message, loaded.places)
    message, notes, origins = type(solver.message)(), list(solver.notes), {}
    message.CopyFrom(solver.message)
    for path, net in _nets(message):
        upgraded = upgrade_net(net, sub(solver.places, path), dialects=False)
        notes += upgraded.notes
        origins[path] = upgraded.origin
        net.CopyFrom(upgraded.message)

    def origin(path: str) -> str:
        for net, inside in origins.items():
            if path.startswith(f"{net}."):
                return f"{net}.{inside(path[len(net) + 1 :])}"
        return solver.origin(path)

    return Upgraded(message, notes, solver.places, origin)


def _nets(solver: Any) -> list[tuple[str, Any]]:
    found = [(name, getattr(solver, name)) for name in NETS[:2] if solver.HasField(name)]
    return found + [(f"{NETS[2]}[{index}]", net) for index, net in enumerate(solver.test_net_param)]


def upgraded_text(loaded: Loaded[Any], upgraded: Upgraded) -> str:
    """The text of an upgraded message, in the likeness of the one it was read from."""
    if upgraded.message == loaded.message:
        return loaded.document.text()
    old = OldText(loaded.document, loaded.message)
    text = _Writer(old, _Pieces(old, upgraded.origin).of(upgraded.message, "")).text()
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in old.text else text


@dataclass(slots=True, eq=False)
class _Piece:
    """A field of the new text.

    Attributes:
        value: its text, name included; or its fields, if it is a block that is made anew.
        origin: the old field it comes from.
        start: what orders it among its neighbours.
        kept: the stretch of the old text that it is.
    """

    name: str
    value: str | list[_Piece]
    origin: Field | None
    start: int
    kept: tuple[int, int] | None = None


class _Pieces:
    """Makes pieces of a message."""

    def __init__(self, old: OldText, origin: Callable[[str], str]) -> None:
        self.old, self.origin = old, origin

    def of(self, message: Any, prefix: str, within: tuple[int, int] | None = None) -> list[_Piece]:
        """The fields of a block, those of the old text in their old order, others behind what they follow by number;
        so are those that come from without the stretch `within`."""
        pieces: list[_Piece] = []
        for field, value in message.ListFields():
            path = f"{prefix}{field.name}"
            if not is_repeated(field):
                pieces.append(self._piece(field, value, path, within))
                continue
            entries = [self._piece(field, item, f"{path}[{index}]", within) for index, item in enumerate(value)]
            entries = self._as_list(field, value, path) or entries
            for before, entry in pairwise(entries):
                entry.start = max(entry.start, before.start)
            pieces += entries
        last = -1
        for piece in pieces:
            inside = within is None or within[0] <= piece.start < within[1]
            last = piece.start = piece.start if piece.start >= 0 and inside else last
        return sorted(pieces, key=lambda piece: piece.start)

    def _piece(self, field: FieldDescriptor, value: Any, path: str, within: tuple[int, int] | None) -> _Piece:
        spot = self.old.spots.get(self.origin(path))
        origin, start = (None, -1) if spot is None else (spot.field, spot.item.start)
        if spot is not None and _unchanged(field, value, spot):
            begin, end = kept = slice_of(spot.field, spot.item)
            text = self.old.text[begin:end]
            if isinstance(spot.field.value, ListValue):
                text = f"{field.name} {text}" if isinstance(spot.item, Block) else f"{field.name}: {text}"
            elif field.name != spot.descriptor.name:
                return _Piece(field.name, field.name + one_line(spot.field)[len(spot.descriptor.name) :], origin, start)
            return _Piece(field.name, text, origin, start, kept)
        if field.message_type is None:
            return _Piece(field.name, f"{field.name}: {shown(field, value)}", origin, start)
        if spot is not None and isinstance(spot.item, Block):
            within = slice_of(spot.field, spot.item)
        fields = self.of(value, f"{path}.", within)
        begins = [piece.start for piece in fields if piece.start >= 0]
        return _Piece(field.name, fields, origin, start if start >= 0 or not begins else min(begins))

    def _as_list(self, field: FieldDescriptor, values: Sequence[Any], path: str) -> list[_Piece] | None:
        """One piece, where the values are just those of one list of the old text."""
        spots = [self.old.spots.get(self.origin(f"{path}[{index}]")) for index in range(len(values))]
        first = spots[0]
        if first is None or not isinstance(first.field.value, ListValue) or field.message_type is not None:
            return None
        if [spot.item for spot in spots if spot is not None] != first.field.value.items:
            return None
        same = (_unchanged(field, value, spot) for value, spot in zip(values, spots, strict=True) if spot)
        if not all(same) or field.name != first.field.name.text:
            return None
        kept = slice_of(first.field, None)
        return [_Piece(field.name, self.old.text[slice(*kept)], first.field, kept[0], kept)]


def _unchanged(field: FieldDescriptor, value: Any, spot: Spot) -> bool:
    """Whether a value is written today as it was."""
    was = spot.descriptor
    alike = (field.type, field.message_type, field.enum_type) == (was.type, was.message_type, was.enum_type)
    named = field.message_type is None or field.name == was.name
    return bool(alike and named and value == spot.value)


class _Writer:
    """Writes pieces with the comments of the old text."""

    def __init__(self, old: OldText, pieces: list[_Piece]) -> None:
        self.old, self.pieces = old, pieces
        self.comments: dict[tuple[int, str], list[Comment]] = {}
        self.left: list[Comment] = []
        self._hand_over()

    def _hand_over(self) -> None:
        """Give each comment to the field it belongs to, or to the next that is left."""
        tops = {id(piece.origin) for piece in self.pieces}
        alive: dict[int, tuple[Field, bool]] = {}
        kept: list[tuple[int, int]] = []
        _survivors(self.pieces, alive, kept)
        starts = sorted(((field.name.start, field) for field, _ in alive.values()), key=lambda pair: pair[0])
        for comment in self.old.comments:
            if any(begin < comment.start < end for begin, end in kept):
                continue
            owner, where = comment.owner, comment.where
            around = where in ("above", "behind")
            if owner is None or (around and id(owner) in tops):
                continue  # it is written with what stands between fields at the top
            field, is_block = alive.get(id(owner), (None, False))
            if field is None or not (is_block or around or where == "inside"):
                field, where = next((field for start, field in starts if start > comment.start), None), "above"
            if field is None:
                self.left.append(comment)
            else:
                self.comments.setdefault((id(field), where), []).append(comment)

    def text(self) -> str:
        """The whole text.  Each field at the top brings along what stands between it and the one before."""
        text, fields, seen = self.old.text, self.old.document.fields, set[int]()
        ends = [0, *map(self.old.line_end, fields)]
        begins = {id(field): begin for field, begin in zip(fields, ends, strict=False)}
        out = ""
        for piece in self.pieces:
            top = piece.origin if piece.origin is not None and id(piece.origin) in begins else None
            lead = tail = ""
            if top is not None and id(top) not in seen:
                lead = text[begins[id(top)] : top.name.start]
                tail = text[end_of(top) : self.old.line_end(top)]
                seen.add(id(top))
            out += "".join(f"{comment.text}\n" for comment in self._taken(piece.origin, "above"))
            if top is not None and piece.kept == slice_of(top, None):
                out += lead + text[slice(*piece.kept)] + tail
            else:
                out = f"{out}\n" if out and not out.endswith("\n") else out
                out += self._made_anew(piece, lead, tail)
        out += "".join(f"{comment.text}\n" for comment in self.left)
        return out + text[ends[-1] :]

    def _made_anew(self, piece: _Piece, lead: str, tail: str) -> str:
        """A field at the top on lines of its own, with what stood before it and behind it in its line."""
        lead = "" if lead.isspace() and "\n" not in lead else lead
        behind = tail.strip(" \t\r\n,;")
        body = formatted("\n".join(self._lines(piece))).rstrip("\n")
        return f"{lead}{body}{'  ' if behind else ''}{behind}\n"

    def _lines(self, piece: _Piece, around: Field | None = None) -> list[str]:
        """The lines of a piece, before they are laid out; `around` is where the block that holds it comes from."""
        above = self._taken(piece.origin, "above") + self._taken(piece.origin, "inside")
        behind = self._taken(piece.origin, "behind")
        first = above[0].start if above else piece.origin.name.start if piece.origin not in (None, around) else None
        gap = first is not None and self.old.empty_line_above(first)
        lines = ["", *(c.text for c in above)] if gap else [c.text for c in above]
        if isinstance(piece.value, str):
            lines.append(piece.value)
        else:
            opening = self._taken(piece.origin, "opening")
            inside = [self._lines(field, piece.origin) for field in piece.value]
            end = [c.text for c in self._taken(piece.origin, "end")]
            plain = all(
                len(one) == 1 and "#" not in one[0] and "//" not in one[0] and "\n" not in one[0] for one in inside
            )
            if plain and not opening and not end and self._stands_on_one(piece):
                lines.append(f"{piece.name} {{ {' '.join(one[0] for one in inside)} }}")
            else:
                lines.append(" ".join([f"{piece.name} {{", *(c.text for c in opening)]))
                lines += [line for one in inside for line in one] + end + ["}"]
        lines[-1] = "  ".join([lines[-1], *(c.text for c in behind)])
        return lines

    def _stands_on_one(self, piece: _Piece) -> bool:
        """Whether a block stands on one line: as it did, or because it is short."""
        if piece.origin is None or not isinstance(piece.origin.value, Block):
            return len(piece.value) <= _SHORT
        return "\n" not in self.old.text[slice(*slice_of(piece.origin, piece.origin.value))]

    def _taken(self, owner: Field | None, where: str) -> list[Comment]:
        return self.comments.pop((id(owner), where), [])


def _survivors(pieces: Sequence[_Piece], alive: dict[int, tuple[Field, bool]], kept: list[tuple[int, int]]) -> None:
    """The old fields that pieces come from, whether as a block made anew; and the stretches that are kept."""
    for piece in pieces:
        is_block = isinstance(piece.value, list)
        if piece.origin is not None:
            known = alive.get(id(piece.origin), (piece.origin, False))
            alive[id(piece.origin)] = piece.origin, known[1] or is_block
        if piece.kept is not None:
            kept.append(piece.kept)
        if isinstance(piece.value, list):
            _survivors(piece.value, alive, kept)
