"""`time`: what stands beside the original's report, which `test_recorded` looks at."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

NAME = 'in/"qu\\\\oted" ä'  # as it stands in a prototxt
NET = f"""
layer {{ name: "x" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 2 dim: 3 dim: 8 dim: 8 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param {{ num_output: 4 kernel_size: 3 }} }}
layer {{ name: "{NAME.replace('"', chr(92) + '"')}" type: "ReLU" bottom: "y" top: "y" }}
layer {{ name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }}
"""
CONV = 2 * 4 * 6 * 6 * 3 * 3 * 3
"""Multiply-adds."""


@pytest.fixture
def net(files: Path) -> Path:
    path = files / "convolution.prototxt"
    path.write_text(NET)
    return path


def told(here: Run, *arguments: str) -> dict[str, Any]:
    done = here("time", *arguments, "--iterations", "2", "--format", "json")
    assert done.status == 0, done.err
    assert "*** Benchmark ends ***" in done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_tables_on_stdout(here: Run, net: Path) -> None:
    done = here("time", "--model", str(net), "--iterations", "2")
    assert done.status == 0, done.err
    assert done.out.lstrip().startswith("peak measured here: ")
    starts = [line.split()[:2] for line in done.out.splitlines()]
    assert ["conv", "Convolution"] in starts
    assert ["conv", "channels_last"] in starts
    assert f"{CONV:,}" in done.out
    assert "whole iteration as training runs it" in done.out


def test_numbers_as_json(here: Run, net: Path) -> None:
    found = told(here, "--model", str(net))
    x, conv, relu, _ = found["layers"]
    assert conv["forward"]["multiply_adds"] == conv["backward"]["multiply_adds"] == CONV
    assert conv["forward"]["gflops"] == pytest.approx(2 * CONV / conv["forward"]["ms"] / 1e6)
    assert conv["forward"]["of_peak"] == pytest.approx(conv["forward"]["gflops"] / found["machine"]["gflops"])
    assert (conv["top_bytes"], conv["weight_bytes"]) == (4 * 2 * 4 * 6 * 6, 4 * (4 * 27 + 4))
    assert relu["layer"] == NAME.replace("\\\\", "\\")
    assert relu["backward"]["gbps"] == pytest.approx(2 * 4 * 288 / relu["backward"]["ms"] / 1e6)
    assert (relu["top_bytes"], x["backward"]) == (0, None)
    assert sum(layer["time"] for layer in found["layers"]) == pytest.approx(1)
    assert found["memory"]["weights"] == 4 * (4 * 27 + 4)
    assert found["memory"]["blobs"] == 4 * (2 * 3 * 8 * 8 + 2 * 4 * 6 * 6 + 1)
    assert found["memory"]["peak_resident"] > 1 << 20
    assert found["whole_iteration_ms"] > 0


def test_a_net_without_weights(here: Run, files: Path) -> None:
    path = files / "plain.prototxt"
    path.write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 6 } } }'
        'layer { name: "sum" type: "Reduction" bottom: "x" top: "sum" }'
    )
    found = told(here, "--model", str(path))
    assert found["memory"]["weights"] == 0
    assert [layer["backward"] for layer in found["layers"]] == [None, None]
    assert "matrix work" not in here("time", "--model", str(path), "--iterations", "1").out


def test_phase_test_is_timed_as_test_runs_it(here: Run) -> None:
    done = here("time", "--model", "net.prototxt", "--phase", "TEST", "--iterations", "1")
    assert done.status == 0, done.err
    assert "whole iteration as test runs it (forward): " in done.out


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_a_trace_names_the_layers(here: Run, net: Path, name: str) -> None:
    net.with_name(name).write_text("old")
    done = here("time", "--model", str(net), "--iterations", "1", "--profile", name)
    assert done.status == 0, done.err
    assert f"Trace written to {name}" in done.err
    data = net.with_name(name).read_bytes()
    trace = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)
    relu = NAME.replace("\\\\", "\\")
    ranges = [event for event in trace["traceEvents"] if "layer" in event.get("args", {})]
    forwards = ["x forward", "conv forward", f"{relu} forward", "sum forward"]
    backwards = ["sum backward", f"{relu} backward", "conv backward"]  # the data needs none
    by_time = sorted(ranges, key=lambda event: event["ts"])
    assert [event["name"] for event in by_time] == (forwards + backwards) * 3
    assert all(event["ph"] == "X" and event["dur"] > 0 for event in ranges)
    assert by_time[1]["args"] | {"layer": "conv", "type": "Convolution", "pass": "forward"} == by_time[1]["args"]
    wholes = [event for event in trace["traceEvents"] if event.get("name") == "whole iteration"]
    assert len(wholes) == 3
    inside = [event["name"] for event in trace["traceEvents"] if event.get("cat") == "cpu_op"]
    assert any("convolution" in op for op in inside)
    assert trace["traceName"] == name


def test_traces_that_cannot_be(here: Run, net: Path) -> None:
    done = here("time", "--model", str(net), "--profile", "trace.txt")
    assert (done.status, done.out) == (2, "")
    assert "--profile writes .json or .json.gz, not trace.txt" in done.err
    done = here("time", "--model", str(net), "--iterations", "1", "--profile", "nowhere/trace.json")
    assert done.status == 1
    assert "create the folder" in done.err and "Traceback" not in done.err
