"""Tokens to a syntax tree, reporting every fault and going on behind it."""

from __future__ import annotations

import re

from .tokens import Token, tokenize
from .tree import Block, Document, Field, ListValue, Scalar, Value, short
from .where import Findings

_CLOSING = {"{": "}", "<": ">", "[": "]"}
_DEPTH = 100
_UNQUOTED = re.compile(r"[^\s,;{}<>\[\]#]+")
_LOOKALIKES = dict.fromkeys("“”„«»", '"') | dict.fromkeys("‘’‚`´", "'") | {"：": ":", "，": ",", "；": ";"}
_SHAPE = "a field is written name: value, or name { … }"


def parse(text: str, file: str | None = None) -> tuple[Document, Findings]:
    """The syntax tree of a text and everything that is wrong with its syntax.  Never raises.

    Where braces do not balance, the text is read a second time and indentation is asked which brace was forgotten:
    a "}" missing in the middle of a net is then reported there, and what follows is still checked.
    """
    tokens = tokenize(text)
    parser = _Parser(tokens, file, by_indent=False)
    if parser.unbalanced:
        second = _Parser(tokens, file, by_indent=True)
        if second.unbalanced <= parser.unbalanced:
            parser = second
        parser.findings.unbalanced = True
    _warn_of_slashes(parser.document, parser.findings)
    return parser.document, parser.findings


def _warn_of_slashes(document: Document, findings: Findings) -> None:
    slashes = [token for token in document.comments() if token.text.startswith("//")]
    if slashes:
        count = f" ({len(slashes)} lines)" if len(slashes) > 1 else ""
        message = f'"//" does not begin a comment in Caffe{count}'
        findings.warn(slashes[0].start, message, 'begin comments with "#"', code="CL020")


class _Parser:
    """Recursive descent over the significant tokens; `self.next` is the one to be read."""

    def __init__(self, tokens: list[Token], file: str | None, *, by_indent: bool) -> None:
        self.document = Document(tokens, [], file)
        self.findings = Findings(self.document)
        self.by_indent = by_indent
        self.unbalanced = 0
        self.depth = 0
        self.lists = 0
        self._cut_short = False
        self._tokens = [token for token in tokens if token.kind != "space" and token.kind != "comment"]
        self._tokens.append(Token("end", "", tokens[-1].end if tokens else 0))
        self._at = 0
        self.next = self._tokens[0]
        self.document.fields = self._fields(None)

    def _advance(self) -> Token:
        token = self.next
        if token.kind != "end":
            self._at += 1
            self.next = self._tokens[self._at]
        return token

    def _peek(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def _looking_at(self, marks: str) -> bool:
        return self.next.kind == "mark" and self.next.text in marks

    def _fault(self, token: Token, message: str, help: str | None = None, *, code: str) -> None:
        self.findings.add(token.start, message, help, code=code)

    # Fields and blocks

    def _fields(self, opened: Token | None) -> list[Field]:
        """Fields up to a closing brace (left to be read) or the end; `opened` is the brace they stand in."""
        fields: list[Field] = []
        while self.next.kind != "end":
            if opened is not None and (self._looking_at("}>") or (self.by_indent and self._dedented(opened))):
                break
            if self.next.kind == "name":
                fields.append(self._field())
                if self._looking_at(",;"):
                    self._advance()
            else:
                self._stray()
        return fields

    def _field(self) -> Field:
        name = self._advance()
        colon = self._advance() if self._looking_at(":") else None
        if self.next.kind == "bad" and self.next.text in ("=", "："):
            message = f'"{self.next.text}" instead of ":" after {name.text}'
            self._fault(self.next, message, f"write {name.text}: …", code="CL010")
            colon = self._advance()
        return Field(name, colon, self._value(name, colon))

    def _value(self, name: Token, colon: Token | None) -> Value | None:
        token = self.next
        if token.kind == "mark" and token.text in "{<":
            return self._block(name.text)
        if token.kind == "mark" and token.text == "[":
            return self._list(name)
        if self._value_is_missing(token, colon):
            help = f"write {name.text}: and its value, or take it out"
            self._fault(name, f"{name.text} has no value", help, code="CL011")
            return None
        value = self._scalar(f"{name.text}: ")
        if colon is None and value is not None:
            help = f"write {name.text}: {short(value.text)}"
            self._fault(name, f'missing ":" after {name.text}', help, code="CL010")
        return value

    def _value_is_missing(self, token: Token, colon: Token | None) -> bool:
        if token.kind in ("mark", "end"):
            return True
        if token.kind != "name":
            return False
        behind = self._peek()
        if behind.kind == "mark" and behind.text in ":{<":
            return True
        return colon is None and not self._same_line(self._tokens[self._at - 1], token)

    def _block(self, owner: str) -> Block:
        block = Block(self._advance(), [])
        if self.depth == _DEPTH:
            self._fault(block.open, f"blocks are nested more than {_DEPTH} deep", code="CL023")
            self.unbalanced += len(self._tokens)  # indentation surely knows better
            self._skip_to_close()
        else:
            self.depth += 1
            block.fields = self._fields(block.open)
            self.depth -= 1
        if self._looking_at("}>") and not (self.by_indent and self._dedented(block.open)):
            block.close = self._advance()
            self._check_pair(block, owner)
        elif not self._cut_short:
            self._never_closed(block, owner)
        return block

    def _check_pair(self, block: Block, owner: str) -> None:
        wanted = _CLOSING[block.open.text]
        if block.close is not None and block.close.text != wanted:
            opened = f'"{block.open.text}" of {owner}, opened in line {self.document.line(block.open.start)}'
            self._fault(block.close, f'"{block.close.text}" cannot close {opened}', f'write "{wanted}"', code="CL006")

    def _never_closed(self, block: Block, owner: str) -> None:
        self.unbalanced += 1
        ended = self.next.kind == "end"
        where = "at the end" if ended else f"before line {self.document.line(self.next.start)}"
        help = f'add "{_CLOSING[block.open.text]}" {where}'
        self._fault(block.open, f'"{block.open.text}" of {owner} is never closed', help, code="CL006")

    def _skip_to_close(self) -> None:
        depth = 0
        while self.next.kind != "end" and not (depth == 0 and self._looking_at("}>")):
            depth += self._looking_at("{<") - self._looking_at("}>")
            self._advance()
        self._cut_short = self.next.kind == "end"

    # Values

    def _list(self, name: Token) -> ListValue:
        value = ListValue(self._advance(), [])
        self.lists += 1
        while not self._looking_at("]"):
            item = self._item()
            if item is not None:
                value.items.append(item)
            if self._looking_at(","):
                comma = self._advance()
                if self._looking_at("]"):
                    self._fault(comma, 'no value after "," in a list', 'take the "," out', code="CL007")
            elif not self._looking_at("]"):
                if self._ends_list():
                    break
                self._fault(self.next, 'missing "," between the values of a list', code="CL007")
        self.lists -= 1
        if self._looking_at("]"):
            value.close = self._advance()
        else:
            help = 'write "]" after the last value'
            self._fault(value.open, f'"[" of {name.text} is never closed', help, code="CL007")
        return value

    def _ends_list(self) -> bool:
        """Whether the list was forgotten to be closed: what comes next belongs to something else."""
        behind = self._peek()
        field = self.next.kind == "name" and behind.kind == "mark" and behind.text in ":{<"
        return field or self.next.kind == "end" or self._looking_at("}>:;")

    def _item(self) -> Scalar | Block | None:
        if self._looking_at("{<"):
            return self._block("a list")
        if self._looking_at("["):
            self._fault(self.next, "a list cannot stand in a list", code="CL007")
            self._advance()
            return None
        if self._looking_at(","):
            self._fault(self.next, 'no value before "," in a list', 'take the "," out', code="CL007")
            return None
        if self._ends_list():
            return None
        return self._scalar("")

    def _scalar(self, lead: str) -> Scalar | None:
        """One value; None where it was broken and has been reported.  `lead` is how the line begins, for the help."""
        token = self._advance()
        if token.kind == "string":
            tokens = [token]
            while self.next.kind == "string":
                tokens.append(self._advance())
            if self.next.kind != "open" or not self._same_line(token, self.next):
                return Scalar(tokens)
            token = self._advance()
        if token.kind == "open":
            self._not_closed(token)
            return None
        if token.text == "-" and self.next.kind in ("number", "name"):
            return Scalar([token, self._advance()])
        if self._glued(token):
            self._unquoted(token, lead)
            return None
        return Scalar([token])

    def _glued(self, token: Token) -> bool:
        """Whether a name or number runs on into what cannot follow it, as in ``examples/mnist`` without quotes."""
        if token.kind == "bad" or self.next.start != token.end:
            return token.kind == "bad"
        return self.next.kind in ("bad", "open", "name", "number")

    def _unquoted(self, token: Token, lead: str) -> None:
        run = _UNQUOTED.match(self.document.text(), token.start) if not token.text.startswith("/*") else None
        text = run.group().strip("\"'") if run else ""
        if not text or token.text in _LOOKALIKES or not text.isprintable():
            self._at -= 1
            self.next = token
            self._stray()
            return
        if token.kind == "number":
            help = f'if it is a text, write {lead}"{text}"'
            self._fault(token, f'"{short(text)}" is not a number', help, code="CL009")
        else:
            self._fault(token, "a text needs quotes around it", f'write {lead}"{text}"', code="CL009")
        while self.next.kind != "end" and run is not None and self.next.start < run.end():
            self._advance()

    def _not_closed(self, string: Token) -> None:
        self._fault(string, "a string is not closed", f"end it with {string.text[0]} on the same line", code="CL008")

    # Recovery

    def _stray(self) -> None:
        """Report what cannot stand here and go on at the next thing that looks like a field."""
        token = self.next
        if self._looking_at("}>") and self.depth == 0:
            self.unbalanced += 1
            help = 'take it out, or look for one "}" too many above'
            self._fault(token, f'"{token.text}" closes nothing', help, code="CL006")
            self._advance()
            return
        if token.kind == "open":
            self._not_closed(token)
        else:
            message, help = _unexpected(token, self._tokens[max(self._at - 2, 0) : self._at])
            self._fault(token, message, help, code="CL005")
        if self._looking_at("{<"):
            self._block("a block without a name")
            return
        self._advance()
        while self.next.kind != "end" and not self._resumes(token):
            self._advance()

    def _resumes(self, stray: Token) -> bool:
        """Whether the next token can be read on from: a brace, the next line, or a field on the same line."""
        if self._looking_at("{}<>") or (self.lists and self._looking_at("],")):
            return True
        if self.next.kind != "name":
            return not self._same_line(stray, self.next)
        behind = self._peek()
        return (behind.kind == "mark" and behind.text in ":{<") or not self._same_line(stray, self.next)

    # Lines and indentation

    def _same_line(self, first: Token, second: Token) -> bool:
        return self.document.line(first.start) == self.document.line(second.start)

    def _indent(self, token: Token) -> tuple[int, bool]:
        """The indentation of the token's line, and whether the token is the first in it."""
        place = self.document.place(token.start)
        text = place.text or ""
        indent = len(text) - len(text.lstrip())
        return indent, place.column == indent + 1

    def _dedented(self, opened: Token) -> bool:
        """Whether the next token stands too far left to be inside the brace: a field level with the line that opened
        it, or a closing brace further left than that line."""
        indent, first = self._indent(self.next)
        if not first or self._same_line(opened, self.next):
            return False
        limit, _ = self._indent(opened)
        return indent < limit if self._looking_at("}>") else indent <= limit


def _unexpected(token: Token, before: list[Token]) -> tuple[str, str]:
    """Message and help for a token that cannot stand where it stands, after the two tokens `before` it."""
    if token.text.startswith("/*"):
        return "a /* … */ comment is not part of prototxt", 'begin every line of the comment with "#"'
    if token.kind == "bad" and token.text in _LOOKALIKES:
        return (
            f"unexpected {token.text} (U+{ord(token.text):04X})",
            f"write the plain {_LOOKALIKES[token.text]} instead",
        )
    if token.kind == "bad" and "\udc80" <= token.text <= "\udcff":
        return f"the byte 0x{ord(token.text) - 0xDC00:02X} is no text in UTF-8", "save the file in UTF-8"
    if token.kind == "bad":
        shown = f'"{token.text}"' if token.text.isprintable() else "character"
        code = "" if token.text.isascii() and token.text.isprintable() else f" (U+{ord(token.text):04X})"
        return f"unexpected {shown}{code}", 'comments begin with "#"' if token.text == "/" else _SHAPE
    if token.kind == "number" and len(before) == 2 and before[1].text == "," and before[0].kind == "number":
        return f'unexpected "{short(token.text)}"', "a number has no comma in it: 10000, or 0.5 for a half"
    return f'unexpected "{short(token.text)}"', _SHAPE
