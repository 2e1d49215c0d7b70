"""What an enlarged database holds of each image: itself, and copies of it that are moved or distorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..assembly import Warn, silent
from ..data import augment
from ..data.augment import Augmentation
from ..data.cache import Array
from ..data.transform import Transform
from ..errors import DataError, Fault, Place, PrototxtError
from ..proto import TRAIN, AugmentationParameter, TransformationParameter
from ..prototxt import loads
from .items import by

Pixels = Array | Sequence[Array]
"""Images: N×C×H×W, or C×H×W each where they differ in size."""

_OPTION = "--augmentation"
_DIRECTIONS = ((0, -1), (0, 1), (-1, 0), (1, 0))
"""Pixels down and right: to the left, to the right, up, down."""


class Variants:
    """What is made of an image, in this order: the image itself; moved by 1 … `shifts` whole pixels, for each distance
    to the left, to the right, up and down; `copies` augmented by chance.

    The draws for a copy depend on (seed, number of the record, number of the copy) alone.
    """

    def __init__(
        self,
        shifts: int = 0,
        border: int = AugmentationParameter.EDGE,
        copies: int = 0,
        augmentation: str = "",
        seed: int = 1,
        warn: Warn = silent,
    ) -> None:
        """How images are changed.

        Args:
            border: what is seen where an image was moved away, as in AugmentationParameter.
            augmentation: of the copies; an AugmentationParameter in prototxt.
            warn: told what is odd about that.

        Raises:
            PrototxtError: the text has faults, a value of it is out of range, or it changes nothing.
        """
        self.seed = seed
        self._moves = [(d * down, d * right) for d in range(1, shifts + 1) for down, right in _DIRECTIONS]
        self._shifts, self._border = shifts, border
        self._copies = copies
        self._transform: Transform | None = None
        if copies:
            param = TransformationParameter(augmentation=read_augmentation(augmentation, warn))
            self._transform = Transform(param, TRAIN)

    def __len__(self) -> int:
        """How many there are of an image."""
        return 1 + len(self._moves) + self._copies

    def check(self, shape: tuple[int, ...], called: str) -> None:
        """Raise DataError unless all of them can be made of a C×H×W image; `called` is what it is in messages."""
        if self._shifts >= min(shape[1:]):
            message = f"{called} is {by(shape)}: nothing of it is left when it is moved by {self._shifts} pixels"
            raise DataError(message, help=f"--shifts must be below {min(shape[1:])}")
        if self._transform is not None:
            try:
                self._transform.shape(shape)
            except DataError as error:
                raise DataError(f"{called}: {error.faults[0].message}") from error

    def make(self, number: int, images: Pixels, first: int) -> Pixels:
        """One variant of each of these images; moved they keep their type, augmented they are float32.

        Args:
            number: which variant.
            first: the number of the first image's record; the others follow.
        """
        if isinstance(images, np.ndarray):
            return self._make(number, images, first)
        return [self._make(number, image[np.newaxis], at)[0] for at, image in enumerate(images, first)]

    def _make(self, number: int, images: Array, first: int) -> Array:
        if number == 0:
            return images
        if number <= len(self._moves):
            return self._moved(images, *self._moves[number - 1])
        assert self._transform is not None
        return self._transform(images, self.seed, f"copy {number - len(self._moves)}", first)

    def _moved(self, images: Array, down: int, right: int) -> Array:
        away, (height, width) = max(abs(down), abs(right)), images.shape[2:]
        wide = Augmentation(AugmentationParameter(shift=away, border=self._border)).padded(images)
        assert isinstance(wide, np.ndarray)
        return wide[..., away - down : away - down + height, away - right : away - right + width]


def read_augmentation(text: str, warn: Warn = silent) -> Any:
    """The AugmentationParameter that a text is, as the layers would read it.

    Raises:
        PrototxtError: as :class:`Variants`.
    """
    loaded = loads(text, AugmentationParameter, file=_OPTION)
    for warning in loaded.warnings:
        warn(warning)
    param = loaded.message
    faults = [
        Fault(f"{field} {rule}, got {getattr(param, field):g}", loaded.places(field))
        for rule, field in augment.faults(param)
    ]
    if not faults and not Augmentation(param).active:
        help = "say how much at most, for example: rotation: 15 scaling: 0.1"
        faults = [Fault("this changes nothing", Place(_OPTION), help)]
    if faults:
        raise PrototxtError(faults)
    return param
