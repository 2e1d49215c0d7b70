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
from pathlib import Path

import torch

from .bench import Bench
from .cases import CASES
from .harness import Result
from .original import Original
from .report import machine, markdown, save, setting, show


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=chosen, default=list(CASES), metavar="CASES", help="names, separated by commas")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn, about")
    parser.add_argument("--threads", type=int, default=2)
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


def main() -> None:
    options = arguments()
    if options.list:
        for name, case in CASES.items():
            print(f"{name:<16} {case.title}, batch {case.work.batch}")
        return
    torch.set_num_threads(options.threads)
    original = Original.named(options.threads)
    bench = Bench(
        options.rounds, options.seconds, options.threads, not options.no_compile, original, options.keep_freed
    )
    about = setting(
        rounds=options.rounds, seconds=options.seconds, original=original is not None, keep_freed=options.keep_freed
    )
    print(machine(), "" if original else "CAFFE_BIN names no binary: the original is left out", sep="\n", flush=True)
    results: dict[str, Result] = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = CASES[name].measure(bench, Path(folder))
        gc.collect()
        if bench.compiling:
            torch.compiler.reset()  # what was compiled for one case counts against the limit of what is kept
        show(results[name])
        if options.json:
            save(options.json, results, about)
    print(f"\n{markdown(list(results.values()))}")


if __name__ == "__main__":
    main()
