"""`check` and `summary`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from caffelite.commands import perform
from caffelite.commands._files import is_solver

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 5 } }
"""
FED = """layer {{ name: "d" type: "{type}" top: "data" top: "label" include {{ phase: {phase} }}
  dummy_data_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 5 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def solver(net: str) -> str:
    return f'net: "{net}"\nbase_lr: 0.1\nlr_policy: "fixed"\nmax_iter: 1\nsnapshot_prefix: "x"\nsolver_mode: CPU\n'


def test_a_good_net_is_ok(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["check", str(net)]) == 0
    assert capsys.readouterr().out == f'{net}: ok: net "small" in TRAIN: 4 layers; net "small" in TEST: 4 layers\n'


def test_every_fault_is_listed_once(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = NET.replace('bottom: "data" top: "conv"', 'bottom: "dta" top: "conv"').replace('"ReLU"', '"RLU"')
    net.write_text(text)
    assert perform(["check", str(net)]) == 1
    out = capsys.readouterr().out
    assert out.count('unknown bottom "dta"') == 1
    assert out.count('unknown layer type "RLU"') == 1
    assert "did you mean data?" in out
    assert out.endswith(f"{net}: 2 errors\n")


def test_a_solver_is_checked_with_its_nets(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(FED.format(type="DummyData", phase="TRAIN"))
    path = net.parent / "solver.prototxt"
    path.write_text(solver(net.name))
    assert perform(["check", str(path)]) == 0
    assert "ok: solver, SGD, fixed rate" in capsys.readouterr().out
    path.write_text(solver(net.name).replace("base_lr: 0.1", "bas_lr: 0.1"))
    assert perform(["check", str(path)]) == 1
    assert 'unknown field "bas_lr"' in capsys.readouterr().out
    path.write_text(solver("nope.prototxt"))
    assert perform(["check", str(path)]) == 1
    assert "nope.prototxt" in capsys.readouterr().out


def test_a_net_for_one_phase_is_checked_in_that_phase(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(FED.format(type="DummyData", phase="TRAIN"))
    assert perform(["check", str(net)]) == 0
    assert "TEST" not in capsys.readouterr().out
    assert perform(["check", str(net), "--phase", "TEST"]) == 1


def test_data_that_is_not_there_is_a_warning(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(
        'layer { name: "d" type: "Data" top: "data" data_param { source: "nope_lmdb" batch_size: 2 backend: LMDB } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }\n'
    )
    assert perform(["check", str(net)]) == 0
    assert "ok (1 warning)" in capsys.readouterr().out
    assert perform(["check", str(net), "--strict"]) == 1
    capsys.readouterr()
    assert perform(["summary", str(net), "--input", "data=2x3x8x8"]) == 0
    out = capsys.readouterr().out
    assert "2x5" in out
    assert f"{3 * 8 * 8 * 5 + 5:,}" in out


def test_values_put_over_the_file_are_checked_like_it(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["summary", str(net), "--set", "layer[ip].inner_product_param.num_output=7"]) == 0
    assert "2x7" in capsys.readouterr().out
    assert perform(["check", str(net), "--set", "layer[ip].inner_product_param.num_outputs=7"]) == 1
    assert "num_output" in capsys.readouterr().out
    odd = ["check", str(net), "--set", "layer[ip].inner_product_param.bias_term=TRUE"]
    assert perform(odd) == 0
    assert "warning: TRUE is read as true" in capsys.readouterr().out
    assert perform([*odd, "--strict"]) == 1


def test_a_fault_of_both_phases_counts_once_though_its_help_differs(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accuracy = 'layer { name: "a" type: "Accuracy" bottom: "ip" bottom: "x" top: "acc" include { phase: TEST } }\n'
    net.write_text(NET + accuracy + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "x" top: "l" }')
    assert perform(["check", str(net)]) == 1
    out = capsys.readouterr().out
    assert out.count('layer "loss" (SoftmaxWithLoss): unknown bottom "x"') == 1
    assert out.endswith(": 2 errors\n")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("dta=2x3x8x8", 'no layer makes "dta" from nothing'),
        ("data=2x3x9x9", 'the net itself says that "data" is 2x3x8x8'),
    ],
)
def test_a_shape_that_is_not_used_is_not_passed_over(
    net: Path, capsys: pytest.CaptureFixture[str], shape: str, message: str
) -> None:
    assert perform(["check", str(net), "--input", shape]) == 0
    assert message in capsys.readouterr().out
    assert perform(["summary", str(net), "--input", shape]) == 0
    assert message in capsys.readouterr().err
    assert perform(["check", str(net), "--input", "data=2x3x8x8", "--strict"]) == 0


def test_sums_over_unknown_shapes_say_so(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = 'type: "Data" data_param { source: "nope_lmdb" batch_size: 2 }'
    net.write_text(NET.replace('type: "Input"', missing))
    assert perform(["summary", str(net)]) == 0
    assert "is not in the sums; say the shapes: --input data=…" in capsys.readouterr().out
    assert perform(["summary", str(net), "--input", "data=2x3x8x8"]) == 0
    assert "not in the sums" not in capsys.readouterr().out


def test_summary_counts_by_hand(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["summary", str(net)]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert rows["conv"][1:] == ["Convolution", "2x4x6x6", "112", f"{2 * 4 * 36 * 27:,}", "1.1", "KiB"]
    assert rows["relu"][1:] == ["ReLU", "2x4x6x6"]
    assert rows["ip"][3] == str(144 * 5 + 5)
    assert rows["ip"][4] == f"{2 * 144 * 5:,}"
    total = 2 * 4 * 36 * 27 + 2 * 144 * 5
    assert rows["4"][1:4] == ["layers", str(112 + 725), f"{total:,}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('base_lr: 0.1 net: "x"', True),
        ('train_net: "x"', True),
        ("net_param { layer { name: 'a' } }", True),
        ('# base_lr: 0.1\nlayer { name: "net: x" }', False),
        (NET, False),
        ("", False),
    ],
)
def test_solvers_are_told_from_nets_by_their_fields(tmp_path: Path, text: str, expected: bool) -> None:
    path = tmp_path / "x.prototxt"
    path.write_text(text)
    assert is_solver(str(path)) is expected


WRONG = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 } } }
layer { name: "a, 100%" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_outptu: 5 } }
layer { name: "b" type: "RLU" bottom: "data" top: "b" }
"""


def test_faults_of_the_text_and_of_the_net_are_told_at_once(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(WRONG)
    assert perform(["check", net.name]) == 1
    out = capsys.readouterr().out
    assert 'net.prototxt:2:92: unknown field "num_outptu" in inner_product_param [CL012]\n' in out
    assert 'net.prototxt:3:19: layer "b" (RLU): unknown layer type "RLU" [CL204]\n' in out
    assert out.endswith("net.prototxt: 2 errors\n")  # and none about the missing num_output


def test_a_solver_with_wrong_settings_has_its_nets_checked(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(WRONG)
    Path("solver.prototxt").write_text(solver(net.name).replace("base_lr: 0.1", "bas_lr: 0.1 momentum: 9"))
    assert perform(["check", "solver.prototxt"]) == 1
    out = capsys.readouterr().out
    for code in ("CL012", "CL511", "CL204"):
        assert f"[{code}]" in out
    assert "base_lr is not set" not in out  # it is what could not be read


def test_findings_as_json(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(WRONG)
    assert perform(["check", net.name, "--format", "json"]) == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == {
        "file": "net.prototxt",
        "line": 2,
        "column": 92,
        "code": "CL012",
        "severity": "error",
        "layer": None,
        "message": 'unknown field "num_outptu" in inner_product_param',
        "help": "did you mean num_output?",
    }
    assert (second["line"], second["code"], second["layer"]) == (3, "CL204", "b")


def test_findings_for_github(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = net.with_name("a,b.prototxt")
    odd.write_text(WRONG.replace("num_outptu", "num_output").replace('bottom: "data" top: "a"', 'bottom: "c" top: "a"'))
    assert perform(["check", odd.name, "--format", "github"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        '::error file=a%2Cb.prototxt,line=2,col=46,title=CL201::layer "a, 100%25" (InnerProduct): unknown bottom "c": '
        "no layer above makes it%0A  help: blobs so far: data",
        '::error file=a%2Cb.prototxt,line=3,col=19,title=CL204::layer "b" (RLU): unknown layer type "RLU"'
        "%0A  help: did you mean ReLU?",
    ]


def test_a_format_that_does_not_exist(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["check", str(net), "--format", "xml"]) == 2
    assert "--format must be text, json or github" in capsys.readouterr().err


def test_explain_tells_of_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["explain", "cl012"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("CL012: a field that the schema does not know\n")
    assert "num_outptu" in out
    assert perform(["explain"]) == 0
    assert "  CL012  a field that the schema does not know\n" in capsys.readouterr().out
    assert perform(["explain", "CL999"]) == 2
    assert 'there is no code "CL999"' in capsys.readouterr().err


def test_it_needs_no_torch(net: Path) -> None:
    net.write_text(NET)
    code = (
        "import sys; from caffelite.commands import perform; "
        f"perform(['check', {str(net)!r}]); perform(['explain', 'CL611']); print('torch._C' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ": ok: " in done.stdout
    assert done.stdout.endswith("False\n")
