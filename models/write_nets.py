"""Writes GoogLeNet and ResNet-50, too long to write by hand: train_val.prototxt and deploy.prototxt of each.

The tables below are those of the papers.  To change a net, change this file and run

    python models/write_nets.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from caffelite.prototxt import formatted

DATA = """\
layer {{
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  include {{ phase: {phase} }}
  transform_param {{
    crop_size: 224              # {crop}
    mirror: {mirror}
    mean_value: 104             # blue, subtracted from every pixel
    mean_value: 117             # green
    mean_value: 123             # red
  }}
  data_param {{
    source: "data/ilsvrc12/{lmdb}"
    batch_size: {batch}
    backend: LMDB
  }}
}}
"""

INPUT = """\
layer {
  name: "data"
  type: "Input"
  top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } }   # images at a time; blue, green, red; rows; columns
}
"""

TRAINING = """\
#
#   caffelite data convert-imageset images/train train.txt data/ilsvrc12/train_lmdb \\
#     --shuffle --resize_height 256 --resize_width 256      makes a database of images and labels; val_lmdb likewise
#   caffelite train --solver models/{folder}/solver.prototxt --gpu 0
"""

USE = """\
#
# For use: no labels and no loss; images go in through the Input layer, probabilities come out.  Whoever fills "data"
# does what the Data layer did: pixels from 0 to 255 less 104 (blue), 117 (green), 123 (red).
"""

WRITTEN = """\
#
# This file is written by models/write_nets.py: change that one.
"""

MAX_3_2 = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
WHOLE_IMAGE = "pooling_param { pool: AVE global_pooling: true }"


# -- pieces of text ---------------------------------------------------------------------------------------------------


def say(text: str) -> str:
    """A comment in front of the next layer."""
    return "\n" + "".join(f"# {line}\n" for line in wrap(text, 118))


def layer(name: str, type: str, bottoms: str | Sequence[str], *body: str, top: str = "") -> str:
    """A layer with the further lines `body`; its top has the layer's name where nothing is said."""
    bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
    lines = [f'name: "{name}"', f'type: "{type}"', *(f'bottom: "{bottom}"' for bottom in bottoms)]
    lines += [f'top: "{top or name}"', *body]
    return "layer {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def relu(name: str, blob: str) -> str:
    """In place."""
    return layer(name, "ReLU", blob, top=blob)


def settings(kind: str, *fields: str) -> list[str]:
    """The lines of `kind { … }`, one a field."""
    return [f"{kind} {{", *(f"  {field}" for field in fields), "}"]


def window(kernel: int, stride: int) -> list[str]:
    """A convolution's window, padded so that stride 1 keeps the size."""
    pad = [f"pad: {kernel // 2}"] if kernel > 1 else []
    return [f"kernel_size: {kernel}", *([f"stride: {stride}"] if stride > 1 else []), *pad]


def beginning(name: str, about: str, training: bool) -> str:
    """What stands at the top of the file, and where images come from."""
    head = about + (TRAINING.format(folder=name.lower().replace("-", "")) if training else USE) + WRITTEN
    sources = INPUT
    if training:
        random = DATA.format(
            phase="TRAIN", batch=32, crop="a random window of the 256 x 256 image", mirror="true", lmdb="train_lmdb"
        )
        sources = random + DATA.format(
            phase="TEST", batch=50, crop="the window in the middle", mirror="false", lmdb="val_lmdb"
        )
    return f'{head}name: "{name}"\n\n{sources}'


def ending(scores: str, loss: str, *weight: str, top: str = "", prefix: str = "") -> str:
    """The loss on some scores, and how often the true class is the first, or one of the first five, of them."""
    compared, test = [scores, "label"], "include { phase: TEST }"
    return (
        layer(loss, "SoftmaxWithLoss", compared, *weight, top=top)
        + layer(f"{prefix}top-1", "Accuracy", compared, test)
        + layer(f"{prefix}top-5", "Accuracy", compared, test, "accuracy_param { top_k: 5 }")
    )


# -- GoogLeNet --------------------------------------------------------------------------------------------------------

INCEPTION = {
    # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Numbers of filters of the modules: Table 1 of the paper."""

GOOGLENET = """\
# GoogLeNet (Szegedy et al., "Going deeper with convolutions", 2015), the winner of ILSVRC 2014: 22 layers with weights,
# and a ninth of AlexNet's parameters.
"""


def learned(training: bool, kind: str, fields: Sequence[str], bias: str = "value: 0.2") -> list[str]:
    """A layer's settings in GoogLeNet; in training with rates (of weights, of biases) and fillers."""
    if not training:
        return settings(kind, *fields)
    fillers = 'weight_filler { type: "xavier" }', f'bias_filler {{ type: "constant" {bias} }}'
    rates = "param { lr_mult: 1 decay_mult: 1 }", "param { lr_mult: 2 decay_mult: 0 }"
    return [*rates, *settings(kind, *fields, *fillers)]


def convolved(training: bool, module: str, name: str, bottom: str, outputs: int, kernel: int, stride: int = 1) -> str:
    """A convolution and its ReLU, called "module/name" and "module/relu_name"."""
    fields = [f"num_output: {outputs}", *window(kernel, stride)]
    whole = f"{module}/{name}"
    convolution = layer(whole, "Convolution", bottom, *learned(training, "convolution_param", fields))
    return convolution + relu(f"{module}/relu_{name.removesuffix('_s2')}", whole)


def inception(training: bool, module: str, bottom: str) -> str:
    """Four ways of looking at the same maps, side by side."""
    one, reduce3, three, reduce5, five, projection = INCEPTION[module]
    name = f"inception_{module}"
    return (
        convolved(training, name, "1x1", bottom, one, 1)
        + convolved(training, name, "3x3_reduce", bottom, reduce3, 1)
        + convolved(training, name, "3x3", f"{name}/3x3_reduce", three, 3)
        + convolved(training, name, "5x5_reduce", bottom, reduce5, 1)
        + convolved(training, name, "5x5", f"{name}/5x5_reduce", five, 5)
        + layer(f"{name}/pool", "Pooling", bottom, "pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 }")
        + convolved(training, name, "pool_proj", f"{name}/pool", projection, 1)
        + layer(f"{name}/output", "Concat", [f"{name}/{way}" for way in ("1x1", "3x3", "5x5", "pool_proj")])
    )


def helper(name: str, bottom: str) -> str:
    """A classifier in the middle of the net."""
    return (
        layer(f"{name}/ave_pool", "Pooling", bottom, "pooling_param { pool: AVE kernel_size: 5 stride: 3 }")
        + convolved(True, name, "conv", f"{name}/ave_pool", 128, 1)
        + layer(
            f"{name}/fc", "InnerProduct", f"{name}/conv", *learned(True, "inner_product_param", ["num_output: 1024"])
        )
        + relu(f"{name}/relu_fc", f"{name}/fc")
        + layer(f"{name}/drop_fc", "Dropout", f"{name}/fc", "dropout_param { dropout_ratio: 0.7 }", top=f"{name}/fc")
        + classifier(True, f"{name}/classifier", f"{name}/fc")
    )


def classifier(training: bool, name: str, bottom: str) -> str:
    """A score for each of the 1000 classes."""
    body = learned(training, "inner_product_param", ["num_output: 1000"], "value: 0")
    return layer(name, "InnerProduct", bottom, *body)


def googlenet(training: bool) -> Iterator[str]:
    """The net, piece by piece."""
    lrn = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    yield beginning("GoogLeNet", GOOGLENET, training)
    yield say("The stem: from 224 x 224 down to 28 x 28.")
    yield convolved(training, "conv1", "7x7_s2", "data", 64, 7, 2)
    yield layer("pool1/3x3_s2", "Pooling", "conv1/7x7_s2", MAX_3_2)
    yield layer("pool1/norm1", "LRN", "pool1/3x3_s2", lrn)
    yield convolved(training, "conv2", "3x3_reduce", "pool1/norm1", 64, 1)
    yield convolved(training, "conv2", "3x3", "conv2/3x3_reduce", 192, 3)
    yield layer("conv2/norm2", "LRN", "conv2/3x3", lrn)
    yield layer("pool2/3x3_s2", "Pooling", "conv2/norm2", MAX_3_2)
    yield say(
        "An inception module looks at the same maps in four ways, with filters of 1 x 1, 3 x 3 and 5 x 5 and by "
        "pooling, and stacks what they find (Concat).  The 1 x 1 filters called reduce make fewer maps first: without "
        "them those of 5 x 5 would cost too much.  Nine such modules follow; only their numbers of filters differ."
    )
    bottom = "pool2/3x3_s2"
    for module in INCEPTION:
        yield inception(training, module, bottom)
        bottom = f"inception_{module}/output"
        if module in ("3b", "4e"):
            pool = f"pool{module[0]}/3x3_s2"
            yield say(f"Half the size: {'14 x 14' if module == '3b' else '7 x 7'}.")
            yield layer(pool, "Pooling", bottom, MAX_3_2)
            bottom = pool
        if training and module in ("4a", "4d"):
            name = "loss1" if module == "4a" else "loss2"
            yield say(
                "A classifier in the middle of the net, in training only: its loss counts 0.3, and brings a gradient "
                "to the layers below on a short way."
            )
            yield helper(name, bottom)
            loss, prefix = f"{name}/loss", f"{name}/"
            yield ending(f"{name}/classifier", loss, "loss_weight: 0.3", top=f"{name}/{name}", prefix=prefix)
    yield say("Each of the 1024 maps becomes its mean: no large fully connected layers, hence so few parameters.")
    yield layer("pool5/7x7_s1", "Pooling", bottom, WHOLE_IMAGE)
    drop = "dropout_param { dropout_ratio: 0.4 }"
    yield layer("pool5/drop_7x7_s1", "Dropout", "pool5/7x7_s1", drop, top="pool5/7x7_s1")
    yield classifier(training, "loss3/classifier", "pool5/7x7_s1")
    if training:
        yield ending("loss3/classifier", "loss3/loss3", "loss_weight: 1", prefix="loss3/")
    else:
        yield layer("prob", "Softmax", "loss3/classifier")


# -- ResNet-50 --------------------------------------------------------------------------------------------------------

STAGES = {2: ("abc", 64), 3: ("abcd", 128), 4: ("abcdef", 256), 5: ("abc", 512)}
"""Blocks of each stage, and the filters of their 3 x 3 convolutions: Table 1 of the paper."""

ABOUT = {
    2: "Stage 2: 56 x 56.  A block has two ways from its input to its end, where Eltwise adds them.  branch2: to fewer "
    "channels (1 x 1), 3 x 3 on those, and back (1 x 1).  branch1: the input as it is, or, in the first block of a "
    "stage, where the number of channels changes, through a convolution of 1 x 1.",
    3: "Stage 3: 28 x 28, twice the channels.  The stride is that of the first block's 1 x 1 convolutions.",
    4: "Stage 4: 14 x 14, twice the channels.",
    5: "Stage 5: 7 x 7, twice the channels.",
}

RESNET = """\
# ResNet-50 (He et al., "Deep residual learning for image recognition", 2016), of the winners of ILSVRC 2015: 50 layers
# with weights.  They learn because a block only adds something to what it is given.
#
# No convolution has biases: BatchNorm would take them away again, and Scale brings new ones.  The weights that the
# authors published do hold biases for conv1; with the stage "published" this is the net that takes them.
"""


def filled(training: bool) -> list[str]:
    """How a layer's weights begin; nothing for use."""
    return ['weight_filler { type: "msra" }'] if training else []


def stem(training: bool, rule: str, *biases: str) -> str:
    """The first convolution, in the nets that `rule` lets it into."""
    fields = ["num_output: 64", *window(7, 2), *biases, *filled(training)]
    return layer("conv1", "Convolution", "data", rule, *settings("convolution_param", *fields))


def batch_norm(suffix: str, blob: str) -> str:
    """BatchNorm and Scale, in place."""
    return layer(f"bn{suffix}", "BatchNorm", blob, top=blob) + layer(
        f"scale{suffix}", "Scale", blob, "scale_param { bias_term: true }", top=blob
    )


def branch(training: bool, block: str, name: str, bottom: str, outputs: int, kernel: int, stride: int = 1) -> str:
    """A convolution with BatchNorm and Scale: "res2a_branch1" has "bn2a_branch1" and "scale2a_branch1"."""
    blob = f"res{block}_{name}"
    fields = [f"num_output: {outputs}", *window(kernel, stride), "bias_term: false", *filled(training)]
    convolution = layer(blob, "Convolution", bottom, *settings("convolution_param", *fields))
    return convolution + batch_norm(f"{block}_{name}", blob)


def residual(training: bool, block: str, bottom: str, filters: int, stride: int) -> str:
    """A block: its input plus what three convolutions make of it."""
    name = f"res{block}"
    shortcut = block.endswith("a")
    way = branch(training, block, "branch1", bottom, 4 * filters, 1, stride) if shortcut else ""
    return (
        way
        + branch(training, block, "branch2a", bottom, filters, 1, stride)
        + relu(f"{name}_branch2a_relu", f"{name}_branch2a")
        + branch(training, block, "branch2b", f"{name}_branch2a", filters, 3)
        + relu(f"{name}_branch2b_relu", f"{name}_branch2b")
        + branch(training, block, "branch2c", f"{name}_branch2b", 4 * filters, 1)
        + layer(name, "Eltwise", [f"{name}_branch1" if shortcut else bottom, f"{name}_branch2c"])
        + relu(f"{name}_relu", name)
    )


def resnet50(training: bool) -> Iterator[str]:
    """The net, piece by piece."""
    yield beginning("ResNet-50", RESNET, training)
    yield say("The stem: from 224 x 224 down to 56 x 56.")
    yield stem(training, 'exclude { stage: "published" }', "bias_term: false")
    yield stem(training, 'include { stage: "published" }')
    yield say(
        "BatchNorm brings every channel to mean 0 and variance 1, in training by the batch's own, in use by those it "
        "has collected.  Scale multiplies by a learned factor and adds a learned shift."
    )
    yield batch_norm("_conv1", "conv1")
    yield relu("conv1_relu", "conv1")
    yield layer("pool1", "Pooling", "conv1", MAX_3_2)
    bottom = "pool1"
    for stage, (blocks, filters) in STAGES.items():
        yield say(ABOUT[stage])
        for block in blocks:
            yield residual(training, f"{stage}{block}", bottom, filters, 2 if stage > 2 and block == "a" else 1)
            bottom = f"res{stage}{block}"
    yield say("Each of the 2048 maps becomes its mean, and one fully connected layer scores the 1000 classes.")
    yield layer("pool5", "Pooling", bottom, WHOLE_IMAGE)
    scores = settings("inner_product_param", "num_output: 1000", *filled(training))
    yield layer("fc1000", "InnerProduct", "pool5", *scores)
    if training:
        yield ending("fc1000", "loss")
    else:
        yield layer("prob", "Softmax", "fc1000")


def files() -> dict[str, str]:
    """Every file's text by its path in models/."""
    nets = {"googlenet": googlenet, "resnet50": resnet50}
    forms = {"train_val": True, "deploy": False}
    return {
        f"{folder}/{form}.prototxt": formatted("".join(net(training)))
        for folder, net in nets.items()
        for form, training in forms.items()
    }


if __name__ == "__main__":
    for path, text in files().items():
        (Path(__file__).parent / path).write_text(text)
        print(f"{path}: {text.count('layer {')} layers")
