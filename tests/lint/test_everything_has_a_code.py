"""Whatever `check` prints has a code: over the recorded cases of the original, and over texts damaged by chance."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from caffelite.commands._files import is_solver
from caffelite.lint import Options, check
from caffelite.lint.catalogue import codes

KNOWN = codes()
GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = Path(__file__).parents[2] / "models"
SAMPLE = (MODELS / "mnist" / "lenet_train_test.prototxt").read_text(encoding="utf-8")


def uncoded(path: Path) -> list[str]:
    report = check(str(path), is_solver(str(path)), Options(stages=("",)))
    return [str(fault) for fault in report.faults if fault.code not in KNOWN]


@pytest.mark.parametrize("folder", ["net_errors", "upgrade", "filter", "solvers"])
def test_recorded_cases(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((GOLDEN / folder).rglob("*.prototxt"))
    assert files
    for path in files:
        monkeypatch.chdir(path.parent)
        assert uncoded(path) == [], path


@pytest.mark.parametrize("seed", range(4))
def test_damaged_texts(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    path = tmp_path / "net.prototxt"
    for _ in range(25):
        letters = list(SAMPLE)
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(letters))
            letters[at] = draw.choice(["", "{", "}", '"', ":", "-", "9", "x", "\n", "[", letters[at] * 2])
        path.write_text("".join(letters), encoding="utf-8")
        assert uncoded(path) == []
