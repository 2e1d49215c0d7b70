"""The progress bar and the bridge from Python's logging."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys

import pytest
from rich.console import Console

from caffelite.logs.bridge import LogBridge
from caffelite.logs.glog import GlogText
from caffelite.logs.progress import Progress, wanted
from caffelite.logs.records import Displayed, Finished, Note, Record, Solving


def test_the_bar_shows_the_run_below_the_log() -> None:
    screen = io.StringIO()
    progress = Progress(Console(file=screen, force_terminal=True, width=120))
    log = GlogText(progress.stream)
    progress(Solving("lenet", "inv", 0, 1000))
    progress.iteration = lambda: 250
    display = Displayed(200, 0.125, 0.01, 1.0, 100, 100)
    log(display)
    progress(display)
    progress._bar.refresh()
    progress(Finished(1000))
    shown = screen.getvalue()
    assert "Iteration 200 (100 iter/s, 1s/100 iters), loss = 0.125\n" in shown
    assert "250/1000" in shown
    assert "loss 0.125  lr 0.01" in shown
    assert "ETA" in shown


def test_log_lines_are_not_wrapped_or_read_as_markup() -> None:
    screen = io.StringIO()
    progress = Progress(Console(file=screen, force_terminal=True, width=40, color_system=None))
    text = "a [bold]blob[/bold] called :smile: " + "x" * 80
    GlogText(progress.stream)(Note(text))
    assert text in screen.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_are_whole_at_any_width_and_leave_room_for_the_echo_of_ctrl_c(width: int) -> None:
    screen = io.StringIO()
    progress = Progress(Console(file=screen, force_terminal=True, width=width, color_system=None))
    progress(Solving("lenet", "inv", 0, 10000))
    progress(Displayed(200, 0.146548, 0.00985258, 1.0, 100, 100))
    progress.iteration = lambda: 232
    progress._bar.refresh()
    progress.close()
    bars = [line for line in re.split(r"\x1b\[\S*?[A-Za-z]|[\r\n]", screen.getvalue()) if "loss" in line]
    assert "232/10000 loss 0.146548 " in bars[-1]
    assert ("lr 0.00985258" in bars[-1]) is (width >= 80)
    assert "ETA" in bars[-1]
    assert len(bars[-1]) <= width - len("^C^C")


def test_no_bar_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not wanted(io.StringIO())
    monkeypatch.setattr("sys.stderr", None)  # closed, as in `2>&-`
    assert not wanted()


def test_python_warnings_become_lines() -> None:
    seen: list[Record] = []
    logger = logging.getLogger("caffelite.test_sinks")
    handler = LogBridge(seen.append)
    logger.addHandler(handler)
    try:
        logger.warning("layer %s is odd", "conv1")
    finally:
        logger.removeHandler(handler)
    [note] = seen
    assert isinstance(note, Note)
    assert (note.text, note.severity) == ("layer conv1 is odd", "warning")
    assert note.source.startswith("test_sinks.py:")


def test_reading_and_writing_logs_needs_neither_rich_nor_torch() -> None:
    code = (
        "import sys; from caffelite.logs import GlogText, JsonLines, RunRecord, parse_text, read; "
        "print([name for name in ('rich', 'torch._C', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
