"""`caffelite upgrade`: a net, a solver or weights of any age, as files of today."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import Fault, UsageError
from ._files import is_solver
from ._kit import debug_option, described

if TYPE_CHECKING:
    from ..snapshot.wire import Piece


@described(
    "upgrade",
    "bring a net, a solver or weights of any age to today's form",
    [
        "caffelite upgrade old_train_val.prototxt -o train_val.prototxt",
        "caffelite upgrade old.caffemodel -o new.caffemodel",
        "caffelite upgrade --check solver.prototxt",
    ],
    notes="What a file is, its content says.  In prototxt every comment stays, and what need not change stays as it is "
    "written.  What was done is listed on stderr.  Without -o a text goes to stdout; OUT may be FILE itself.",
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("given", required=False, type=click.Path(path_type=Path), metavar="[OUT]")
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), metavar="OUT", help="The file to write.")
@click.option("--check", is_flag=True, help="Write nothing; end with status 1 if something would change.")
@debug_option
def command(file: Path, given: Path | None, out: Path | None, check: bool) -> int:
    if given is not None and out is not None:
        raise UsageError("OUT is given twice", help="caffelite upgrade FILE -o OUT")
    out = out or given
    if check and out is not None:
        raise UsageError("--check writes nothing, and OUT names a file to write")
    is_text = _is_text(file)
    if not (is_text or check or out):
        raise UsageError("weights cannot go to stdout", help=f"caffelite upgrade {file} -o OUT")
    pieces, notes = _upgraded_text(file) if is_text else _upgraded_weights(file)
    for note in notes:
        click.echo(str(note), err=True)
    verdict = "needs no upgrade" if pieces is None else "would change" if check else "upgraded"
    if not check:
        _write([file.read_bytes()] if pieces is None else pieces, file, out)
    where = f": {'copied to' if pieces is None else 'written to'} {out}" if out and out != file else ""
    click.echo(f"{file}: {verdict}{where}", err=True)
    return int(check and pieces is not None)


def _is_text(file: Path) -> bool:
    """Whether a file is to be read as prototxt; one that is nothing known is, so that its reader says what it is."""
    from ..snapshot import Kind, kind_of

    return file.is_dir() or not file.exists() or kind_of(file) in (Kind.PROTOTXT, Kind.EMPTY, Kind.UNKNOWN)


def _upgraded_text(file: Path) -> tuple[list[Piece] | None, Iterable[Fault]]:
    from ..proto import NetParameter, SolverParameter
    from ..prototxt import load
    from ..upgrade.text import upgrade_loaded, upgraded_text

    loaded = load(file, SolverParameter if is_solver(str(file)) else NetParameter)
    upgraded = upgrade_loaded(loaded)
    notes = [*loaded.warnings, *upgraded.notes]
    if upgraded.message == loaded.message:
        return None, notes
    return [upgraded_text(loaded, upgraded).encode("utf-8", "surrogateescape")], notes


def _upgraded_weights(file: Path) -> tuple[list[Piece] | None, Iterable[Fault]]:
    from ..snapshot.upgrading import upgraded_weights

    return upgraded_weights(file)


def _write(pieces: list[Piece], file: Path, out: Path | None) -> None:
    from ..snapshot import write_atomic

    if out is None:
        for piece in pieces:
            click.echo(bytes(piece), nl=False)
    else:
        write_atomic(out, lambda stream: stream.writelines(pieces))
