"""BatchNorm as intel/caffe writes it: with the start of the Scale layer behind it, and with statistics of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Fault, Places
from .step import Step, plural


def spread_batch_norm(message: Any, places: Places) -> Step | None:
    """Hand `filler` and `bias_filler` of a BatchNorm on to the Scale layer behind it, which intel/caffe computes with
    it as one; and the net's `bn_stats_batch_size` to every BatchNorm."""
    filled = [index for index, layer in enumerate(message.layer) if _has_filler(layer)]
    if not filled and not message.HasField("bn_stats_batch_size"):
        return None
    step = Step(type(message)())
    step.message.CopyFrom(message)
    _hand_on_fillers(filled, step, places)
    _hand_on_size(step, places)
    return step if step.faults else None


def _has_filler(layer: Any) -> bool:
    return bool(
        layer.type == "BatchNorm" and layer.HasField("batch_norm_param") and layer.batch_norm_param.HasField("filler")
    )


def _hand_on_fillers(filled: Sequence[int], step: Step, places: Places) -> None:
    layers = step.message.layer
    for index in filled:
        layer, behind = layers[index], _reader(layers, index)
        if behind is None or layers[behind].type != "Scale" or len(layers[behind].bottom) != 1:
            continue
        scale, settings = layers[behind].scale_param, layer.batch_norm_param
        for name in ("filler", "bias_filler"):
            if settings.HasField(name) and not scale.HasField(name):
                getattr(scale, name).CopyFrom(getattr(settings, name))
                step.renamed[f"layer[{behind}].scale_param.{name}"] = f"layer[{index}].batch_norm_param.{name}"
            settings.ClearField(name)
        text = f'filler is read as that of the Scale layer "{layers[behind].name}" behind it, as in intel/caffe'
        place = places(f"layer[{index}].batch_norm_param.filler")
        told = {"layer": layer.name, "layer_type": layer.type}
        step.faults.append(Fault(text, place, severity="note", code="CL121", **told))


def _reader(layers: Any, index: int) -> int | None:
    """The first layer that reads what the layer at `index` writes."""
    top = layers[index].top[0] if layers[index].top else None
    return next((at for at in range(index + 1, len(layers)) if top in layers[at].bottom), None)


def _hand_on_size(step: Step, places: Places) -> None:
    net = step.message
    if not net.HasField("bn_stats_batch_size"):
        return
    found = [layer for layer in net.layer if layer.type == "BatchNorm"]
    for layer in found:
        layer.batch_norm_param.stats_batch_size = net.bn_stats_batch_size
    text = f"bn_stats_batch_size is read as stats_batch_size of {plural(len(found), 'BatchNorm layer')}"
    net.ClearField("bn_stats_batch_size")
    step.faults.append(Fault(text, places("bn_stats_batch_size"), severity="note", code="CL121"))
