"""`caffelite.load`: a net file as a torch module."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import caffelite
from caffelite.errors import GraphError, UsageError
from caffelite.net.module import NetModule
from caffelite.proto import TRAIN

from ..conftest import REPO
from ..net.modules import SMALL, images
from ..nets import net_of


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "net.prototxt").write_text(SMALL)
    net_of(SMALL, seed=5).save(str(tmp_path / "net.caffemodel"))
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def test_a_net_and_its_weights_are_loaded_in_one_line(saved):
    module = caffelite.load(*saved)
    assert isinstance(module, nn.Module)
    assert not module.training
    torch.testing.assert_close(module(images()), NetModule(net_of(SMALL, seed=5))(images()))
    assert caffelite.load(saved[0], phase=TRAIN).training


def test_first_weights_follow_the_seed_or_torchs_generator(saved):
    def weight(**options: Any) -> torch.Tensor:
        return caffelite.load(saved[0], **options).conv.weight

    assert torch.equal(weight(seed=1), weight(seed=1))
    torch.manual_seed(3)
    one = weight()
    assert not torch.equal(one, weight())
    torch.manual_seed(3)
    assert torch.equal(one, weight())


def test_layers_that_no_file_has_weights_for_are_told(saved, caplog):
    path, weights = saved
    path.write_text(SMALL.replace('name: "ip"', 'name: "ip_new"'))
    caffelite.load(path, [weights, weights])
    assert [record.message for record in caplog.records] == [
        'layer "ip_new" keeps its first values: no weight file has it'
    ]
    caplog.clear()
    caffelite.load(path)
    assert not caplog.records


def test_files_are_closed_with_the_module(golden, tmp_path, monkeypatch):
    shutil.copytree(golden("solvers/adam/net.prototxt").parent, tmp_path / "adam")
    shutil.copytree(golden("solvers/_data/train.h5").parent, tmp_path / "_data")
    monkeypatch.chdir(tmp_path / "adam")
    module, closed = caffelite.load("net.prototxt", phase=TRAIN), []
    module()
    layer = module.core.graph.nodes[0].layer
    monkeypatch.setattr(type(layer), "close", lambda self: closed.append(self))
    del module
    assert closed == [layer]


def test_what_is_no_phase_and_no_file_is_refused(saved):
    with pytest.raises(UsageError, match=r"weights are a file, or several, not 1\n.*caffelite.TRAIN"):
        caffelite.load(saved[0], caffelite.TEST)
    with pytest.raises(UsageError, match="a phase, got 'TEST'"):
        caffelite.load(*saved, "TEST")


def test_blobs_in_the_middle_are_given_where_they_are_to_be_kept(saved):
    module = caffelite.load(*saved, keeping=["pool"])
    outputs = module(images())
    assert outputs.keys() == {"ip", "pool"}
    torch.testing.assert_close(outputs["ip"], module.ip(outputs["pool"]))
    with pytest.raises(GraphError, match=r'no blob "pol"\n.*did you mean pool'):
        caffelite.load(*saved, keeping=["pol"])


def test_what_the_guide_shows_runs(tmp_path, monkeypatch):
    shutil.copytree(REPO / "models" / "mnist", tmp_path / "models" / "mnist")
    monkeypatch.chdir(tmp_path)
    mlp = tmp_path / "models" / "mnist" / "mlp_train_test.prototxt"
    data, noise = (
        re.compile(r'layer \{\s*name: "mnist".*?\n\}\n', re.DOTALL),
        """
        layer { name: "noise" type: "DummyData" top: "data" top: "label" dummy_data_param {
          shape { dim: 4 dim: 1 dim: 28 dim: 28 } data_filler { type: "gaussian" std: 1 }
          shape { dim: 4 } data_filler { type: "constant" value: 3 } } }
        """,
    )
    text, replaced = data.subn("", mlp.read_text())
    assert replaced == 2
    mlp.write_text(noise + text)
    guide = (REPO / "docs" / "torch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    for block in blocks:
        exec(block, scope)
    assert len(blocks) == 4
    assert scope["features"][0].shape == (8, 500)
    assert scope["report"].loaded == ("conv1", "conv2", "ip1", "ip2")
    assert (tmp_path / "mlp.caffemodel").exists()
