"""Every layer type's example: it is short, runs, and sends gradients back where the type has any."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import caffelite
from caffelite import prototxt
from caffelite.layerkit import layers
from caffelite.net.blob import Blob
from caffelite.proto import TEST, TRAIN, NetParameter

from ..data.databases import numbered, write_images

WITHOUT_GRADIENT = {"ArgMax", "Silence"}
"""Types whose bottoms get none, or zeros, though none is a label."""
LOSSES = """
import caffelite


class AbsoluteLoss(caffelite.Layer):
    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[...] = abs(bottom[0].data - bottom[1].data).sum() / bottom[0].num

    def backward(self, top, propagate_down, bottom):
        sign = ((bottom[0].data > bottom[1].data) * 2 - 1) / bottom[0].num
        bottom[0].diff[...], bottom[1].diff[...] = top[0].diff * sign, -top[0].diff * sign
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that examples read."""
    folder = tmp_path_factory.mktemp("examples")
    write_images(folder / "mnist_train_lmdb", numbered(5, (1, 28, 28)))
    for number in range(2):
        Image.fromarray(np.full((40, 48, 3), 50 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "list.txt").write_text("0.png 0\n1.png 1\n")
    window = "0.png\n3\n40\n48\n2\n7 0.9 2 2 30 30\n0 0.1 10 10 40 38\n"
    (folder / "windows.txt").write_text(f"# 0\n{window}")
    with h5py.File(folder / "train.h5", "w") as file:
        file["data"], file["label"] = np.ones((12, 3)), np.arange(12.0)
    (folder / "train_h5_list.txt").write_text("train.h5\n")
    (folder / "losses.py").write_text(LOSSES)
    with chdir(folder):
        yield folder
    sys.modules.pop("losses", None)


def net_of(text: str, phase: int) -> caffelite.Net:
    Path("example.prototxt").write_text(f"force_backward: true\n{text}")
    net = caffelite.Net("example.prototxt", phase)
    first = net.layers[0]
    if first.type == "MemoryData":
        shape = net.blobs["data"].shape
        net.set_input_arrays(np.ones(shape, np.float32), np.ones(shape[:1], np.float32))
    return net


def fill(net: caffelite.Net) -> None:
    """Numbers from 0.1 to 1; 0 and 1 where labels, indices or marks are read."""
    chance = np.random.default_rng(0)
    counted = {node.bottoms[at] for node in net.core.graph.nodes for at in node.layer.ungraded if at < len(node.bottoms)}
    for name in net.inputs:
        blob = net.blobs[name]
        values = chance.integers(0, 2, blob.shape) if name in counted else chance.uniform(0.1, 1, blob.shape)
        blob.data[...] = values


def moved(blob: Blob) -> bool:
    """Whether a gradient has come here, all of it finite."""
    return bool(np.isfinite(blob.diff).all() and blob.diff.any())


@pytest.mark.parametrize("type", layers)
def test_an_example_is_short(type: str) -> None:
    lines = inspect.cleandoc(layers[type].example).splitlines()
    assert 2 <= len(lines) <= 12
    assert max(map(len, lines)) <= 112
    assert type in [layer.type for layer in prototxt.loads("\n".join(lines), NetParameter).message.layer]


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("type", layers)
def test_an_example_runs(type: str, phase: int, folder: Path) -> None:
    example = inspect.cleandoc(layers[type].example)
    net = net_of(example, phase)
    shown = [node for node in net.core.graph.nodes if node.type == type]
    if not shown:
        assert f"phase: {('TEST', 'TRAIN')[phase == TRAIN]}" not in example
        assert "include" in example
        return
    fill(net)
    net.forward()
    for blob in net.blobs.values():
        assert np.isfinite(blob.data).all()
    for node in shown:
        for top in node.tops:
            assert type == "Input" or net.blobs[top].data.any() or type == "Parameter", top
    starts = {name: np.linspace(1, 2, net.blobs[name].data.size) for name in net.outputs}
    starts = {name: start.reshape(net.blobs[name].shape) for name, start in starts.items()}
    net.backward(**{name: start for name, start in starts.items() if not net.blob_loss_weights[name]})
    for node in shown:
        if type not in WITHOUT_GRADIENT:
            for position, bottom in enumerate(node.bottoms):
                assert position in node.layer.ungraded or moved(net.blobs[bottom]), bottom
            for row in net.params.get(node.name, []):
                assert type == "BatchNorm" or moved(row)
    net.core.close()


SAID = {"May work in place.": True, "Cannot work in place.": False}


@pytest.mark.parametrize("type", layers)
def test_what_is_said_about_working_in_place_is_so(type: str, folder: Path) -> None:
    said = [works for words, works in SAID.items() if words in " ".join((layers[type].__doc__ or "").split())]
    print(type, said)
