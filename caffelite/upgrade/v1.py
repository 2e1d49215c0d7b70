"""V1 layers, `layers { type: CONVOLUTION blobs_lr: 1 }`, as today's `layer { type: "Convolution" param { … } }`."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places
from .step import Step, plural, put

TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
"""Name of the V1 LayerType → today's type."""

PARAM_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
"""V1 lists with an entry for each weight blob → the field of today's ParamSpec."""


def refuse_mixed(message: Any, places: Places) -> Step | None:
    """`layer` and `layers` in one net: their order is lost in parsing, so there is no telling what was meant."""
    if not (message.layers and message.layer):
        return None
    fault = Fault(
        f"{plural(len(message.layer), 'layer')} written as `layer` in a net that has"
        f" {plural(len(message.layers), 'layer')} written as `layers`",
        places("layer[0]"),
        help='write all of them as `layer { type: "Convolution" … }`; a net that has only `layers` is converted by'
        " `caffelite upgrade`",
    )
    return Step(message, faults=[fault])


def v1_to_layer(message: Any, places: Places) -> Step | None:
    """Every V1 layer as a `layer`: the type by name, and one `param` for each weight blob instead of four lists."""
    if not message.layers:
        return None
    step = Step(type(message)())
    for field, value in message.ListFields():
        if field.name not in ("layers", "layer"):
            put(step.message, field.name, value)
    for index, layer in enumerate(message.layers):
        _upgrade_layer(index, layer, step)
    count = plural(len(message.layers), "layer")
    text = f"{count} of the V1 form (`layers {{ type: CONVOLUTION … }}`) read as `layer`"
    step.faults.append(Fault(text, places("layers[0]"), severity="note"))
    return step


def _upgrade_layer(index: int, old: Any, step: Step) -> None:
    new = step.message.layer.add()
    step.renamed[f"layer[{index}]"] = f"layers[{index}]"
    for field, value in old.ListFields():
        if field.name == "type":
            new.type = TYPES[field.enum_type.values_by_number[value].name]
        elif field.name in PARAM_FIELDS:
            _spread(index, field.name, value, new, step)
        elif field.name != "layer":
            put(new, field.name, value)


def _spread(index: int, name: str, values: Any, new: Any, step: Step) -> None:
    """Give each of the values to the `param` of its position."""
    target = PARAM_FIELDS[name]
    for position, value in enumerate(values):
        while len(new.param) <= position:
            new.param.add()
        setattr(new.param[position], target, value)
        path = f"layer[{index}].param[{position}]"
        step.renamed.setdefault(path, f"layers[{index}].{name}[{position}]")
        step.renamed[f"{path}.{target}"] = f"layers[{index}].{name}[{position}]"
