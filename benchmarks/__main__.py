"""How fast caffelite is, beside hand-written PyTorch and the original: `python -m benchmarks` (`make bench`).

Contenders: caffelite as its command line runs it; the PyTorch script one would write for the same net; the same tuned
for speed in several ways, of which the best counts; and, where the environment variable CAFFE_BIN names its binary, the
original.  They run in turn, and what counts is the median of the ratios of neighbouring runs.  Hand-written loops get
batches that are ready in memory.  Before anything is timed, losses are compared.

What single choices stand on is measured by scripts of their own: `python -m benchmarks.memory_format` and so on.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from .bench import Bench
from .cases import CASES, Case
from .harness import Result
from .original import Original
from .report import machine, markdown, save, setting, show

ROUGHLY = 0.05
"""How closely losses agree where factors are rounded."""


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=chosen, default=list(CASES), metavar="CASES", help="names, separated by commas")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn, about")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="where torch computes: cpu or cuda")
    parser.add_argument("--precision", choices=("FLOAT32", "TF32", "BF16"), default="FLOAT32")
    parser.add_argument("--batch", type=int, help="samples, instead of those of the cases")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--keep-freed", action="store_true", help="let hand-written loops keep freed memory, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    return parser.parse_args()


def chosen(names: str) -> list[str]:
    """Names of cases.

    Raises:
        ArgumentTypeError: one is none.
    """
    unknown = [name for name in names.split(",") if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return names.split(",")


def _as_asked(case: Case, options: argparse.Namespace) -> Case:
    """A case with its work done where, in what and on how many samples the command line says."""
    work = replace(
        case.work, device=options.device, precision=options.precision, batch=options.batch or case.work.batch
    )
    if options.precision != "FLOAT32":
        work = replace(work, alike=(work.alike[0], ROUGHLY))
    return replace(case, work=work)


def main() -> None:
    options = arguments()
    if options.list:
        for name, case in CASES.items():
            print(f"{name:<16} {case.title}, batch {case.work.batch}")
        return
    torch.set_num_threads(options.threads)
    original = Original.named(options.threads) if options.device == "cpu" else None
    bench = Bench(
        options.rounds, options.seconds, options.threads, not options.no_compile, original, options.keep_freed
    )
    about = setting(
        rounds=options.rounds, seconds=options.seconds, original=original is not None, keep_freed=options.keep_freed,
        device=options.device, precision=options.precision,
    )  # fmt: skip
    alone = "" if original else "the original is left out: CAFFE_BIN names no binary, or this is a GPU"
    print(machine(options.device), alone, sep="\n", flush=True)
    results: dict[str, Result] = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = _as_asked(CASES[name], options).measure(bench, Path(folder))
        gc.collect()
        if bench.compiling:
            torch.compiler.reset()  # what was compiled for one case counts against the limit of what is kept
        show(results[name])
        if options.json:
            save(options.json, results, about)
    print(f"\n{markdown(list(results.values()))}")


if __name__ == "__main__":
    main()
