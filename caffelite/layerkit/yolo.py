"""What the layers of YOLO nets share: how predictions and true boxes are laid out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from .. import ops
from ..errors import LayerError
from .base import Layer, Shape, torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..ops.yolo import Cells, Truths

NUMBERS = 5
"""Numbers of a prediction besides its classes: x, y, w, h, object."""
BOXES = 300
"""Rows of boxes for each image in the labels of eric612/MobileNet-YOLO."""
_ANNOTATION = 8
"""Numbers of a row in the labels of SSD's fork: image, class, instance, xmin, ymin, xmax, ymax, difficult."""


def expect_predictions(layer: Layer, shape: Shape, anchors: int, classes: int, square: bool, at: int = 0) -> None:
    """Note a fault unless the bottom is N×(anchors·(5 + classes))×H×W, and H = W where that is asked for.

    Raises:
        LayerError: with these faults and those before.
    """
    channels = anchors * (NUMBERS + classes)
    what = f"{anchors} boxes a cell with {NUMBERS} numbers and {classes} classes"
    fits = len(shape) == 4 and shape[1] == channels
    layer.expect(fits, f"needs predictions N×{channels}×H×W ({what}), got {shape}", f"bottom[{at}]")
    layer.raise_faults()
    layer.expect(
        not square or shape[2] == shape[3], f"needs as many cells down as across, got {shape}", f"bottom[{at}]"
    )


def expect_biases(layer: Layer, field: str, given: Sequence[float], boxes: int) -> None:
    """Note a fault unless there are a positive width and height for each of so many boxes."""
    pairs = f"needs a width and a height for each of {boxes} boxes: {2 * boxes} biases, got {len(given)}"
    layer.expect(len(given) >= 2 * boxes, pairs, f"{field}.biases")
    layer.expect(all(0 < value < math.inf for value in given), "biases must be positive", f"{field}.biases")


def predictions(x: Tensor, anchors: int) -> Tensor:
    """N×(A·L)×H×W as N×A×L×H×W, detached, on the CPU, in float32 at least."""
    x = x.detach().cpu()
    x = x if x.dtype == torch.float64 else x.float()
    return x.reshape(len(x), anchors, -1, *x.shape[2:])


def anchors(given: Sequence[float], width: float, height: float, dtype: torch.dtype) -> Tensor:
    """Widths and heights, one after the other, as fractions of a width and a height: K×2."""
    return torch.tensor(given, dtype=dtype).reshape(-1, 2) / torch.tensor([width, height], dtype=dtype)


def square_cells(biases: Sequence[float], x: Tensor) -> Cells:
    """The cells of predictions, N×A×L×S×S, whose boxes begin with the first A of sizes that count cells."""
    count, side = x.shape[1], x.shape[-1]
    cells: Cells = ops.yolo.Cells(side, side, anchors(biases[: 2 * count], side, side, x.dtype))
    return cells


def are_rows(labels: Shape) -> bool:
    """Whether labels are those of eric612/MobileNet-YOLO: 300 boxes of 5 numbers for each image."""
    return len(labels) > 1 and math.prod(labels[1:]) == BOXES * NUMBERS


def are_annotations(labels: Shape) -> bool:
    """Whether labels are those of SSD's fork: 1×1×M×8."""
    return len(labels) == 4 and labels[:2] == (1, 1) and labels[3] == _ANNOTATION


def truths_of_rows(layer: Layer, labels: Tensor, classes: int, like: Tensor) -> list[Truths]:
    """The true boxes of labels N×…, 300 rows of (class, x, y, w, h) an image.  The first row whose x or w is 0 ends
    them.

    Raises:
        LayerError: a class or a box that there cannot be.
    """
    found = []
    for image, rows in enumerate(labels.detach().cpu().reshape(-1, BOXES, NUMBERS).to(like.dtype)):
        ends = (rows[:, 1] == 0) | (rows[:, 3] == 0)
        rows = rows[: int(ends.float().argmax())] if bool(ends.any()) else rows
        kinds = [int(kind) for kind in rows[:, 0].tolist()]
        found.append(_checked(layer, image, kinds, rows[:, 1:], classes))
    return found


def truths_of_annotations(
    layer: Layer,
    labels: Tensor,
    images: int,
    classes: int,
    like: Tensor,
    named: Sequence[int] | None = None,
    any_box: bool = False,
) -> list[Truths]:
    """The true boxes of labels 1×1×M×8, whose classes count from 1.  An image of −1, or past the last, has no box.

    Args:
        named: the class that stands for each number; None: the number itself.
        any_box: boxes may be empty, or have their centre outside the image.

    Raises:
        LayerError: a class or a box that there cannot be.
    """
    rows = labels.detach().cpu().reshape(-1, _ANNOTATION).to(like.dtype)
    found = []
    for image in range(images):
        here = rows[rows[:, 0].long() == image]
        kinds = [int(kind) - 1 for kind in here[:, 1].tolist()]
        if named is not None:
            outside = next((kind for kind in kinds if not 0 <= kind < len(named)), None)
            if outside is not None:
                _refuse(layer, image, f"class_map has {len(named)} lines, and none for label {outside}")
            kinds = [named[kind] for kind in kinds]
        low, high = here[:, 3:5], here[:, 5:7]
        boxes = torch.cat([(low + high) / 2, high - low], 1)
        found.append(_checked(layer, image, kinds, boxes, classes, any_box))
    return found


def _checked(layer: Layer, image: int, kinds: list[int], boxes: Tensor, classes: int, any_box: bool = False) -> Truths:
    for kind, box in zip(kinds, boxes.tolist(), strict=True):
        if not 0 <= kind < classes:
            _refuse(layer, image, f"the class of a box must be from 0 to {classes - 1}, got {kind}")
        x, y, w, h = box
        if not any_box and not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w < math.inf and 0 < h < math.inf):
            told = f"x {x:g}, y {y:g}, w {w:g}, h {h:g}"
            _refuse(layer, image, f"the centre of a box must be in the image, and its size positive, got {told}")
    truths: Truths = ops.yolo.Truths(kinds, boxes)
    return truths


def _refuse(layer: Layer, image: int, message: str) -> NoReturn:
    help = "boxes are in fractions of the image"
    raise LayerError(layer.fault(f"image {image} of the batch: {message}", "bottom[1]", help))
