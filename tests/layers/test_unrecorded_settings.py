"""Settings that no recorded case uses: what they must change, or leave alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from caffelite.proto import TEST, TRAIN, NetParameter
from caffelite.upgrade import upgrade_net

from ..data.by_hand import batch, layer_from, opened
from ..data.databases import numbered, write_images
from ..nets import graph_of, net_of
from .alone import build, run_at

ENGINES = {
    "Convolution": "convolution_param {{ engine: {} num_output: 2 kernel_size: 3 pad: 1 }}",
    "Deconvolution": "convolution_param {{ engine: {} num_output: 2 kernel_size: 2 stride: 2 }}",
    "LRN": "lrn_param {{ engine: {} local_size: 3 alpha: 0.5 }}",
    "Pooling": "pooling_param {{ engine: {} kernel_size: 3 stride: 2 }}",
    "ReLU": "relu_param {{ engine: {} negative_slope: 0.25 }}",
    "SPP": "spp_param {{ engine: {} pyramid_height: 2 }}",
    "Sigmoid": "sigmoid_param {{ engine: {} }}",
    "Softmax": "softmax_param {{ engine: {} axis: 2 }}",
    "TanH": "tanh_param {{ engine: {} }}",
}


def value_and_gradient(text: str) -> list[np.ndarray]:
    """A layer's top for fixed bottom and weights, and the bottom's gradient."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((2, 3, 6, 6), generator=generator).sub(0.5).requires_grad_()
    layer, _ = build(text, tuple(x.shape))
    weights = [torch.rand(spec.shape, generator=generator) for spec in layer.weights]
    (top,) = layer.forward(run_at(), [x], weights)
    top.square().sum().backward()
    assert x.grad is not None
    return [top.detach().numpy(), x.grad.numpy()]


@pytest.mark.parametrize("kind", ENGINES)
def test_the_engine_does_not_change_a_layer(kind: str) -> None:
    """The original's engines are two codes for one formula."""
    results = [
        value_and_gradient(f'name: "l" type: "{kind}" bottom: "x" top: "y" {ENGINES[kind].format(engine)}')
        for engine in ("DEFAULT", "CAFFE", "CUDNN")
    ]
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("observed", [False, True])
def test_an_embedding_begins_with_its_fillers_and_learns_from_every_occurrence(observed: bool) -> None:
    """y = W[i] + b: with the sum of all y as loss, dW[i] is how often i occurs and db how many indices there are."""
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 } } }
    layer { name: "e" type: "Embed" bottom: "x" top: "y" embed_param { input_dim: 4 num_output: 2
      weight_filler { type: "constant" value: 0.5 } bias_filler { type: "constant" value: -2 } } }
    layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }
    """
    net = net_of(text, TEST, observed=observed)
    net.blobs["x"].data[...] = [0, 3, 0]
    assert net.forward_backward() == 6 * (0.5 - 2)
    np.testing.assert_array_equal(net.params["e"][0].diff, [[2, 2], [0, 0], [0, 0], [1, 1]])
    np.testing.assert_array_equal(net.params["e"][1].diff, [3, 3])


def test_force_encoded_color_changes_nothing_and_is_warned_of(tmp_path: Path) -> None:
    path = write_images(tmp_path / "db", numbered(2))
    text = (
        'name: "d" type: "Data" top: "x" '
        f'data_param {{ source: "{path}" batch_size: 2 backend: LMDB force_encoded_color: true }}'
    )
    with opened(layer_from(text)) as layer:
        assert layer.shapes([]) == [(2, 1, 4, 4)]
        np.testing.assert_array_equal(batch(layer)[0], numbered(2))
        assert [fault.message.split(":")[0] for fault in layer.warnings()] == ["force_encoded_color has no effect"]


@pytest.mark.parametrize(
    ("layer", "read"),
    [
        ('type: "ImageData" image_data_param { scale: 2 mean_file: "m" crop_size: 3 mirror: true }', []),
        ('type: "WindowData" window_data_param { scale: 2 mean_file: "m" crop_size: 3 mirror: true }', ["scale"]),
    ],
)
def test_transformations_among_a_data_layers_own_settings_are_left_there_and_warned_of(
    layer: str, read: list[str]
) -> None:
    """`src/caffe/util/upgrade_proto.cpp` moves them in V1 `layers` only; `window_data_layer.cpp` reads its scale."""
    net = text_format.Parse(f"layer {{ {layer} }}", NetParameter())
    upgraded = upgrade_net(net)
    assert upgraded.message == net
    warned = [note.message.split()[0].split(".")[1] for note in upgraded.notes if note.severity == "warning"]
    assert warned == [field for field in ("scale", "mean_file", "crop_size", "mirror") if field not in read]


def test_the_phase_a_net_is_built_in_wins_over_the_one_its_file_names() -> None:
    """`src/caffe/net.cpp`: the constructor's phase is put over `state`, whose level and stages stay."""
    text = """
    state { phase: TRAIN level: 2 stage: "a" }
    layer { name: "train" type: "DummyData" top: "x" include { phase: TRAIN }
      dummy_data_param { shape { dim: 1 } } }
    layer { name: "test" type: "DummyData" top: "x" include { phase: TEST min_level: 2 stage: "a" }
      dummy_data_param { shape { dim: 1 } } }
    """
    for phase, name in ((TRAIN, "train"), (TEST, "test")):
        assert [node.name for node in graph_of(text, phase).nodes] == [name]
