"""V1 layers, `layers { type: CONVOLUTION blobs_lr: 1 }`, as today's `layer { type: "Convolution" param { … } }`."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places
from .aligned_crop import ALIGNED
from .step import Step, plural, put
from .v0 import is_v0

TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BN": "BN",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "CROP": "Crop",
    "CONVOLUTION3D": "Convolution3D",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DECONVOLUTION3D": "Deconvolution3D",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "ELTWISE_ACCURACY": "EltwiseAccuracy",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "IMAGE_SEG_DATA": "ImageSegData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POOLING3D": "Pooling3D",
    "POWER": "Power",
    "PRELU": "PReLU",
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
    "VIDEO_DATA": "VideoData",
    "VIDEO_SEGMENTATION_DATA": "VideoSegmentationData",
    "VIDEO_WITH_VOXEL_TRUTH_DATA": "VideoWithVoxelTruthData",
    "VOXEL_SOFTMAX": "Softmax",
    "VOXEL_SOFTMAX_LOSS": "VoxelSoftmaxLoss",
    "UNPOOLING": "Unpooling",
    "WINDOW_DATA": "WindowData",
    "WINDOW_SEG_DATA": "WindowSegData",
}
"""Name of the V1 LayerType → today's type."""

DIALECTS = {"CROP": ALIGNED}
"""Name of the V1 LayerType → whose meaning of today's type it has."""

_MIXED_HELP = "`caffelite upgrade` writes them all as `layer`; the original refuses the file"

PARAM_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
"""V1 lists with an entry for each weight blob → the field of today's ParamSpec."""


def refuse_mixed(message: Any, places: Places) -> Step | None:
    """`layer` and `layers` in one net, where no text tells in which order they stand: there is no telling then what
    was meant.  With V0 layers they are refused in any case."""
    if not (message.layers and message.layer) or (_by_place(message, places) and not is_v0(message)):
        return None
    fault = Fault(
        _mixed(message),
        places("layer[0]"),
        help='write all of them as `layer { type: "Convolution" … }`; a net that has only `layers` is converted by'
        " `caffelite upgrade`",
        code="CL105",
    )
    return Step(message, faults=[fault])


def _mixed(message: Any) -> str:
    return (
        f"{plural(len(message.layer), 'layer')} written as `layer` in a net that has"
        f" {plural(len(message.layers), 'layer')} written as `layers`"
    )


def _by_place(message: Any, places: Places) -> list[tuple[str, int]]:
    """The layers of both forms, (field, index), in the order of the text; none where there is no text."""
    found = {}
    for name in ("layers", "layer"):
        for index in range(len(getattr(message, name))):
            place = places(f"{name}[{index}]")
            if place is not None and place.line is not None:
                found[place.line, place.column or 0] = (name, index)
    whole = len(found) == len(message.layers) + len(message.layer)
    return [found[key] for key in sorted(found)] if whole else []


def v1_to_layer(message: Any, places: Places) -> Step | None:
    """Every V1 layer as a `layer`: the type by name, and one `param` for each weight blob instead of four lists."""
    if not message.layers:
        return None
    step = Step(type(message)())
    for field, value in message.ListFields():
        if field.name not in ("layers", "layer"):
            put(step.message, field.name, value)
    order = [("layers", index) for index in range(len(message.layers))]
    if message.layer:
        order = _by_place(message, places)
        text = f"{_mixed(message)}: they are read in the order of the text"
        step.faults.append(Fault(text, places("layer[0]"), _MIXED_HELP, severity="warning", code="CL105"))
    for name, index in order:
        target = len(step.message.layer)
        step.renamed[f"layer[{target}]"] = f"{name}[{index}]"
        if name == "layers":
            _upgrade_layer(index, message.layers[index], target, step)
        else:
            step.message.layer.add().CopyFrom(message.layer[index])
    count = plural(len(message.layers), "layer")
    text = f"{count} of the V1 form (`layers {{ type: CONVOLUTION … }}`) read as `layer`"
    step.faults.append(Fault(text, places("layers[0]"), severity="note", code="CL108"))
    return step


def _upgrade_layer(index: int, old: Any, target: int, step: Step) -> None:
    new = step.message.layer.add()
    for field, value in old.ListFields():
        if field.name == "type":
            name = field.enum_type.values_by_number[value].name
            new.type = TYPES[name]
            if name in DIALECTS:
                new.dialect = DIALECTS[name]
        elif field.name in PARAM_FIELDS:
            _spread(index, field.name, value, target, step)
        elif field.name != "layer":
            put(new, field.name, value)


def _spread(index: int, name: str, values: Any, target: int, step: Step) -> None:
    """Give each of the values to the `param` of its position."""
    new, field = step.message.layer[target], PARAM_FIELDS[name]
    for position, value in enumerate(values):
        while len(new.param) <= position:
            new.param.add()
        setattr(new.param[position], field, value)
        path = f"layer[{target}].param[{position}]"
        step.renamed.setdefault(path, f"layers[{index}].{name}[{position}]")
        step.renamed[f"{path}.{field}"] = f"layers[{index}].{name}[{position}]"
