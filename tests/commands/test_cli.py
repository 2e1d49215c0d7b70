"""The command line as such: help, speed, exit statuses, docs."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from caffelite.commands import _docs, cli, perform
from tests.conftest import REPO

from .conftest import caffelite


def lines() -> list[list[str]]:
    """Every command and subcommand, as one would type it."""
    found: list[list[str]] = [[]]
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, child] for child in command.list_commands(click.Context(command))]
    return found


def test_the_commands_are_all_there() -> None:
    names = {" ".join(line) for line in lines()}
    assert {"train", "test", "time", "device-query", "check", "summary", "plot", "data mnist"} <= names


@pytest.mark.parametrize("line", lines(), ids=" ".join)
def test_help_has_examples_first_and_comes_at_once(line: list[str]) -> None:
    code = (
        "import sys, caffelite.commands as c; status = c.perform(sys.argv[1:]);"
        "print([name for name in ('torch._C', 'rich', 'numpy', 'google.protobuf') if name in sys.modules]);"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line, "--help"], cwd=REPO, capture_output=True, text=True, check=True
    )
    *text, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    heads = [row for row in text if row in ("Examples:", "Options:")]
    assert heads == ["Examples:", "Options:"]
    path = " ".join(["caffelite", *line])
    assert text[text.index("Examples:") + 1].strip().startswith(path if len(line) != 1 else "caffelite")
    assert all(len(row) <= 110 for row in text)


def test_every_example_is_accepted_by_the_parser() -> None:
    import shlex

    from caffelite.commands._argv import normalised

    for line in lines()[1:]:
        command: click.Command = cli
        for name in line:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), name)
            assert found is not None
            command = found
        examples = getattr(command, "examples", [])
        assert examples
        for example in examples:
            program, *arguments = shlex.split(example)
            assert program == "caffelite"
            tokens = normalised(arguments, cli)
            if not isinstance(command, click.Group):
                command.make_context(line[-1], tokens[len(line) :], resilient_parsing=False).close()


def test_docs_are_current() -> None:
    assert (REPO / "docs" / "cli.md").read_text() == _docs.text()


def test_without_arguments_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform([]) == 0
    assert "Examples:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["--version"]) == 0
    assert capsys.readouterr().out.startswith("caffelite version 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], 'there is no command "fly"'),
        (["trian"], "did you mean train?"),
        (["help", "train"], "caffelite COMMAND --help"),
        (["check"], "Missing argument"),
        (["check", "x", "--phase", "DREAM"], "--phase must be TRAIN or TEST"),
        (["data"], "Examples:"),
        (["data", "cifar", "d"], "cifar"),
        (["summary", "x", "--input", "data"], "--input takes BLOB=NxCxHxW"),
    ],
)
def test_wrong_command_lines_end_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_slip_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "main", broken)
    assert perform(["train"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "caffelite: internal error: ZeroDivisionError: division by zero"
    with pytest.raises(ZeroDivisionError):
        perform(["train", "--debug"])


def test_a_full_disk_is_no_slip_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "main", full)
    assert perform(["check"]) == 1
    assert capsys.readouterr().err == "caffelite: No space left on device\n"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    assert perform(["summary", "x"]) == 130


def test_a_reader_that_goes_away_is_no_error() -> None:
    net = REPO / "models" / "mnist" / "lenet_deploy.prototxt"
    command = [sys.executable, str(REPO / "cli.py"), "summary", str(net)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(timeout=60)


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "caffelite", "--version"], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.startswith("caffelite version")


def test_checking_needs_no_torch(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(LARGE)
    assert len(LARGE.splitlines()) >= 2400
    code = (
        "import sys, json, caffelite.commands as c; status = c.perform(sys.argv[1:]);"
        "print(json.dumps([name for name in ('torch._C', 'rich') if name in sys.modules])); sys.exit(status)"
    )
    for command in ("check", "summary"):
        done = subprocess.run([sys.executable, "-c", code, command, str(net)], cwd=REPO, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        assert json.loads(done.stdout.splitlines()[-1]) == []


def layer(index: int) -> str:
    bottom = f"conv{index - 1}" if index else "data"
    return f"""layer {{
  name: "conv{index}"
  type: "Convolution"
  bottom: "{bottom}"
  top: "conv{index}"
  param {{
    lr_mult: 1
  }}
  param {{
    lr_mult: 2
  }}
  convolution_param {{
    num_output: 16
    kernel_size: 3
    pad: 1
    weight_filler {{
      type: "xavier"
    }}
  }}
}}
layer {{
  name: "relu{index}"
  type: "ReLU"
  bottom: "conv{index}"
  top: "conv{index}"
}}
"""


LARGE = """name: "large"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 16 dim: 32 dim: 32 } } }
""" + "".join(layer(index) for index in range(100))


def test_install_is_not_needed(tmp_path: Path) -> None:
    assert caffelite("--version", cwd=tmp_path).status == 0
