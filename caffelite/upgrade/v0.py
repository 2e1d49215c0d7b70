"""V0 layers, `layers { layer { type: "conv" kernelsize: 3 } bottom: … }`, as V1 layers."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places, did_you_mean
from .step import Step, plural, put

TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
"""V0 type → name of the V1 LayerType."""

CARRIED = ("name", "blobs", "blobs_lr", "weight_decay")
"""V0 fields that every V1 layer has under the same name."""

ANY = "*"


def _of(field: str, **messages: str) -> dict[str, str]:
    return {kind: f"{message}.{field}" for kind, message in messages.items()}


_SOURCES = {
    "data": "data_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "window_data": "window_data_param",
}
_WEIGHTED = {"conv": "convolution_param", "innerproduct": "inner_product_param"}
_WINDOWED = {"conv": "convolution_param", "pool": "pooling_param"}

SETTINGS: dict[str, dict[str, str]] = {
    "num_output": _of("num_output", **_WEIGHTED),
    "biasterm": _of("bias_term", **_WEIGHTED),
    "weight_filler": _of("weight_filler", **_WEIGHTED),
    "bias_filler": _of("bias_filler", **_WEIGHTED),
    "pad": _of("pad", **_WINDOWED),
    "kernelsize": _of("kernel_size", **_WINDOWED),
    "group": _of("group", conv="convolution_param"),
    "stride": _of("stride", **_WINDOWED),
    "pool": _of("pool", pool="pooling_param"),
    "dropout_ratio": _of("dropout_ratio", dropout="dropout_param"),
    "local_size": _of("local_size", lrn="lrn_param"),
    "alpha": _of("alpha", lrn="lrn_param"),
    "beta": _of("beta", lrn="lrn_param"),
    "k": _of("k", lrn="lrn_param"),
    "source": _of("source", infogain_loss="infogain_loss_param", **_SOURCES),
    "scale": {ANY: "transform_param.scale"},
    "meanfile": {ANY: "transform_param.mean_file"},
    "batchsize": _of("batch_size", **_SOURCES),
    "cropsize": {ANY: "transform_param.crop_size"},
    "mirror": {ANY: "transform_param.mirror"},
    "rand_skip": _of("rand_skip", data="data_param", images="image_data_param"),
    "shuffle_images": _of("shuffle", images="image_data_param"),
    "new_num": {},
    "new_channels": {},
    "new_height": _of("new_height", images="image_data_param"),
    "new_width": _of("new_width", images="image_data_param"),
    "concat_dim": _of("concat_dim", concat="concat_param"),
    "det_fg_threshold": _of("fg_threshold", window_data="window_data_param"),
    "det_bg_threshold": _of("bg_threshold", window_data="window_data_param"),
    "det_fg_fraction": _of("fg_fraction", window_data="window_data_param"),
    "det_context_pad": _of("context_pad", window_data="window_data_param"),
    "det_crop_mode": _of("crop_mode", window_data="window_data_param"),
    "hdf5_output_param": {"hdf5_output": "hdf5_output_param"},
}
"""V0 field → for each V0 type that knows it, the path in a V1 layer.  The same field means different things to
different types; a type that is not listed does not know the field."""

_NET_FIELDS = ("name", "input", "input_dim", "force_backward")


def is_v0(message: Any) -> bool:
    """Whether any of the net's `layers` has its settings in a `layer { … }` of its own."""
    return any(layer.HasField("layer") for layer in message.layers)


def refuse_mixed_v0(message: Any, places: Places) -> Step | None:
    """V1 layers among V0 layers: the original would lose their type and settings without a word."""
    if not is_v0(message):
        return None
    faults = [
        Fault(
            "a V1 layer among V0 layers (`layers { layer { … } }`)",
            places(f"layers[{index}]"),
            help="write all layers of the net in one form, best as `layer { … }`",
            layer=layer.name,
            code="CL106",
        )
        for index, layer in enumerate(message.layers)
        if not layer.HasField("layer")
    ]
    return Step(message, faults=faults)


def v0_to_v1(message: Any, places: Places) -> Step | None:
    """Every V0 layer as a V1 layer.  What the original drops on the way is dropped with a warning: settings the
    layer's type does not know, fields beside `layer { … }`, and fields of the net that V0 nets did not have."""
    if not is_v0(message):
        return None
    step = Step(type(message)())
    for field, value in message.ListFields():
        if field.name in _NET_FIELDS:
            put(step.message, field.name, value)
        elif field.name not in ("layers", "layer"):
            step.faults.append(_dropped(field.name, places(field.name)))
    for index, layer in enumerate(message.layers):
        _Layer(index, layer, step.message.layers.add(), step, places).upgrade()
    step.faults.append(
        Fault(
            f"{plural(len(message.layers), 'layer')} of the V0 form (`layers {{ layer {{ … }} }}`) brought to V1's",
            places("layers[0]"),
            severity="note",
            code="CL107",
        )
    )
    return step


def _dropped(field: str, place: Any, **layer: str) -> Fault:
    message = f"{field} has no effect in a net of the V0 form"
    return Fault(message, place, severity="warning", code="CL109", **layer)  # type: ignore[arg-type]


class _Layer:
    """The upgrade of one layer."""

    def __init__(self, index: int, old: Any, new: Any, step: Step, places: Places) -> None:
        self.path, self.old, self.new, self.step, self.places = f"layers[{index}]", old, new, step, places
        self.type = old.layer.type
        self.named = {"layer": old.layer.name, "layer_type": self.type}

    def upgrade(self) -> None:
        for field, value in self.old.ListFields():
            if field.name in ("bottom", "top"):
                put(self.new, field.name, value)
            elif field.name != "layer":
                self.step.faults.append(_dropped(field.name, self.places(f"{self.path}.{field.name}"), **self.named))
        for field, value in self.old.layer.ListFields():
            if field.name == "type":
                self._set_type()
            elif field.name in CARRIED:
                self._carry(field.name, field.name, value)
            else:
                self._setting(field.name, value)

    def _set_type(self) -> None:
        if self.type in TYPES:
            kinds = self.new.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_name
            self._carry("type", "type", kinds[TYPES[self.type]].number)
            return
        help = did_you_mean(self.type, TYPES) or f"known: {', '.join([*TYPES, 'padding'])}"
        place = self.places(f"{self.path}.layer.type")
        message = f'unknown layer type "{self.type}"'
        self.step.faults.append(Fault(message, place, help, layer=self.named["layer"], code="CL110"))

    def _setting(self, name: str, value: Any) -> None:
        targets = SETTINGS[name]
        target = targets.get(ANY) or targets.get(self.type)
        if target is not None:
            self._carry(name, target, value)
            return
        known = f"only {', '.join(targets)} layers know it" if targets else "no layer of Caffe 1.0 knows it"
        place = self.places(f"{self.path}.layer.{name}")
        message = f"{name} has no effect on this type of layer and is dropped"
        fault = Fault(message, place, known, severity="warning", code="CL109", **self.named)  # type: ignore[arg-type]
        self.step.faults.append(fault)

    def _carry(self, name: str, target: str, value: Any) -> None:
        owner, _, field = target.rpartition(".")
        message = getattr(self.new, owner) if owner else self.new
        put(message, field, value)
        old = f"{self.path}.layer.{name}"
        self.step.renamed[f"{self.path}.{target}"] = old
        if hasattr(getattr(message, field), "append") and name not in CARRIED:
            self.step.renamed[f"{self.path}.{target}[0]"] = old
