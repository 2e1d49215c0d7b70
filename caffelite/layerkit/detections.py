"""What DetectionOutput and DetectionEvaluate share: files about images and classes, and boxes in pixels.

Source: `src/caffe/util/bbox_util.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import ops, prototxt
from ..data.telling import find, folder_of, told_by, where_it_looked
from ..errors import DataError, Fault, PrototxtError
from ..proto import LabelMap, ResizeParameter
from .base import Layer, torch

if TYPE_CHECKING:
    from torch import Tensor


class ImageSize(NamedTuple):
    """A line of a name_size_file: an image and its size in pixels."""

    name: str
    height: int
    width: int


def image_sizes(layer: Layer, field: str, name: str) -> list[ImageSize]:
    """The lines of the file called `name`, which the dotted path `field` gives.

    Raises:
        DataError: the file cannot be read, or a line is not "name height width".
    """
    lines = _text(layer, field, name).splitlines()
    return [_image_size(layer, field, name, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _image_size(layer: Layer, field: str, name: str, number: int, line: str) -> ImageSize:
    words = line.rsplit(maxsplit=2)
    if len(words) == 3 and all(word.isdecimal() and int(word) > 0 for word in words[1:]):
        return ImageSize(words[0], int(words[1]), int(words[2]))
    message = f'{name}, line {number}: must be "name height width" in pixels, got "{line.strip()}"'
    raise DataError(layer.fault(message, field))


def class_names(layer: Layer, field: str, name: str) -> dict[int, str]:
    """The names of classes by label, of the LabelMap file called `name`, which the dotted path `field` gives.

    Raises:
        DataError: the file cannot be read, is no LabelMap, or names a label twice.
    """
    text = _text(layer, field, name)
    names: dict[int, str] = {}
    try:
        items = prototxt.loads(text, LabelMap, file=name).message.item
    except PrototxtError as error:
        raise DataError(error.faults) from error
    for item in items:
        if names.setdefault(item.label, item.name) != item.name:
            raise DataError(layer.fault(f"{name} has two names for label {item.label}", field))
    return names


def _text(layer: Layer, field: str, name: str) -> str:
    beside = folder_of(layer, field)
    with told_by(layer, field):
        try:
            return find(name, beside).read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise DataError(Fault(f"cannot read {name}: {reason}", help=where_it_looked(name, beside))) from error


def to_pixels(boxes: Tensor, image: ImageSize, resize: Any | None) -> Tensor:
    """Boxes (…×4, parts of what a net saw) in pixels of the image, cut off at its edges.

    Args:
        boxes: the boxes.
        image: the image they are of.
        resize: the ResizeParameter by which the net was shown the image; None if it was brought to the net's size.
    """
    mode = None if resize is None else resize.resize_mode
    size = torch.tensor([image.width, image.height] * 2, dtype=boxes.dtype)
    if resize and _scaled(resize):
        scale = torch.tensor([resize.width_scale, resize.height_scale] * 2, dtype=boxes.dtype)
        return torch.minimum(boxes * scale, size).clamp(min=0)
    if resize and mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
        boxes = _without_padding(boxes, image, resize)
    return ops.boxes.clip(boxes) * size


def overlaps(found: Tensor, truth: Tensor, image: ImageSize, resize: Any | None) -> Tensor:
    """How much boxes overlap in pixels of the image, N×4 and M×4: N×M; see `to_pixels` and `ops.boxes.overlap`.

    Where `resize` gives a scale, the source counts pixels without the boxes' edges, but those of the intersection with
    them, so that the overlap of small boxes comes out too large, or negative; so does this.
    """
    boxes, others = to_pixels(found, image, resize), to_pixels(truth, image, resize)
    return ops.boxes.overlap(boxes, others, pixels=True, plain=resize is not None and _scaled(resize))


def _scaled(resize: Any) -> bool:
    """Whether boxes are multiplied by what `resize` says, and not by the size of the image."""
    fits = resize.resize_mode == ResizeParameter.FIT_SMALL_SIZE
    return bool(fits and resize.height_scale and resize.width_scale)


def _without_padding(boxes: Tensor, image: ImageSize, resize: Any) -> Tensor:
    """Boxes as parts of the image in the middle of what the net saw; those that do not meet it stay as they are."""
    shape, wanted = image.width / image.height, resize.width / resize.height
    share = min(1, wanted / shape), min(1, shape / wanted)  # of the height, and of the width, that the image takes
    low = torch.tensor([(1 - share[1]) / 2, (1 - share[0]) / 2], dtype=boxes.dtype)
    high = 1 - low
    inside = ((boxes[..., :2] < high) & (boxes[..., 2:] > low)).all(-1, keepdim=True)
    within = (boxes - torch.cat([low, low])) / torch.cat([high - low] * 2)
    return torch.where(inside, within, boxes)


def expect_resize(layer: Layer, field: str) -> Any | None:
    """The ResizeParameter at the dotted path `field`, or None; notes a fault unless `to_pixels` can use it."""
    *holders, name = field.split(".")
    holder = layer.param
    for part in holders:
        holder = getattr(holder, part)
    if not holder.HasField(name):
        return None
    resize = getattr(holder, name)
    if resize.resize_mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
        for side in ("height", "width"):
            layer.require(getattr(resize, side) > 0, f"{field}.{side}", "must be given: what images were padded to")
    return resize
