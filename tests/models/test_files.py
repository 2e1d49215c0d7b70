"""The files of models/: sizes by hand and as published, training files that agree with those for use, solvers."""

from __future__ import annotations

import runpy
from itertools import pairwise
from math import prod
from typing import Any

import pytest
import torch

from caffelite import assembly
from caffelite.commands import perform
from caffelite.graph import Graph, state_of
from caffelite.proto import TEST, TRAIN

from .test_known_nets import MODELS, NETS

GIVEN = {"data": (2, 3, 224, 224), "label": (2,)}


def graph(path: str, phase: int = TEST, stages: tuple[str, ...] = ()) -> Graph:
    """The graph of a file in models/, for which no database need be at hand."""
    file = assembly.read_net(MODELS / path)
    given = GIVEN | ({"data": (2, 3, 227, 227)} if path.startswith("alexnet") else {})
    state = state_of(file.message, phase, stages=stages)
    return assembly.build_graph(file, state, given=given if "train_val" in path else None, missing_data=True)


def weights(net: Graph) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of every layer's weights."""
    return {node.name: [net.weights[index].shape for index in node.weights] for node in net.nodes if node.weights}


def learned(net: Graph) -> int:
    return sum(prod(weight.shape) for weight in net.weights if weight.lr_mult)


def by_hand_alexnet() -> int:
    """Weights and biases; filters of conv2, conv4 and conv5 see half of the maps."""
    convolutions = 96 * (3 * 121 + 1) + 256 * (48 * 25 + 1) + 384 * (256 * 9 + 1) + (384 + 256) * (192 * 9 + 1)
    return convolutions + 4096 * (256 * 36 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)


def by_hand_vgg16() -> int:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(out * (9 * into + 1) for into, out in pairwise(widths))
    return convolutions + 4096 * (512 * 49 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)


def by_hand_googlenet(helpers: bool) -> int:
    modules = {  # inputs, then 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
        192: [(64, 96, 128, 16, 32, 32)], 256: [(128, 128, 192, 32, 96, 64)], 480: [(192, 96, 208, 16, 48, 64)],
        512: [(160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64)],
        528: [(256, 160, 320, 32, 128, 128)], 832: [(256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)],
    }  # fmt: skip
    total = 64 * (3 * 49 + 1) + 64 * (64 + 1) + 192 * (64 * 9 + 1) + 1000 * (1024 + 1)
    for inputs, rows in modules.items():
        for one, reduce3, three, reduce5, five, pooled in rows:
            total += (one + reduce3 + reduce5 + pooled) * (inputs + 1)
            total += three * (reduce3 * 9 + 1) + five * (reduce5 * 25 + 1)
    for inputs in (512, 528) if helpers else ():
        total += 128 * (inputs + 1) + 1024 * (128 * 16 + 1) + 1000 * (1024 + 1)
    return total


def by_hand_resnet50() -> tuple[int, int]:
    """What is learned (a scale and a shift for each channel), and the channels of all BatchNorms."""
    total, normed, inputs = 64 * 3 * 49, 64, 64
    for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            total += inputs * width + 9 * width * width + width * 4 * width
            normed += 6 * width
            if block == 0:
                total, normed = total + inputs * 4 * width, normed + 4 * width
            inputs = 4 * width
    return total + 2 * normed + 1000 * (2048 + 1), normed


@pytest.mark.parametrize(
    ("path", "by_hand", "published"),
    [
        ("alexnet/deploy.prototxt", by_hand_alexnet(), 60_965_224),
        ("alexnet/train_val.prototxt", by_hand_alexnet(), 60_965_224),
        ("googlenet/deploy.prototxt", by_hand_googlenet(helpers=False), 6_998_552),
        ("googlenet/train_val.prototxt", by_hand_googlenet(helpers=True), 13_378_280),
        ("resnet50/deploy.prototxt", by_hand_resnet50()[0], 25_557_032),
        ("resnet50/train_val.prototxt", by_hand_resnet50()[0], 25_557_032),
        ("vgg16/deploy.prototxt", by_hand_vgg16(), 138_357_544),
        ("vgg16/train_val.prototxt", by_hand_vgg16(), 138_357_544),
    ],
)
def test_parameters_by_hand_and_as_published(path: str, by_hand: int, published: int) -> None:
    assert by_hand == published
    assert learned(graph(path)) == published


def test_batch_norm_collects_a_mean_and_a_variance_a_channel_and_one_factor_a_layer() -> None:
    net = graph("resnet50/deploy.prototxt")
    collected = sum(prod(weight.shape) for weight in net.weights if not weight.lr_mult)
    channels = by_hand_resnet50()[1]
    assert (2 * channels, collected - 2 * channels) == (53_120, 53)


def test_the_published_resnet50_has_biases_in_its_first_convolution() -> None:
    ours, published = (graph("resnet50/deploy.prototxt", stages=stages) for stages in ((), ("published",)))
    assert weights(ours).pop("conv1") == [(64, 3, 7, 7)]
    assert weights(published).pop("conv1") == [(64, 3, 7, 7), (64,)]
    assert learned(published) == learned(ours) + 64
    training = graph("resnet50/train_val.prototxt", TRAIN, ("published",))
    assert weights(training) == weights(published)


@pytest.mark.parametrize("name", NETS)
def test_the_references_have_as_many_parameters(name: str) -> None:
    kind = NETS[name][0]
    with torch.device("meta"):
        reference = kind(kind.side)
    count = sum(parameter.numel() for parameter in reference.parameters())
    assert count == learned(graph(f"{name}/train_val.prototxt"))


@pytest.mark.parametrize("name", NETS)
def test_weights_find_their_way_from_training_to_use(name: str) -> None:
    training, use = (weights(graph(f"{name}/{form}.prototxt")) for form in ("train_val", "deploy"))
    for layer, shapes in use.items():
        assert training.pop(layer) == shapes
    assert all(layer.startswith(("loss1/", "loss2/")) for layer in training)


@pytest.mark.parametrize("name", NETS)
def test_nothing_is_odd_about_the_files(name: str) -> None:
    for form in ("train_val", "deploy"):
        file = assembly.read_net(MODELS / name / f"{form}.prototxt")
        odd = [*file.warnings, *graph(f"{name}/{form}.prototxt").warnings]
        assert [fault for fault in odd if "no database at" not in fault.message] == []
    assert graph(f"{name}/deploy.prototxt").outputs == ("prob",)


@pytest.mark.parametrize("name", NETS)
def test_training_data_are_windows_and_mirrored_and_tests_see_every_image(name: str) -> None:
    file = assembly.read_solver(MODELS / name / "solver.prototxt")
    assert file.warnings == []
    assert file.message.net == f"models/{name}/train_val.prototxt"
    assert file.message.snapshot_prefix == f"models/{name}/{name}"
    train, test = (layer for layer in file.train.message.layer if layer.type == "Data")
    for layer in (train, test):
        assert layer.transform_param.crop_size == NETS[name][0].side
        assert len(layer.transform_param.mean_value) == 3
    assert (train.transform_param.mirror, test.transform_param.mirror) == (True, False)
    assert file.message.test_iter[0] * test.data_param.batch_size == 50_000


@pytest.mark.parametrize(
    ("name", "images", "rate", "decay", "rounds"),
    [
        ("alexnet", 256, 0.01, 0.0005, 90),
        ("googlenet", 32, 0.01, 0.0002, 60),
        ("resnet50", 256, 0.1, 0.0001, 120),
        ("vgg16", 256, 0.01, 0.0005, 74),
    ],
)
def test_solvers_have_the_published_settings(name: str, images: int, rate: float, decay: float, rounds: int) -> None:
    settings: Any = assembly.read_solver(MODELS / name / "solver.prototxt")
    train = next(layer for layer in settings.train.message.layer if layer.type == "Data")
    message = settings.message
    assert train.data_param.batch_size * message.iter_size == images
    assert [message.base_lr, message.weight_decay, message.momentum] == pytest.approx([rate, decay, 0.9])
    assert round(message.max_iter * images / 1_281_167) == rounds


def test_written_files_are_those_that_the_script_writes() -> None:
    for path, text in runpy.run_path(str(MODELS / "write_nets.py"))["files"]().items():
        assert (MODELS / path).read_text() == text, f"{path} is not what models/write_nets.py writes: run it"


@pytest.mark.parametrize(
    ("name", "parameters", "work"),
    [
        ("alexnet", "60,965,224", "724,406,816"),
        ("googlenet", "6,998,552", "1,582,671,872"),
        ("resnet50", "25,610,205", "3,857,973,248"),
        ("vgg16", "138,357,544", "15,470,264,320"),
    ],
)
def test_summary_and_the_table_of_the_read_me_say_the_same(
    name: str, parameters: str, work: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perform(["summary", str(MODELS / name / "deploy.prototxt")]) == 0
    output = capsys.readouterr().out
    total = next(line for line in output.splitlines() if " layers" in line)
    assert total.split()[2:4] == [parameters, work]
    assert ("of these parameters 53,173 are not learned" in output) == (name == "resnet50")
    row = next(line for line in (MODELS / "README.md").read_text().splitlines() if f"({name}/" in line)
    assert work in row
    assert f"{learned(graph(f'{name}/deploy.prototxt')):,}" in row
