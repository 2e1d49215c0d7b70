"""`transform_param { mean_file mean_value }`: what is subtracted from images, wherever these are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.torch_later import torch
from .reshaping import Reshaping
from .transform_param import Floats, by

if TYPE_CHECKING:
    from torch import Tensor

Misfit = tuple[str, str, str | None, str]
"""A message, the field it is about, what to do, and the fault's code."""


class Mean:
    """Of one layer.

    Args:
        file: the mean image, C×H×W.
        values: a value for every channel, or one for all of them.
        crop: height and width of what is cut out of images.
        reshaping: what images go through before they are cut.
    """

    def __init__(
        self, file: Floats | None, values: Sequence[float], crop: tuple[int, int] | None, reshaping: Reshaping
    ) -> None:
        self._file = file
        self._values = np.array(values, np.float32)
        self._crop = crop
        self._reshaping = reshaping
        self.given = file is not None or len(self._values) > 0
        self._prepared: dict[tuple[torch.device, bool, int], tuple[Tensor, Tensor]] = {}

    def misfits(self, image: tuple[int, ...]) -> list[Misfit]:
        """What does not fit a C×H×W image as it is before it is cut."""
        found = [] if self._file is None else self._file_misfits(self._file.shape, image)
        if len(self._values) not in (0, 1, image[0]):
            rule = "one mean_value, or as many as channels"
            message = f"expected {rule} ({image[0]}), got {len(self._values)} mean_value"
            found.append((message, "mean_value", None, "CL406"))
        return found

    def _file_misfits(self, mean: tuple[int, ...], image: tuple[int, ...]) -> list[Misfit]:
        if self._reshaping.centred:
            assert self._crop is not None
            if mean[0] == image[0] and mean[1] >= self._crop[0] and mean[2] >= self._crop[1]:
                return []
            message = f"the mean file is {by(mean)}, the crop {by((image[0], *self._crop))}"
            return [(message, "mean_file", None, "CL406")]
        if self._reshaping.random:
            message = "a mean file does not fit images of random sizes"
            return [(message, "mean_file", "give mean_value instead", "CL406")]
        if mean == image:
            return []
        help = "caffelite data compute-mean makes the mean of a database, of its images' size"
        return [(f"the mean file is {by(mean)}, the image {by(image)}", "mean_file", help, "CL607")]

    def take_off(self, images: Tensor, windows: Sequence[tuple[int, int, bool]]) -> None:
        """Subtract it, in place: of each channel, or what the mean file has where an image was cut out.

        Args:
            images: N×C×H×W float32, as the net sees them.
            windows: the row and column at which each begins, and whether it is mirrored.
        """
        if not self.given:
            return
        means = self._beside(images)
        if self._file is None:
            images -= means[0]
            return
        height, width = images.shape[2:]
        if self._reshaping.centred:
            windows = [(0, 0, turned) for _, _, turned in windows]
        same = len(set(windows)) == 1
        for image, (row, column, turned) in zip([images] if same else images, windows, strict=not same):
            first = means[turned].shape[2] - column - width if turned else column
            image -= means[turned][:, row : row + height, first : first + width]

    def _beside(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean as it lies best beside these images, and the same mirrored; mean values as one row of an image."""
        key = (images.device, _interleaved(images), images.shape[3] if self._file is None else 0)
        if key not in self._prepared:
            mean = self._file
            if mean is not None and self._reshaping.centred:
                above, left = (mean.shape[1] - images.shape[2]) // 2, (mean.shape[2] - images.shape[3]) // 2
                mean = mean[:, above : above + images.shape[2], left : left + images.shape[3]]
            if mean is None:
                values = self._values.reshape(-1, 1, 1)
                mean = np.broadcast_to(values, (images.shape[1], 1, images.shape[3]))
            if key[1]:
                mean = np.ascontiguousarray(mean.transpose(1, 2, 0)).transpose(2, 0, 1)
            tensor = torch.from_numpy(mean.copy("K")).to(images.device)
            self._prepared[key] = (tensor, tensor.flip(2))
        return self._prepared[key]


def _interleaved(images: Tensor) -> bool:
    """Whether the channels of a pixel lie side by side."""
    return not images.is_contiguous() and images.is_contiguous(memory_format=torch.channels_last)
