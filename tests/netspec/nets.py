"""Nets of models/, written in Python."""

from __future__ import annotations

from typing import Any

from caffelite import TEST, TRAIN
from caffelite import layers as L
from caffelite import params as P
from caffelite.netspec import NetSpec, Top

Blobs = tuple[Top, Top]
ONCE_AND_TWICE = [dict(lr_mult=1), dict(lr_mult=2)]
CONSTANT = dict(type="constant")


def by_phase(n: Any, name: str, train: dict[str, Any], test: dict[str, Any], transform: Any) -> None:
    """Two Data layers of one name, a phase each; NetSpec knows the tops of the first."""
    settings = dict(backend=P.Data.LMDB, name=name)
    n.data, n.label = L.Data(include=dict(phase=TRAIN), transform_param=transform(TRAIN), ntop=2, **train, **settings)
    n.test_data = L.Data(
        include=dict(phase=TEST), transform_param=transform(TEST), ntop=0, top=["data", "label"], **test, **settings
    )


def lenet() -> Any:
    """models/mnist/lenet_train_test.prototxt."""
    n = NetSpec()
    train = dict(source="data/mnist/mnist_train_lmdb", batch_size=64)
    test = dict(source="data/mnist/mnist_test_lmdb", batch_size=100)
    by_phase(n, "mnist", train, test, lambda phase: dict(scale=0.00390625))
    learned = dict(param=ONCE_AND_TWICE, weight_filler=dict(type="xavier"), bias_filler=CONSTANT)
    n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5, stride=1, **learned)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.conv2 = L.Convolution(n.pool1, num_output=50, kernel_size=5, stride=1, **learned)
    n.pool2 = L.Pooling(n.conv2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, **learned)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10, **learned)
    n.accuracy = L.Accuracy(n.ip2, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n


def alexnet() -> Any:
    """models/alexnet/train_val.prototxt."""
    n = NetSpec()
    train = dict(source="data/ilsvrc12/train_lmdb", batch_size=256)
    test = dict(source="data/ilsvrc12/val_lmdb", batch_size=50)
    mean = (104, 117, 123)
    by_phase(n, "data", train, test, lambda phase: dict(crop_size=227, mirror=phase == TRAIN, mean_value=mean))
    rates = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]

    def learned(type: Any, bottom: Top, std: float, bias: dict[str, float], **settings: Any) -> Top:
        fillers = dict(weight_filler=dict(type="gaussian", std=std), bias_filler=CONSTANT | bias)
        return type(bottom, param=rates, **fillers, **settings)

    def conv_relu(bottom: Top, bias: dict[str, float], **settings: Any) -> Blobs:
        conv = learned(L.Convolution, bottom, 0.01, bias, **settings)
        return conv, L.ReLU(conv, in_place=True)

    def norm_pool(bottom: Top) -> Blobs:
        norm = L.LRN(bottom, local_size=5, alpha=0.0001, beta=0.75)
        return norm, L.Pooling(norm, pool=P.Pooling.MAX, kernel_size=3, stride=2)

    def fc_relu_drop(bottom: Top) -> tuple[Top, Top, Top]:
        fc = learned(L.InnerProduct, bottom, 0.005, dict(value=0.1), num_output=4096)
        relu = L.ReLU(fc, in_place=True)
        return fc, relu, L.Dropout(relu, in_place=True, dropout_ratio=0.5)

    n.conv1, n.relu1 = conv_relu(n.data, {}, num_output=96, kernel_size=11, stride=4)
    n.norm1, n.pool1 = norm_pool(n.relu1)
    n.conv2, n.relu2 = conv_relu(n.pool1, dict(value=0.1), num_output=256, kernel_size=5, pad=2, group=2)
    n.norm2, n.pool2 = norm_pool(n.relu2)
    n.conv3, n.relu3 = conv_relu(n.pool2, {}, num_output=384, kernel_size=3, pad=1)
    n.conv4, n.relu4 = conv_relu(n.relu3, dict(value=0.1), num_output=384, kernel_size=3, pad=1, group=2)
    n.conv5, n.relu5 = conv_relu(n.relu4, dict(value=0.1), num_output=256, kernel_size=3, pad=1, group=2)
    n.pool5 = L.Pooling(n.relu5, pool="MAX", kernel_size=3, stride=2)
    n.fc6, n.relu6, n.drop6 = fc_relu_drop(n.pool5)
    n.fc7, n.relu7, n.drop7 = fc_relu_drop(n.drop6)
    n.fc8 = learned(L.InnerProduct, n.drop7, 0.01, {}, num_output=1000)
    n.accuracy = L.Accuracy(n.fc8, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.fc8, n.label)
    return n


def resnet50() -> Any:
    """models/resnet50/deploy.prototxt."""
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 224, 224]))
    stem = dict(num_output=64, kernel_size=7, stride=2, pad=3, name="conv1")
    n.conv1 = L.Convolution(n.data, bias_term=False, exclude=dict(stage="published"), **stem)
    n.published = L.Convolution(n.data, include=dict(stage="published"), ntop=0, top="conv1", **stem)

    def normed(suffix: str, bottom: Top) -> Top:
        norm = n[f"bn{suffix}"] = L.BatchNorm(bottom, in_place=True)
        n[f"scale{suffix}"] = L.Scale(norm, bias_term=True, in_place=True)
        return n[f"scale{suffix}"]

    def branch(block: str, way: str, bottom: Top, **window: int) -> Top:
        setattr(n, f"res{block}_{way}", L.Convolution(bottom, bias_term=False, **window))
        return normed(f"{block}_{way}", getattr(n, f"res{block}_{way}"))

    def relu(name: str, bottom: Top) -> Top:
        n[f"{name}_relu"] = L.ReLU(bottom, in_place=True)
        return n[f"{name}_relu"]

    below = n.pool1 = L.Pooling(relu("conv1", normed("_conv1", n.conv1)), pool="MAX", kernel_size=3, stride=2)
    for stage, (count, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 2):
        for block in [f"{stage}{letter}" for letter in "abcdef"[:count]]:
            stride = dict(stride=2) if block.endswith("a") and stage > 2 else {}
            shortcut = below
            if block.endswith("a"):
                shortcut = branch(block, "branch1", below, num_output=4 * width, kernel_size=1, **stride)
            inner = branch(block, "branch2a", below, num_output=width, kernel_size=1, **stride)
            inner = relu(f"res{block}_branch2a", inner)
            inner = branch(block, "branch2b", inner, num_output=width, kernel_size=3, pad=1)
            inner = relu(f"res{block}_branch2b", inner)
            inner = branch(block, "branch2c", inner, num_output=4 * width, kernel_size=1)
            n[f"res{block}"] = L.Eltwise(shortcut, inner)
            below = relu(f"res{block}", n[f"res{block}"])
    n.pool5 = L.Pooling(below, pool=P.Pooling.AVE, global_pooling=True)
    n.fc1000 = L.InnerProduct(n.pool5, num_output=1000)
    n.prob = L.Softmax(n.fc1000)
    return n
