"""`caffelite fmt`: prototxt files in their canonical layout."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UsageError
from ._kit import debug_option, described


@described(
    "fmt",
    "lay prototxt files out: a field a line, indented, comments kept",
    [
        "caffelite fmt train_test.prototxt",
        "caffelite fmt -i solver.prototxt train_test.prototxt",
        "caffelite fmt --check models/mnist/*.prototxt",
    ],
    notes="What a file says, and every comment, stay; a short block that stands on one line stays there. Without -i "
    "and --check the text goes to stdout.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("-i", "--in-place", is_flag=True, help="Write the files themselves, those that change.")
@click.option("--check", is_flag=True, help="Write nothing; name files that would change, and end with status 1 then.")
@debug_option
def command(files: tuple[Path, ...], in_place: bool, check: bool) -> int:
    from ..prototxt import formatted, text_of

    if in_place and check:
        raise UsageError("--in-place and --check exclude each other")
    if len(files) > 1 and not (in_place or check):
        raise UsageError("several files cannot go to stdout", help="-i writes the files themselves; --check names them")
    changed = 0
    for file in files:
        old = text_of(file, "a net or a solver")
        new = formatted(old, str(file))
        if not (in_place or check):
            click.echo(new.encode("utf-8", "surrogateescape"), nl=False)
        elif new != old:
            changed += 1
            if in_place:
                _write(file, new)
            click.echo(f"{'written' if in_place else 'would change'}: {file}")
    return 1 if check and changed else 0


def _write(file: Path, text: str) -> None:
    from ..snapshot.atomic import write_atomic

    write_atomic(file, lambda stream: stream.write(text.encode("utf-8", "surrogateescape")))
