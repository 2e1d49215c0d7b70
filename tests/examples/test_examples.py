"""Every example runs as a reader runs it, shortened by --quick, and comes to what its text says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPO

EXAMPLES = REPO / "examples"
SCRIPTS = {path.stem: path for path in sorted(EXAMPLES.glob("[0-9]*.py"))}
HELPERS = {"lesson", "many_digits"}
"""What the examples import."""

NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
"""Where MNIST is not at hand, the digits of scikit-learn take its place at once."""


def python(*arguments: str | Path, cwd: Path, matplotlib: Path) -> str:
    """What a process prints; `matplotlib` is where it keeps what it knows of the machine's fonts."""
    environment = {**os.environ, **NO_NETWORK, "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(matplotlib)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all examples use: the digits, made once, and matplotlib's cache."""
    place = tmp_path_factory.mktemp("examples")
    make = ("-m", "caffelite", "data", "mnist", place / "digits", "--or-digits")
    python(*make, cwd=place, matplotlib=place / "matplotlib")
    return place


def number(pattern: str, printed: str) -> float:
    """The number that the pattern's group found, in the last line that has it."""
    found = re.findall(pattern, printed)
    assert found, f"nothing like {pattern!r} in\n{printed}"
    return float(found[-1])


def pictures(printed: str, out: Path) -> set[str]:
    """The names of the pictures that were made: PNG files that are not empty sheets."""
    paths = [Path(path) for path in re.findall(r"^picture: (.+)$", printed, re.MULTILINE)]
    for path in paths:
        assert path.is_relative_to(out)
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.convert("L").getextrema() != (255, 255)
    return {path.stem for path in paths}


# -- what each comes to ------------------------------------------------------------------------------------------------


def learning_lenet(printed: str) -> set[str]:
    assert number(r"loss of the first iteration: (\S+)", printed) == pytest.approx(2.3, abs=0.3)
    assert number(r"^test accuracy: (\S+)", printed.partition("loss of")[2].partition("\n")[2]) > 0.75
    assert number(r"largest change of a weight: (\S+)", printed) > 0
    names = ("linear", "small_lenet", "small_lenet_adam")
    assert all(number(rf"experiment {name}: test accuracy (\S+)", printed) > 0.6 for name in names)
    return {"data", "first_step", "curves", "labels", "opinions", "experiments"}


def classification(printed: str) -> set[str]:
    assert number(r"accuracy on \d+ test digits: (\S+)", printed) > 0.85
    said, label = re.findall(r"the net says (\d), the label is (\d)", printed)[0]
    assert said == label
    assert number(rf"  {label}: (\S+)", printed) > 0.5
    assert "my_seven.png: (120, 90, 1)" in printed
    plain, oversampled = (number(rf"oversample={how}: (\d+) of 50", printed) for how in (False, True))
    assert plain >= 40
    assert oversampled < plain
    return {"inside", "numbers", "own_image", "crops"}


def net_surgery(printed: str) -> set[str]:
    assert number(r"a bias of 1 raises the mean answer by (\S+)", printed) == pytest.approx(1, abs=1e-5)
    assert number(r"largest difference from NumPy's blur: (\S+)", printed) < 1e-5
    assert "ip1: (500, 800) becomes (500, 50, 4, 4)" in printed
    assert number(r"(\d+) windows", printed) == 10 * 34
    assert number(r"largest difference of a probability: (\S+)", printed) < 1e-5
    assert number(r"(\d) of 5 digits right", printed) >= 3
    assert "over the page (10, 64, 160)" in printed
    return {"chance", "by_hand", "map"}


def fine_tuning(printed: str) -> set[str]:
    last, every, nothing = (
        number(rf"accuracy, {how}: (\S+)", printed) for how in ("last layer", "all layers", "from nothing")
    )
    assert min(last, every) > nothing
    assert every > 0.35
    assert number(r"largest difference (\S+)", printed) < 1e-5
    assert number(r"conv1, last layer: largest change of a weight (\S+)", printed) == 0
    assert number(r"conv1, all layers: largest change of a weight (\S+)", printed) > 0
    return {"few", "curves"}


def logreg_hdf5(printed: str) -> set[str]:
    best = number(r"the best that can be: accuracy (\S+)", printed)
    shallow, deeper = (number(rf"{what}: +accuracy (\S+) in", printed) for what in ("regression", "hidden layer"))
    assert number(r"LogisticRegression: accuracy (\S+),", printed) == pytest.approx(shallow, abs=0.02)
    assert number(r"LogisticRegression: .* cosine of the weights (\S+)", printed) > 0.99
    assert shallow < 0.8
    assert best - 0.03 < deeper < best + 0.01
    assert number(r"from Python (\S+),", printed) == number(r"from the command line (\S+)", printed) == shallow
    return {"borders"}


def multilabel(printed: str) -> set[str]:
    baseline = number(r"always no: (\S+)", printed)
    assert baseline == pytest.approx(0.82, abs=0.02)
    assert number(r"hamming accuracy: (\S+)", printed) > baseline + 0.015
    assert "the next pages of the resumed run are the same" in printed
    return {"pages", "curves", "answers"}


COMES_TO: dict[str, Callable[[str], set[str]]] = {
    "01_learning_lenet": learning_lenet,
    "02_classification": classification,
    "03_net_surgery": net_surgery,
    "04_fine_tuning": fine_tuning,
    "05_logreg_hdf5": logreg_hdf5,
    "06_multilabel": multilabel,
}
"""Checks what an example printed; gives the names of its pictures."""


def test_every_example_is_tested() -> None:
    assert set(COMES_TO) == set(SCRIPTS)
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SCRIPTS, *HELPERS}


@pytest.mark.parametrize("name", COMES_TO)
def test_an_example_comes_to_what_it_says(name: str, shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--quick", "--out", out, "--data", shared / "digits")
    printed = python(SCRIPTS[name], *options, cwd=tmp_path, matplotlib=shared / "matplotlib")
    assert pictures(printed, out) == COMES_TO[name](printed)


# -- their form --------------------------------------------------------------------------------------------------------


def cells(name: str) -> list[tuple[str, str]]:
    """Kind ("markdown" or "code") and source of each cell, in percent format."""
    parts = re.split(r"^# %%(.*)\n", SCRIPTS[name].read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert parts[0] == ""
    return [(mark.strip(" []") or "code", text) for mark, text in zip(parts[1::2], parts[2::2], strict=True)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_a_notebook(name: str) -> None:
    found = cells(name)
    assert found[0][0] == "markdown"
    assert found[0][1].startswith("# # ")
    for kind, text in found:
        assert kind in ("code", "markdown")
        if kind == "markdown":
            assert all(line.startswith("#") for line in text.splitlines() if line)
        else:
            compile(text, f"a cell of {name}", "exec")  # each is a whole


def test_the_readme_tells_of_every_example_and_of_pictures_it_makes() -> None:
    rows = [
        line for line in (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| [")
    ]
    assert [re.findall(r"\((\w+)\.py\)", row) for row in rows] == [[name] for name in SCRIPTS]
    for row, script in zip(rows, SCRIPTS.values(), strict=True):
        shown = re.findall(r"`(\w+)\.png`", row)
        assert shown
        assert all(f'"{picture}"' in script.read_text(encoding="utf-8") for picture in shown)
