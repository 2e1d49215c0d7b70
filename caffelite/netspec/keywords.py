"""Which keywords a layer type takes, and where in its LayerParameter they belong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ..errors import did_you_mean
from ..proto import LayerParameter, TransformationParameter
from .assign import put, unknown
from .errors import SettingError

_LOADING = ("prefetch", "workers")
_DIVIDING = ("normalization", "normalize", "pre_fixed_normalizer")
_WEIGHING = ("weight_by_label_freqs", "class_weighting")
BORROWED: dict[str, dict[str, Sequence[str]]] = {
    "AnnotatedData": {"data_param": ()},
    "ConvLSTM": {"recurrent_param": (), "lstm_conv_param": (), "lstm_debug_param": ()},
    "ConvolutionDepthwise": {"convolution_param": ()},
    "Deconvolution": {"convolution_param": ()},
    "Deconvolution3D": {"convolution3d_param": ()},
    "DenseImageData": {"data_param": _LOADING},
    "DepthwiseConvolution": {"convolution_param": ()},
    "HDF5Data": {"data_param": _LOADING},
    "HingeLoss": {"loss_param": _WEIGHING},
    "Im2col": {"convolution_param": ()},
    "ImageData": {"data_param": (*_LOADING, "cache_mib")},
    "ImageLabelmapData": {"image_data_param": (), "data_param": _LOADING},
    "ImageSegData": {"image_data_param": (), "data_param": _LOADING},
    "InfogainLoss": {"loss_param": ()},
    "LpPooling": {"pooling_param": ()},
    "LSTM": {"recurrent_param": ()},
    "MMDLoss": {"mmd_param": ()},
    "MultiBoxFocalLoss": {
        "multibox_loss_param": (),
        "focal_loss_param": (),
        "loss_param": ("normalization", "normalize"),
    },
    "MultiBoxLoss": {"loss_param": ("normalization", "normalize")},
    "MultinomialLogisticLoss": {"loss_param": _WEIGHING},
    "RNN": {"recurrent_param": ()},
    "SegData": {"data_param": _LOADING},
    "SigmoidCrossEntropyLoss": {"loss_param": ()},
    "SmoothL1Loss": {"loss_param": _DIVIDING},
    "SmoothL1LossOHEM": {"loss_param": _DIVIDING},
    "SoftmaxCrossEntropyLoss": {"softmax_param": (), "loss_param": ("normalization", "normalize")},
    "SoftmaxWithLoss": {"softmax_param": (), "loss_param": ()},
    "SoftmaxWithLossOHEM": {"softmax_param": (), "loss_param": ()},
    "VideoSegmentationData": {"image_data_param": (), "data_param": _LOADING},
    "VideoWithVoxelTruthData": {"image_data_param": (), "data_param": _LOADING},
    "WindowData": {"data_param": _LOADING},
    "WindowSegData": {"image_data_param": (), "data_param": _LOADING},
}
"""Messages that a type reads besides the one of its own name, and which of their fields it reads; (): all."""


def param_name_dict() -> dict[str, str]:
    """The names of settings messages by layer type, without "_param": "InnerProduct" → "inner_product".

    A key is a message's name without "Parameter", so a few are no layer types ("Transformation").
    """
    fields = [field for field in LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    return {field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param") for field in fields}


@cache
def holders(type_name: str) -> dict[str, str]:
    """The settings of a layer type by the field of LayerParameter that holds them; "" is LayerParameter itself."""
    fields, own = LayerParameter.DESCRIPTOR.fields_by_name, param_name_dict().get(type_name)
    read: dict[str, Sequence[str]] = {f"{own}_param": ()} if own else {}
    found: dict[str, str] = {}
    for holder, names in (read | BORROWED.get(type_name, {})).items():
        for name in names or fields[holder].message_type.fields_by_name:
            found.setdefault(name, holder)
    return found | {name: "" for name in fields if name not in found or name.endswith("param")}


def assign_keyword(layer: Any, keyword: str, value: Any) -> None:
    """Put a keyword where it belongs in a LayerParameter, whose type says where.

    Raises:
        SettingError: the type has no such setting, or the value does not fit.
    """
    known = holders(layer.type)
    if keyword not in known:
        raise SettingError(unknown(keyword, value), help=_help(layer.type, keyword, known))
    put(getattr(layer, known[keyword]) if known[keyword] else layer, keyword, value)


def _help(type_name: str, keyword: str, known: dict[str, str]) -> str:
    if type_name.endswith("Data") and keyword in TransformationParameter.DESCRIPTOR.fields_by_name:
        return f"write transform_param=dict({keyword}=…)"
    own = [name for name, holder in known.items() if holder]
    listed = f"known: {', '.join(own)}" if own else f"{type_name} has no settings of its own"
    return did_you_mean(keyword, [*known, "ntop", "in_place"]) or listed
