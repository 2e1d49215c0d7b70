"""Settings of the input transformation that once stood among a data layer's own."""

from __future__ import annotations

from typing import Any

from ..errors import Fault, Places
from .step import Step

FIELDS = ("scale", "mean_file", "crop_size", "mirror")
V1_HOLDERS = {
    "DATA": "data_param",
    "IMAGE_DATA": "image_data_param",
    "WINDOW_DATA": "window_data_param",
} | dict.fromkeys(("VIDEO_DATA", "VIDEO_SEGMENTATION_DATA", "VIDEO_WITH_VOXEL_TRUTH_DATA"), "image_data_param")
HOLDERS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "VideoData": "video_data_param",
    "WindowData": "window_data_param",
}


def _v1_type(layer: Any) -> str:
    return str(layer.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[layer.type].name)


def _old_fields(layer: Any, holder: str | None) -> list[str]:
    return [field for field in FIELDS if holder is not None and getattr(layer, holder).HasField(field)]


def move_transforms(message: Any, places: Places) -> Step | None:
    """Move scale, mean_file, crop_size and mirror of V1 data layers into `transform_param`.

    As in the original, one such layer makes all data layers of the net carry both messages, empty or not.
    """
    holders = {index: V1_HOLDERS.get(_v1_type(layer)) for index, layer in enumerate(message.layers)}
    if not any(_old_fields(layer, holders[index]) for index, layer in enumerate(message.layers)):
        return None
    step = Step(type(message)())
    step.message.CopyFrom(message)
    for index, layer in enumerate(step.message.layers):
        holder = holders[index]
        if holder is not None:
            _move(index, layer, holder, step, places)
    return step


def _move(index: int, layer: Any, holder: str, step: Step, places: Places) -> None:
    source, target = getattr(layer, holder), layer.transform_param
    source.SetInParent()
    target.SetInParent()
    for field in _old_fields(layer, holder):
        old = f"layers[{index}].{holder}.{field}"
        setattr(target, field, getattr(source, field))
        source.ClearField(field)
        step.renamed[f"layers[{index}].transform_param.{field}"] = old
        text = f"{holder}.{field} moved to transform_param.{field}"
        told = {"layer": layer.name, "layer_type": _v1_type(layer)}
        step.faults.append(Fault(text, places(old), severity="note", code="CL115", **told))


def ignored_transforms(message: Any, places: Places) -> Step | None:
    """Warn of the same fields in a `layer`: there the original neither moves nor reads them.

    The exception is `window_data_param.scale`, which WindowData does read (`window_data_layer.cpp`).
    """
    faults = []
    for index, layer in enumerate(message.layer):
        holder = HOLDERS.get(layer.type)
        for field in _old_fields(layer, holder):
            if (layer.type, field) != ("WindowData", "scale"):
                faults.append(
                    Fault(
                        f"{holder}.{field} has no effect in a `layer`",
                        places(f"layer[{index}].{holder}.{field}"),
                        help=f"write transform_param {{ {field}: … }}",
                        layer=layer.name,
                        layer_type=layer.type,
                        severity="warning",
                        code="CL116",
                    )
                )
    return Step(message, faults=faults) if faults else None
