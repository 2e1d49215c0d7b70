"""What is shown of results: a table for each as it is ready, one in Markdown of all, and JSON."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from caffelite.logs.run_record import arithmetic

from .harness import Result, cpu

REPO = Path(__file__).resolve().parents[1]
FIRST, PLAIN, ORIGINAL = "caffelite", "plain PyTorch", "the original"
"""Contenders, as results name them."""


def machine(device: str = "cpu") -> str:
    """What computes, and with what."""
    where = cpu() if device == "cpu" else f"{torch.cuda.get_device_name()}, {cpu()}"
    return f"{torch.get_num_threads()} threads, torch {torch.__version__}, {where}"


def setting(**more: Any) -> dict[str, Any]:
    """What a figure depends on: threads, versions, machine, the state of the sources."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "torch": torch.__version__,
        **arithmetic(),
        "cpu": cpu(),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        **more,
    }


def _git(*arguments: str) -> str | None:
    """What git says about the sources; None where they are not in a repository, or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=REPO, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def show(result: Result) -> None:
    """A row for each contender."""
    first = next(iter(result.values))
    print(result.name)
    for contender in result.values:
        value = f"  {contender:<44} {result.median(contender):9.4g} {result.unit}"
        print(value if contender == first else f"{value:<64} {first} is {result.ratio(contender)}", flush=True)
    for note in result.notes:
        print(f"  {note}", flush=True)


def markdown(results: Sequence[Result]) -> str:
    """A table of all results."""
    lines = [
        "| | caffelite | vs the original | vs plain PyTorch | vs the best tuned | which is |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        best = result.best_tuned() or "–"
        against = [result.ratio(one) if one in result.values else "–" for one in (ORIGINAL, PLAIN, best)]
        ours = f"{result.median(FIRST):.4g} {result.unit}"
        lines.append(f"| {' | '.join([result.name, ours, *against, best])} |")
    return "\n".join(lines)


def save(path: Path, results: dict[str, Result], about: dict[str, Any]) -> None:
    """Every value of every round."""
    kept = {
        case: {
            **asdict(result),
            "best_tuned": result.best_tuned(),
            "ratios": {contender: result.ratios(contender) for contender in list(result.values)[1:]},
        }
        for case, result in results.items()
    }
    path.write_text(json.dumps({"setting": about, "cases": kept}, indent=1) + "\n", encoding="utf-8")
