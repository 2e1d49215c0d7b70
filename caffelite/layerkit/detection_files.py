"""Files of detections, as the PASCAL VOC, COCO and ILSVRC challenges evaluate them.

Source: `src/caffe/layers/detection_output_layer.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError, Fault

FORMATS = ("VOC", "COCO", "ILSVRC")


class Detection(NamedTuple):
    """An object in an image: its class and score, and its box in pixels."""

    image: str
    label: int
    score: float
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class DetectionFiles(NamedTuple):
    """Where a round of detections is written, and how.

    Attributes:
        folder: is made where it is not there.
        prefix: how file names begin.
        format: one of FORMATS.
        names: the classes by label.
        background: the label that is no object.
    """

    folder: Path
    prefix: str
    format: str
    names: Mapping[int, str]
    background: int

    def write(self, found: list[Detection]) -> None:
        """Write a round's detections over what an earlier one left.

        Raises:
            DataError: a detection is of a class without a name, or a file cannot be written.
        """
        nameless = sorted({one.label for one in found} - set(self.names))
        if nameless:
            raise DataError(Fault(f"the label map has no name for class {nameless[0]}"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in self._files(found):
                (self.folder / f"{self.prefix}{name}").write_text(text, "utf-8")
        except OSError as error:
            raise DataError(Fault(f"cannot write to {self.folder}: {error.strerror}")) from error

    def _files(self, found: list[Detection]) -> Iterator[tuple[str, str]]:
        """The end of each file's name, and what is in it."""
        if self.format == "COCO":
            yield ".json", json.dumps([self._entry(one) for one in found], indent=1) + "\n"
        elif self.format == "ILSVRC":
            yield ".txt", "".join(f"{one.image} {one.label} {_score_and_box(one)}\n" for one in found)
        else:
            for label, name in self.names.items():
                if label != self.background:
                    of_class = (one for one in found if one.label == label)
                    yield f"{name}.txt", "".join(f"{one.image} {_score_and_box(one)}\n" for one in of_class)

    def _entry(self, one: Detection) -> dict[str, object]:
        """A detection for COCO, whose names are numbers."""
        return {
            "image_id": _number(one.image),
            "category_id": _number(self.names[one.label]),
            "bbox": _corner_and_size(one),
            "score": float(f"{one.score:.9g}"),  # all that a float32 holds
        }


def _number(name: str) -> int | str:
    return int(name) if name.removeprefix("-").isdecimal() else name


def _corner_and_size(one: Detection) -> list[float]:
    """xmin, ymin, width and height, to a hundredth of a pixel: float32 counts them, and halves go away from 0."""
    corner, end = np.array([[one.xmin, one.ymin], [one.xmax, one.ymax]], np.float32)
    hundredths = (np.concatenate([corner, end - corner]) * np.float32(100)).astype(np.float64)
    rounded: list[float] = (np.copysign(np.floor(np.abs(hundredths) + 0.5), hundredths) / 100 + 0.0).tolist()
    return rounded


def _score_and_box(one: Detection) -> str:
    """Score, xmin, ymin, xmax and ymax as text, corner and size in whole pixels."""
    left, top, width, height = (int(value) for value in _corner_and_size(one))
    return f"{one.score:g} {left} {top} {left + width} {top + height}"
