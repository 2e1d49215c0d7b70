"""Cases of inference: what `caffelite test` does, against loops with batches that are ready."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from caffelite.commands._log import Log
from caffelite.commands.test import score
from caffelite.logs import GlogText
from caffelite.net import Net
from caffelite.proto import TEST, TRAIN
from caffelite.runtime.memory import keep_freed

from .agreement import expect_equal, start_equal
from .apart import Made
from .bench import Bench
from .harness import Result, clocked
from .loops import FOR_TESTS, PLAIN_WAY, Way, folded, ready, test_loop, test_step, wanted
from .meeting import meet
from .report import FIRST, PLAIN
from .work import Files, Work


def test(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Batches of a test, with losses and accuracies told of each."""
    files = Files(work, folder)
    work.arithmetic()
    weights = _weights(files)
    net = _net(files, weights)
    try:
        plain = test_step(work, start_equal(work.model(), net).eval())
        theirs = sorted(plain(*files.batches(net)[0]))
        net.forward()
        ours = sorted(value for _, _, values in net.output_values() for value in values)
        agreed = expect_equal("outputs", ours, theirs)
    finally:
        net.close()
    notes = [f"outputs agree with plain PyTorch's to {agreed:.0e}"]
    if bench.original:
        agreed = expect_equal("outputs", ours, sorted(bench.original.outputs(files, weights)))
        notes.append(f"outputs agree with the original's to {agreed:.0e}")
    makers = {FIRST: partial(_scored, files, weights), PLAIN: partial(_by_hand, files, weights, ours, None)}
    ways = wanted(FOR_TESTS, bench.compiling, work.on_gpu)
    tuned = {f"{way}, folded": partial(_by_hand, files, weights, ours, way) for way in ways}
    original = bench.original.testing(files, weights) if bench.original else None
    return meet(name, bench, makers, tuned, original, notes)


def _weights(files: Files) -> Path:
    """Weights for a test; BatchNorm has seen a batch."""
    weights = files.folder / "begun.caffemodel"
    net = files.make_net(files.net(), TRAIN)
    try:
        net.forward()
        net.save(str(weights))
    finally:
        net.close()
    return weights


def _net(files: Files, weights: Path) -> Net:
    return files.make_net(files.net(), TEST, [str(weights)])


def _scored(files: Files, weights: Path) -> Made:
    """`caffelite test`."""
    keep_freed()
    net, log = _net(files, weights), Log(None, False, 0, False)
    log.sinks.append(GlogText(files.log("caffelite")))
    return Made(clocked(lambda iterations: score(net, iterations, log)))


def _by_hand(files: Files, weights: Path, expected: list[float], way: Way | None) -> Made:
    """A script one would write: simply, or in a way that is for speed."""
    work, net = files.work, _net(files, weights)
    work.arithmetic()
    if way is None:
        way, model = PLAIN_WAY, start_equal(work.model(), net).eval()
    else:
        model = way.apply(folded(start_equal((work.tuned or work.model)(), net)))
    batches = way.arranged(files.batches(net))
    net.close()
    step = test_step(work, model, way)
    note = ready(way, step, batches)
    expect_equal(f"outputs, {way}", expected, sorted(step(*batches[0])))
    return Made(clocked(test_loop(step, batches, files.log("by_hand"))), note)
