"""A layer's settings, as few words in its box: what is written in the prototxt and is not the default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from ...proto import Phase
from ...prototxt.build import is_repeated
from .text import clean, shortened

_TELLING = {
    "Pooling": ("pooling_param", "pool"),
    "Eltwise": ("eltwise_param", "operation"),
    "Reduction": ("reduction_param", "operation"),
    "Dropout": ("dropout_param", "dropout_ratio"),
}
"""Settings that are told where they are the default, too."""

_UNTOLD = {
    *("engine", "backend", "prefetch", "force_nd_im2col", "mean_file", "mean_value"),
    *("bias_term", "use_global_stats", "moving_average_fraction", "eps"),
}
_UNTOLD_BLOCKS = {"input_param", "dummy_data_param"}
"""How something is computed rather than what, what stands in every box of many nets, and shapes that labels tell.  All
of it is in the tooltip."""

_WINDOW = {"kernel": "kernel_size", "stride": "stride", "pad": "pad", "dilation": "dilation"}
_USUAL = {"stride": {1}, "pad": {0}, "dilation": {1}}
_IN_WINDOW = {name for what, whole in _WINDOW.items() for name in (whole, f"{what}_h", f"{what}_w")}

_MOST_VALUES, _MOST_CHARACTERS = 6, 40


def settings_of(layer: Any, axes: int = 2) -> list[str]:
    """The settings of a LayerParameter that matter, each as "name value".

    Args:
        axes: over how many axes its window goes, where it has one and one number stands for all of them.
    """
    found = []
    for field, value in _blocks(layer):
        found += [*_window(value, axes), *_fields(layer.type, field, value)]
    if layer.loss_weight:
        found.append(f"loss_weight {_shown(layer.DESCRIPTOR.fields_by_name['loss_weight'], layer.loss_weight)}")
    return found


def _blocks(layer: Any) -> Iterator[tuple[str, Any]]:
    """The layer's blocks of settings: those it has, and the one whose default is told."""
    told = _TELLING.get(layer.type, ("", ""))[0]
    for field in layer.DESCRIPTOR.fields:
        if field.name in _UNTOLD_BLOCKS or not field.name.endswith("_param"):
            continue
        value = getattr(layer, field.name)
        if is_repeated(field):
            yield from ((field.name, block) for block in value)
        elif field.name == told or layer.HasField(field.name):
            yield field.name, value


def _fields(type: str, block: str, settings: Any) -> Iterator[str]:
    """What a block says besides its window."""
    for field in settings.DESCRIPTOR.fields:
        value, several = getattr(settings, field.name), is_repeated(field)
        given = bool(value) if several else settings.HasField(field.name)
        if field.name in _UNTOLD or field.name in _IN_WINDOW:
            continue
        if _TELLING.get(type) == (block, field.name):
            yield _shown(field, value) if field.enum_type else f"{field.name} {_shown(field, value)}"
        elif field.message_type:
            if given and field.message_type.name == "BlobShape":
                yield f"{field.name} {_shapes(value if several else [value])}"
        elif given and (several or value != field.default_value):
            yield field.name if value is True else f"{field.name} {_shown(field, value)}"


def _shapes(shapes: Any) -> str:
    return " ".join("x".join(map(str, shape.dim)) or "scalar" for shape in list(shapes)[:_MOST_VALUES])


def _shown(field: FieldDescriptor, value: Any) -> str:
    """A value in few characters; of several the first ones."""
    if is_repeated(field):
        few = " ".join(_one(field, item) for item in value[:_MOST_VALUES])
        return f"{few} …" if len(value) > _MOST_VALUES else few
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type:
        return str(field.enum_type.values_by_number[value].name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = clean(value.rstrip("/").rpartition("/")[2] if field.name == "source" else str(value))
    return shortened(text, _MOST_CHARACTERS)


def _window(settings: Any, axes: int) -> Iterator[str]:
    """Kernel, stride, pad and dilation of a block that has them: "kernel 3x3", "stride 2"."""
    for what, whole in _WINDOW.items():
        found = sizes(settings, what) if whole in settings.DESCRIPTOR.fields_by_name else []
        if not found or set(found) == _USUAL.get(what):
            continue
        if what == "kernel" and len(found) == 1:
            found *= axes
        yield f"{what} {'x'.join(map(str, found))}"


def sizes(settings: Any, what: str) -> list[int]:
    """A window's kernel, stride, pad or dilation as a convolution_param or pooling_param has it.

    One number is for every axis, several are one for each; none where it is left out.
    """
    sides = [side for side in (f"{what}_h", f"{what}_w") if side in settings.DESCRIPTOR.fields_by_name]
    if any(settings.HasField(side) for side in sides):
        return [getattr(settings, side) for side in sides]
    value = getattr(settings, _WINDOW[what])
    if isinstance(value, int):
        return [value] if settings.HasField(_WINDOW[what]) else []
    return list(value)


LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
"""Types of which the original tells the rates."""


def rates(layer: Any) -> list[float]:
    """The `lr_mult` of each learned blob of a layer; of weights and biases where it does not say any."""
    told = [spec.lr_mult for spec in layer.param]
    return told + [1.0] * (2 - len(told)) if layer.type in LEARNING else told


def when(layer: Any) -> str:
    """When a layer is there, as its rules have it: "only TRAIN"."""
    word, rules = ("only", layer.include) if layer.include else ("not", layer.exclude)
    return f"{word} {' or '.join(' & '.join(_conditions(rule)) or 'always' for rule in rules)}"


def _conditions(rule: Any) -> list[str]:
    return [
        *([Phase.Name(rule.phase)] if rule.HasField("phase") else []),
        *([f"level >= {rule.min_level}"] if rule.HasField("min_level") else []),
        *([f"level <= {rule.max_level}"] if rule.HasField("max_level") else []),
        *(f"stage {stage}" for stage in rule.stage),
        *(f"without stage {stage}" for stage in rule.not_stage),
    ]
