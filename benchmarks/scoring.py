"""Cases of inference: what `caffelite test` does, against loops with batches that are ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caffelite.commands._log import Log
from caffelite.commands.test import _score
from caffelite.logs import GlogText
from caffelite.net import Net
from caffelite.proto import TEST, TRAIN

from .agreement import expect_equal, start_equal
from .bench import Bench
from .harness import Result, Turn, clocked, race
from .loops import FOR_TESTS, Way, folded, test_loop, test_step, wanted, works
from .report import FIRST, ORIGINAL, PLAIN
from .sources import Batches
from .work import Files, Work


def test(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Batches of a test, with losses and accuracies told of each."""
    files = Files(work, folder)
    path = files.net()
    weights = _weights(files, path)
    net, log = files.make_net(path, TEST, [str(weights)]), Log(None, False, 0, False)
    log.sinks.append(GlogText(files.log("caffelite")))
    try:
        batches = files.batches(net)
        plain = test_step(work, start_equal(work.model(), net).eval())
        net.forward()
        ours = sorted(value for _, _, values in net.output_values() for value in values)
        notes = [
            f"outputs agree with plain PyTorch's to {expect_equal('outputs', ours, sorted(plain(*batches[0]))):.0e}"
        ]
        turns: dict[str, Turn] = {
            FIRST: clocked(lambda iterations: _score(net, iterations, log)),
            PLAIN: clocked(test_loop(plain, batches, files.log("plain"))),
        }
        tuned = _tuned(files, net, batches, ours, wanted(FOR_TESTS, bench.compiling), notes)
        turns |= tuned
        if bench.original:
            theirs = sorted(bench.original.outputs(files, weights))
            notes.append(f"outputs agree with the original's to {expect_equal('outputs', ours, theirs):.0e}")
            turns[ORIGINAL] = bench.original.testing(files, weights)
        values = race(turns, seconds=bench.seconds, rounds=bench.rounds)
    finally:
        net.close()
    return Result(name, "it/s", values, list(tuned), notes)


def _weights(files: Files, path: Path) -> Path:
    """Weights for a test; BatchNorm has seen a batch."""
    weights = files.folder / "begun.caffemodel"
    net = files.make_net(path, TRAIN)
    try:
        net.forward()
        net.save(str(weights))
    finally:
        net.close()
    return weights


def _tuned(
    files: Files, net: Net, batches: Batches, expected: Sequence[float], ways: Sequence[Way], notes: list[str]
) -> dict[str, Turn]:
    """The script one would write for speed, in every way that can be gone; all give what is expected."""
    work, turns = files.work, dict[str, Turn]()
    for way in ways:
        model = way.apply(folded(start_equal((work.tuned or work.model)(), net)))
        step, ready = test_step(work, model, way), way.arranged(batches)
        if works(way, step, ready, notes):
            expect_equal(f"outputs, {way}", expected, sorted(step(*ready[0])))
            turns[f"{way}, folded"] = clocked(test_loop(step, ready, files.log("tuned")))
    return turns
