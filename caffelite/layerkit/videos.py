"""What the kinds of VideoData that read folders of frames share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..data.lazily import Lazily
from ..data.transform import Transform
from ..data.videos import Videos
from .base import Shape
from .fed import Batch
from .fed_by_rows import WORDS
from .labelled_images import LabelledImages

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


def printf_fields(pattern: str) -> list[str]:
    """What a file name in C's spelling asks for: "d" for each number (%d, %05d), "c" for each letter; "?" for
    others."""
    asked = [field for field in re.findall(r"%(%|0?\d*d|c|)", pattern) if field != "%"]
    return [field[-1:] or "?" for field in asked]


class FrameVideos(LabelledImages):
    """A layer whose tops are some frames of each video and its label.

    A type says which frames a video is made of (`frames`), and how many channels that gives (`channels`).  Shapes come
    from the settings where these say how large a frame is; else the first video is looked at.
    """

    words: int
    """Random numbers that choosing the frames of a video takes."""

    @property
    def channels(self) -> int:
        """Channels of a video in all its frames."""
        raise NotImplementedError

    def frames(self, number: int, words: Sequence[int] | None) -> list[str]:
        """The files of a video.

        Args:
            number: what the list says beside its folder.
            words: random numbers, if chance is to choose; None where only the shape is wanted.
        """
        raise NotImplementedError

    def means(self) -> list[float]:
        """The mean value of each channel; none at all if there is no such setting."""
        raise NotImplementedError

    def tail(self, height: int, width: int) -> Shape:
        """The axes of the first top behind the batch."""
        return self.channels, height, width

    def label_tail(self) -> Shape:
        """The axes of the second top behind the batch."""
        raise NotImplementedError

    @property
    def transform(self) -> Transform:
        if self._transform is None:
            param = type(self.param.transform_param)()
            param.CopyFrom(self.param.transform_param)
            param.ClearField("mean_value")
            param.mean_value.extend(self.means())
            self._transform = Transform(param, self.phase, self.read_mean_file(), self.places)
        return self._transform

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        crop = int(self.param.transform_param.crop_size)
        size = (crop, crop) if crop else self.size or super().shapes(bottoms)[0][2:]
        batch = self.batch_size
        self._tails = [self.tail(*size), self.label_tail()]
        return [(batch, *tail) for tail in self._tails][: len(self.param.top)]

    def load(self, seed: int, position: int) -> Batch:
        rows, transform, table = self.rows_at(seed, position), self.transform, self.table
        assert isinstance(table, Videos)
        words = self.words_at(seed, position, "frames", -(-self.words // WORDS))

        def video(index: int) -> Any:
            row = int(rows[index])
            return table.video(row, self.frames(int(table.numbers[row]), words[index]))

        images = self._checked(Lazily(len(rows), video), rows)
        return Batch((table.labels[rows],), transform.choose(images, seed, self.name, position), transform)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        tops = super().forward(run, bottoms, weights)
        return [top.reshape(len(top), *tail) for top, tail in zip(tops, self._tails, strict=False)]
