"""The prototxt files of models/mnist say what they are said to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from caffelite.proto import NetParameter, SolverParameter
from caffelite.upgrade import upgrade_net

MODELS = Path(__file__).parents[2] / "models" / "mnist"
SOLVERS = sorted(path.name for path in MODELS.glob("*_solver.prototxt"))


def net(name: str) -> Any:
    return text_format.Parse((MODELS / name).read_text(encoding="utf-8"), NetParameter())


def solver(name: str) -> Any:
    return text_format.Parse((MODELS / name).read_text(encoding="utf-8"), SolverParameter())


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_names_a_net_that_is_there_and_tests_the_whole_test_set(name: str) -> None:
    settings = solver(name)
    assert (MODELS.parents[1] / settings.net).is_file()
    message = upgrade_net(net(Path(settings.net).name)).message
    (test,) = (layer for layer in message.layer if layer.type == "Data" and layer.include[0].phase)
    digits = 300 if "digits" in name else 10000
    assert settings.test_iter[0] * test.data_param.batch_size == digits
    assert settings.snapshot_prefix == f"models/mnist/{name.removesuffix('_solver.prototxt')}"


def test_lenet_has_the_classic_layers_and_settings() -> None:
    layers = {layer.name: layer for layer in net("lenet_train_test.prototxt").layer}
    assert [layers[name].convolution_param.num_output for name in ("conv1", "conv2")] == [20, 50]
    assert [list(layers[name].convolution_param.kernel_size) for name in ("conv1", "conv2")] == [[5], [5]]
    assert [layers[name].inner_product_param.num_output for name in ("ip1", "ip2")] == [500, 10]
    for name in ("conv1", "conv2", "ip1", "ip2"):
        assert [param.lr_mult for param in layers[name].param] == [1, 2]
    settings = solver("lenet_solver.prototxt")
    assert (settings.max_iter, settings.lr_policy) == (10000, "inv")
    assert [settings.base_lr, settings.momentum, settings.weight_decay, settings.gamma, settings.power] == (
        pytest.approx([0.01, 0.9, 0.0005, 0.0001, 0.75])
    )


def test_the_old_spelling_says_the_same_as_the_new() -> None:
    old, new = upgrade_net(net("lenet_v1_train_test.prototxt")).message, net("lenet_train_test.prototxt")
    assert len(old.layer) == len(new.layer)
    for one, other in zip(old.layer, new.layer, strict=True):
        # What the two spellings may write or leave out: values that are the schema's default.
        for message in (one, other):
            if message.HasField("convolution_param") and list(message.convolution_param.stride) == [1]:
                message.convolution_param.ClearField("stride")
        assert one == other, one.name
    settings = [solver(f"{name}_solver.prototxt") for name in ("lenet", "lenet_v1")]
    for each in settings:
        each.ClearField("net")
        each.ClearField("snapshot_prefix")
    assert settings[0] == settings[1]


def test_the_stand_in_trains_the_same_net() -> None:
    ours, lenet = net("lenet_digits_train_test.prototxt"), net("lenet_train_test.prototxt")
    for message in (ours, lenet):
        for layer in message.layer:
            layer.data_param.ClearField("source")
    assert ours == lenet


def wiring(layer: Any) -> tuple[Any, ...]:
    """What makes two layers take the same weights and compute the same."""
    convolution, inner, pooling = layer.convolution_param, layer.inner_product_param, layer.pooling_param
    windows = (list(convolution.kernel_size), convolution.num_output, pooling.kernel_size, pooling.stride, pooling.pool)
    return (layer.type, list(layer.bottom), list(layer.top), inner.num_output, windows)


def test_the_deploy_net_is_the_trained_one_between_input_and_probabilities() -> None:
    deploy, trained = net("lenet_deploy.prototxt").layer, net("lenet_train_test.prototxt").layer
    assert deploy[0].type == "Input" and list(deploy[0].input_param.shape[0].dim)[1:] == [1, 28, 28]
    assert (deploy[-1].type, list(deploy[-1].bottom)) == ("Softmax", ["ip2"])
    inner = [layer for layer in trained if layer.type not in ("Data", "Accuracy", "SoftmaxWithLoss")]
    assert [(layer.name, wiring(layer)) for layer in deploy[1:-1]] == [(layer.name, wiring(layer)) for layer in inner]
