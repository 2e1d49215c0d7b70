"""Python layers on the command line: nothing of them runs unless it is told to let them."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import click
import pytest

from caffelite.commands import cli, perform

from .conftest import Done, caffelite

MODULE = """import pathlib
import caffelite
pathlib.Path("imported").touch()


class Rows(caffelite.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(4, 1, 2, 2)
        top[1].reshape(4)

    def forward(self, bottom, top):
        top[0].data[...] = [[[[i, 0], [0, 1]]] for i in range(4)]
        top[1].data[...] = [0, 1, 0, 1]

    def backward(self, top, propagate_down, bottom):
        pass


class Broken(Rows):
    def forward(self, bottom, top):
        raise ValueError("nothing to read")
"""
NET = """layer { name: "rows" type: "Python" top: "data" top: "label"
  python_param { module: "MODULE" layer: "Rows" } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" test_iter: 1 test_interval: 1 base_lr: 0.1 lr_policy: "fixed" max_iter: 2
snapshot_prefix: "s" random_seed: 1 solver_mode: CPU
"""
LINES = {
    "train": ["train", "--solver", "solver.prototxt"],
    "test": ["test", "--model", "net.prototxt", "--weights", "s_iter_2.caffemodel", "--iterations", "1"],
    "time": ["time", "--model", "net.prototxt", "--iterations", "1"],
    "check": ["check", "net.prototxt"],
    "check of a solver": ["check", "solver.prototxt"],
    "summary": ["summary", "net.prototxt"],
    "summary of a solver": ["summary", "solver.prototxt"],
    "data preview": ["data", "preview", "net.prototxt", "-o", "seen.png"],
}
REFUSED = """net.prototxt:2:3: layer "rows" (Python): would run Python code that the file names: "{}.Rows"
      python_param {{ module: "{}" layer: "Rows" }} }}
      ^
  help: --allow-python lets it; do so only for a file and a module that you trust
"""
numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory that leaves a file behind when it is imported; nets beside it."""
    name = f"caffelite_test_rows_{next(numbers)}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path(f"{name}.py").write_text(MODULE)
    Path("net.prototxt").write_text(NET.replace("MODULE", name))
    Path("solver.prototxt").write_text(SOLVER)
    return name


def in_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    capsys.readouterr()
    status = perform(arguments)
    return Done(status, *capsys.readouterr())


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_nothing_is_imported_unasked(line: list[str], module: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = in_here(capsys, *line)
    assert done.status == 1
    assert REFUSED.format(module, module) in (done.out + done.err).replace(" [CL215]", "")
    assert not Path("imported").exists()
    assert module not in sys.modules


def test_told_to_every_command_runs_it(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in LINES.values():
        done = in_here(capsys, *line, "--allow-python")
        assert done.status == 0, done.err
    assert Path("imported").exists()
    assert Path("s_iter_2.caffemodel").exists()
    assert Path("seen.png").exists()


def test_a_process_of_its_own_refuses_and_obeys(module: str) -> None:
    refused = caffelite("train", "-solver", "solver.prototxt", cwd=Path.cwd())
    assert refused.status == 1
    assert refused.err.endswith(REFUSED.format(module, module))
    checked = caffelite("check", "solver.prototxt", cwd=Path.cwd())
    assert checked.status == 1
    assert not Path("imported").exists()
    allowed = caffelite("train", "-solver", "solver.prototxt", "-allow_python", cwd=Path.cwd())
    assert allowed.status == 0, allowed.err
    assert "Iteration 2, Testing net (#0)" in allowed.err
    assert Path("imported").exists()


def test_a_module_beside_the_prototxt_is_found_from_elsewhere(module: str) -> None:
    folder = Path("elsewhere")
    folder.mkdir()
    done = caffelite("summary", "../net.prototxt", "--allow-python", cwd=folder)
    assert done.status == 0, done.err
    assert "4x1x2x2, 4" in done.out


def test_an_exception_in_a_layer_is_no_traceback(module: str) -> None:
    Path("net.prototxt").write_text(Path("net.prototxt").read_text().replace('"Rows"', '"Broken"'))
    done = caffelite("train", "-solver", "solver.prototxt", "--allow-python", cwd=Path.cwd())
    source = f'  python_param {{ module: "{module}" layer: "Broken" }} }}'
    column = source.index("layer:") + 1
    assert done.status == 1
    line = next(number for number, text in enumerate(MODULE.splitlines(), 1) if "nothing to read" in text)
    assert done.err.endswith(
        f'net.prototxt:2:{column}: layer "rows" (Python): {module}.Broken.forward raised ValueError: nothing to read\n'
        f"    {source}\n"
        f"    {' ' * (column - 1)}^\n"
        f'  help: {Path(f"{module}.py").resolve()}:{line}, in forward: raise ValueError("nothing to read")\n'
    ), done.err
    assert "Traceback" not in done.err


def test_every_command_that_builds_nets_can_be_told() -> None:
    """Those that can be told a state of the net; new ones must ask, too."""
    found = []

    def look(command: click.Command, context: click.Context) -> None:
        options = {option for parameter in command.params for option in parameter.opts}
        if "--level" in options:
            found.append(context.command_path)
            assert "--allow-python" in options, context.command_path
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                look(child, click.Context(child, context, name))

    look(cli, click.Context(cli, info_name="caffelite"))
    assert set(found) >= {f"caffelite {line}" for line in LINES if " of " not in line}
