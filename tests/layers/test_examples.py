"""Every layer type's example: it is short, it runs, and gradients come back where the type has any."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

import caffelite
from caffelite import prototxt
from caffelite.layerkit import layers
from caffelite.layerkit.neuron import Neuron
from caffelite.proto import TEST, TRAIN, AnnotatedDatum, NetParameter

from ..data.databases import numbered, write_images, write_values

TYPES = list(layers)
UNREAD = ["Python@RoIDataLayer", "VideoData@SSD"]
"""Types whose nets can be looked at, but do not run."""
LOSSES = """
import caffelite
import numpy


class AbsoluteLoss(caffelite.Layer):
    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        self.difference = bottom[0].data - bottom[1].data
        top[0].data[...] = abs(self.difference).sum() / bottom[0].num

    def backward(self, top, propagate_down, bottom):
        for blob, sign in zip(bottom, (1, -1)):
            blob.diff[...] = sign * top[0].diff * numpy.sign(self.difference) / blob.num
"""
WINDOWS = "# 0\n0.png\n3\n40\n48\n2\n7 0.9 2 2 30 30\n0 0.1 10 10 40 38\n"


def write_videos(folder: Path) -> None:
    """Two videos of 12 frames, as images and as optical flow, and two clips with a truth for every voxel."""
    for video in range(2):
        (folder / f"v{video}").mkdir()
        for frame in range(1, 13):
            names = [f"{frame:06d}.jpg", f"flow_x_{frame:04d}.jpg", f"flow_y_{frame:04d}.jpg"]
            for name in names:
                Image.fromarray(np.full((40, 48, 3), 20 * frame, np.uint8)).save(folder / f"v{video}" / name)
        voxels = np.arange(4 * 4 * 10 * 10, dtype=np.uint8)
        (folder / f"c{video}").write_bytes(np.array((1, 4, 4, 10, 10), "<i4").tobytes() + voxels.tobytes())
    (folder / "clips.txt").write_text("v0 1 1\nv1 3 2\n")
    (folder / "flow.txt").write_text("v0 12 1\nv1 12 2\n")
    (folder / "voxels.txt").write_text("c0\nc1\n")


@pytest.fixture(scope="module", autouse=True)
def _files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What examples read, in the working directory."""
    folder = tmp_path_factory.mktemp("examples")
    write_images(folder / "mnist_train_lmdb", numbered(5, (1, 28, 28)))
    annotated = AnnotatedDatum(type=AnnotatedDatum.BBOX, datum={"channels": 3, "height": 40, "width": 48})
    annotated.datum.data = bytes([9]) * (3 * 40 * 48)
    box = annotated.annotation_group.add(group_label=1).annotation.add().bbox
    box.xmin = box.ymin = 0.2
    box.xmax = box.ymax = 0.6
    write_values(folder / "voc_train_lmdb", [annotated.SerializeToString()])
    for number in range(2):
        Image.fromarray(np.full((40, 48, 3), 50 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "list.txt").write_text("0.png 0\n1.png 1\n")
    Image.fromarray(np.arange(40 * 48, dtype=np.uint8).reshape(40, 48) % 5).save(folder / "labels.png")
    (folder / "pairs.txt").write_text("1.png labels.png\n1.png labels.png\n")
    Image.fromarray(np.eye(40, 48, dtype=np.uint8) * 255).save(folder / "map.png")
    (folder / "maps.txt").write_text("1.png map.png\n1.png map.png\n")
    (folder / "boxes.txt").write_text("1.png labels.png 2 2 30 30\n1.png labels.png 10 10 40 38\n")
    (folder / "windows.txt").write_text(WINDOWS)
    write_videos(folder)
    with h5py.File(folder / "train.h5", "w") as file:
        file["data"], file["label"] = np.ones((12, 3)), np.arange(12.0)
    (folder / "train_h5_list.txt").write_text("train.h5\n")
    (folder / "losses.py").write_text(LOSSES)
    with chdir(folder):
        yield
    sys.modules.pop("losses", None)


def example_of(kind: str) -> Any:
    """The NetParameter of a type's example."""
    return prototxt.loads(inspect.cleandoc(layers[kind].example), NetParameter).message


def run(message: Any, phase: int) -> caffelite.Net:
    """A net that has gone forward and, from whatever it gives out, backward."""
    message.force_backward = True
    path = Path("example.prototxt")
    path.write_text(text_format.MessageToString(message))
    caffelite.set_random_seed(3)
    net = caffelite.Net(path, phase)
    if net.layers[0].type == "MemoryData":
        shape = net.blobs["data"].shape
        net.set_input_arrays(np.ones(shape, np.float32), np.ones(shape[:1], np.float32))
    fill(net)
    net.forward()
    outputs = {name: net.blobs[name].shape for name in net.outputs if not net.blob_loss_weights[name]}
    net.backward(**{name: np.linspace(1, 2, int(np.prod(shape))).reshape(shape) for name, shape in outputs.items()})
    return net


def fill(net: caffelite.Net) -> None:
    """Into the inputs numbers from -0.5 to 1; but 0 and 1 where labels, indices or marks are read."""
    chance = np.random.default_rng(0)
    nodes = net.core.graph.nodes
    whole = {blob for node in nodes for at, blob in enumerate(node.bottoms) if at in node.layer.ungraded}
    for name in net.inputs:
        shape = net.blobs[name].shape
        net.blobs[name].data[...] = chance.integers(0, 2, shape) if name in whole else chance.uniform(-0.5, 1, shape)
    if any(node.type in ("MultiBoxLoss", "MultiBoxFocalLoss") for node in nodes):
        priors = net.blobs["prior"].shape[2] // 4
        net.blobs["prior"].data[...] = np.stack([np.tile([0.1, 0.1, 0.6, 0.6], priors), np.full(4 * priors, 0.1)])
        net.blobs["label"].data[...] = [[0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0], [1, 2, 0, 0.2, 0.2, 0.6, 0.6, 0], [-1] * 8]
    if any(node.type == "SetLoss2" for node in nodes):
        net.blobs["label"].data[...] = [0, 0, 0, 0, 1, 1, 1, 1]


def came(gradient: np.ndarray) -> bool:
    """Whether it is a gradient: all of it finite, and not all of it 0."""
    return bool(np.isfinite(gradient).all() and gradient.any())


@pytest.mark.parametrize("kind", TYPES)
def test_it_is_short(kind: str) -> None:
    lines = inspect.cleandoc(layers[kind].example).splitlines()
    assert 2 <= len(lines) <= 12
    assert max(map(len, lines)) <= 112
    assert layers[kind].type in [layer.type for layer in example_of(kind).layer]


@pytest.mark.parametrize("kind", UNREAD)
def test_what_does_not_run_says_so(kind: str) -> None:
    with pytest.raises(caffelite.CaffeliteError, match="cannot be read"):
        run(example_of(kind), TEST)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind not in UNREAD])
def test_it_runs_and_sends_gradients_back(kind: str, phase: int) -> None:
    net = run(example_of(kind), phase)
    shown = [node for node in net.core.graph.nodes if type(node.layer) is layers[kind]]
    assert shown
    told = [tuple(map(int, shape.split("×"))) for shape in re.findall(r"\d+(?:×\d+)+", layers[kind].example)]
    assert told in ([], [net.blobs[top].shape for node in shown for top in node.tops])
    assert all(np.isfinite(blob.data).all() for blob in net.blobs.values())
    for node in shown:
        assert all(net.blobs[top].data.any() for top in node.tops) or kind == "Parameter"  # which begins as 0
        graded = [blob for at, blob in enumerate(node.bottoms) if at not in node.layer.ungraded]
        if kind != "Silence":  # which sends nothing down
            assert all(came(net.blobs[blob].diff) for blob in graded)
        learned = [spec.learned for spec in node.layer.weights]  # others are statistics
        assert all(came(weight.diff) for weight, own in zip(net.params.get(node.name, []), learned, strict=True) if own)
    net.core.close()


def says(kind: str, words: str) -> bool:
    return words in " ".join((layers[kind].__doc__ or "").split())


MAY = [kind for kind in TYPES if says(kind, "May work in place")]
CANNOT = [kind for kind in TYPES if says(kind, "Cannot work in place")]
OTHER_GRADIENT = {"BNLL", "Clip", "Log", "SeLu"}
"""Types whose backward in place is the original's: their docstrings tell."""


def in_place(kind: str) -> Any:
    """Its example, with the layer's first bottom as its top."""
    message = example_of(kind)
    shown = next(layer for layer in message.layer if layer.type == layers[kind].type)
    top, bottom = shown.top[0], shown.bottom[0]
    for layer in message.layer:
        for names in (layer.top, layer.bottom):
            names[:] = [bottom if name == top else name for name in names]
    return message


@pytest.mark.parametrize("kind", sorted({*MAY} - {"Python"}))  # where it depends on the class
def test_what_may_work_in_place_gives_the_same_there(kind: str) -> None:
    apart, within = run(example_of(kind), TRAIN), run(in_place(kind), TRAIN)
    bottom, top = apart.inputs[0], apart.outputs[0]
    np.testing.assert_array_equal(within.blobs[bottom].data, apart.blobs[top].data)
    if kind not in OTHER_GRADIENT and 0 not in layers[kind].ungraded:
        np.testing.assert_allclose(within.blobs[bottom].diff, apart.blobs[bottom].diff, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", CANNOT)
def test_what_cannot_work_in_place_says_so(kind: str) -> None:
    with pytest.raises(caffelite.CaffeliteError, match="cannot work in place"):
        run(in_place(kind), TRAIN)


def test_every_activation_says_whether_it_works_in_place() -> None:
    assert {kind for kind in TYPES if issubclass(layers[kind], Neuron)} <= {*MAY, *CANNOT}
