"""LeNet, AlexNet and ResNet-50 written in Python: the nets of models/, message by message, and sound in themselves."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest

from caffelite import TEST, TRAIN, assembly, prototxt
from caffelite.commands import perform
from caffelite.graph import state_of
from caffelite.proto import NetParameter

from ..conftest import REPO
from .nets import alexnet, lenet, resnet50

NETS = {
    "mnist/lenet_train_test.prototxt": (lenet, (1, 28), 431_080),
    "alexnet/train_val.prototxt": (alexnet, (3, 227), 60_965_224),
    "resnet50/deploy.prototxt": (resnet50, (3, 224), 25_557_032),
}
"""By file: what writes it, channels and size of its images, and its parameters as published."""


@pytest.mark.parametrize("path", NETS)
def test_the_net_is_the_one_of_the_file(path: str) -> None:
    net = NETS[path][0]().to_proto()
    assert not net.name
    net.name = (file := assembly.read_net(REPO / "models" / path).message).name
    assert [layer.name for layer in net.layer] == [layer.name for layer in file.layer]
    assert net == file


@pytest.mark.parametrize("path", NETS)
@pytest.mark.parametrize("text_of", [str, prototxt.dump], ids=["str", "dump"])
def test_its_text_is_read_without_a_warning_and_is_the_same_net(path: str, text_of: Callable[[Any], str]) -> None:
    net = NETS[path][0]().to_proto()
    read = prototxt.loads(text_of(net), NetParameter, strict=True)
    assert (read.message, read.warnings) == (net, [])


@pytest.mark.parametrize("path", NETS)
@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_its_graph_lacks_only_databases_and_has_the_published_size(path: str, phase: int, tmp_path: Path) -> None:
    build, (channels, side), published = NETS[path]
    file = tmp_path / "net.prototxt"
    file.write_text(str(build().to_proto()))
    net = assembly.read_net(file, strict=True)
    given = {"data": (2, channels, side, side), "label": (2,)} if build is not resnet50 else None
    graph = assembly.build_graph(net, state_of(net.message, phase), given=given, missing_data=True)
    assert all(fault.message.startswith("no database") for fault in graph.warnings)
    assert sum(prod(weight.shape) for weight in graph.weights if weight.lr_mult) == published


def test_check_finds_nothing_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "resnet50.prototxt"
    file.write_text(str(resnet50().to_proto()))
    assert perform(["check", str(file), "--strict"]) == 0
    assert "warning" not in capsys.readouterr().out
