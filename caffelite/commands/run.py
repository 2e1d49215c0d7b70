"""`caffelite run`: a Python script that says `import caffe`."""

from __future__ import annotations

import runpy
import sys
import traceback
from pathlib import Path

import click

from ..errors import CaffeliteError, Fault, UsageError
from ._kit import Formatted, described

_HERE = Path(__file__).parents[1]


class _Leaving(Formatted):
    """A command that takes a file, and leaves all that follows to it."""

    leaves_rest = True


@described(
    "run",
    "run a Python script that was written for the original's module caffe",
    [
        "caffelite run classify_all.py",
        "caffelite run surgery.py --model deploy.prototxt --out new.caffemodel",
    ],
    notes="Only here, and after caffelite.install_as_caffe(), is `import caffe` this package; processes that the "
    "script starts do not know of it. What follows SCRIPT is the script's.",
    cls=_Leaving,
)
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(script: Path, arguments: tuple[str, ...]) -> int:
    from ..pycaffe.alias import install_as_caffe

    if not script.is_file():
        raise UsageError(f"{script} is {'a folder' if script.is_dir() else 'not there'}: run takes a Python script")
    install_as_caffe()
    sys.argv[:] = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except Exception as error:
        _tell(error, str(script))
        return 1
    return 0


def _tell(error: Exception, script: str) -> None:
    """Print an exception as Python does, with the lines of the script and of what it imports, but not with ours."""
    told = traceback.TracebackException.from_exception(error)
    begin = next((at for at, frame in enumerate(told.stack) if frame.filename == script), len(told.stack))
    frames = told.stack[begin:]
    if isinstance(error, CaffeliteError):
        frames = [frame for frame in frames if _HERE not in Path(frame.filename).parents]
        told.__cause__ = None  # the message has all of it
    told.stack = traceback.StackSummary.from_list(frames)
    sys.stdout.flush()
    click.echo("".join(told.format()), err=True, nl=False)
    if isinstance(error, SyntaxError) and "print" in str(error):
        help = "convert it with the tool 2to3 or by hand: print is a function, xrange is range, …"
        click.echo(str(Fault(f"{script} is written for Python 2", help=help, severity="note")), err=True)
