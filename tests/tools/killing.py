"""Scripts that are ended by a signal in the middle of their work."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import REPO

_HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""A process that a shell started in the background ignores Ctrl-C, and so do those that it starts."""


def kill(number: int, script: str, *arguments: object) -> bytes:
    """Run a script that says how far it is, and then waits; end it by this signal.  What it said."""
    command = [sys.executable, "-c", _HEED + script, *map(str, arguments)]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(number)
    return said
