"""What VideoSegmentationData and VideoWithVoxelTruthData share: clips with a truth for every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.telling import folder_of, told_by
from ..data.transform_param import Floats, by
from ..data.videos import read_clip_mean
from ..data.voxel_files import VoxelFiles
from ..errors import DataError
from ..proto import TRAIN
from .base import Shape, exactly
from .fed import Batch
from .fed_by_rows import FedByRows


class VoxelTruths(FedByRows):
    """A layer whose tops are clips, N×C×L×H×W, and the truth of every voxel, N×T×L×H×W, cut and mirrored alike.

    A type says how many channels are the truth, what the files hold, and what is done to the truth (`truth_of`).
    """

    tops = exactly(2)
    source = "image_data_param.source"
    opened = frozenset({"_feed", "_files", "_mean"})

    truth_channels: int = 1
    holds_bytes: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._files: VoxelFiles | None = None
        self._mean: Floats | float | None = None

    def truth_of(self, truth: Floats, mirrored: bool) -> Floats:
        """What the net sees of a truth, T×L×H×W."""
        return truth

    @property
    def most_skipped(self) -> int:
        return int(self.given.rand_skip)

    @property
    def files(self) -> VoxelFiles:
        """The clips of the list."""
        if self._files is None:
            source = str(self.given.source)
            with told_by(self, self.source):
                self._files = VoxelFiles(source, folder_of(self, self.source), self.holds_bytes)
        return self._files

    @property
    def records(self) -> int:
        return len(self.files)

    def enter_phase(self, phase: int) -> None:
        if phase != self.phase:
            super().enter_phase(phase)
            self.close()  # what is loaded ahead is cut as in the other phase

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.given
        self.require(given.batch_size > 0, f"{self.holder}.batch_size", "must be positive")
        self.require(bool(given.source), self.source, "must name a text file that lists clips")
        both = "mean_file and mean_value cannot both be given"
        file = self.param.transform_param.HasField("mean_file") and given.HasField("mean_value")
        self.expect(not file, both, f"{self.holder}.mean_value")
        self.check_feed()
        self.check_transform()

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        with told_by(self, self.source):
            channels, length, height, width = self.files.shape(0)
            crop, truth = int(self.param.transform_param.crop_size), self.truth_channels
            if channels <= truth:
                raise self.files.fault(0, f"has {channels} channels: too few for a truth of {truth}")
            if crop > min(height, width):
                raise self.files.fault(0, f"is {height}×{width}: smaller than crop_size {crop}")
        tail = (length, crop or height, crop or width)
        return [(self.batch_size, channels - truth, *tail), (self.batch_size, truth, *tail)]

    def mean_in(self, path: Path) -> Floats:
        return read_clip_mean(path)

    def _mean_of(self, shape: tuple[int, ...]) -> Floats | float:
        """What is subtracted from a clip of this shape."""
        if self._mean is None:
            mean = self.read_mean_file()
            if mean is None:
                self._mean = float(self.given.mean_value)
            elif mean.size == np.prod(shape):
                self._mean = mean.reshape(shape)
            else:
                with told_by(self, "transform_param.mean_file"):
                    raise DataError(f"the mean file holds {mean.size} values, a clip is {by(shape)}")
        return self._mean

    def load(self, seed: int, position: int) -> Batch:
        rows, words = self.rows_at(seed, position), self.words_at(seed, position, "transform")
        first = self.files.shape(0)
        pairs = [self._pair(int(row), own, first) for row, own in zip(rows, words, strict=True)]
        clips, truths = (np.stack(part) for part in zip(*pairs, strict=True))
        return Batch((clips, truths))

    def _pair(self, row: int, words: list[int], first: Shape) -> tuple[Floats, Floats]:
        """A clip and its truth, cut and mirrored."""
        clip, param = self.files.clip(row), self.param.transform_param
        if clip.shape != first:
            raise self.files.fault(row, f"is {by(clip.shape)}, the first one {by(first)}")
        crop, (height, width), at = int(param.crop_size), first[2:], len(clip) - self.truth_channels
        values = np.concatenate([(clip[:at] - self._mean_of((at, *first[1:]))) * np.float32(param.scale), clip[at:]])
        if crop:
            row_at, column = (height - crop) // 2, (width - crop) // 2
            if self.phase == TRAIN:
                row_at, column = words[1] % (height - crop + 1), words[2] % (width - crop + 1)
            values = values[..., row_at : row_at + crop, column : column + crop]
        mirrored = bool(param.mirror and words[0] & 1)
        values = values[..., ::-1] if mirrored else values
        return np.ascontiguousarray(values[:at]), self.truth_of(np.ascontiguousarray(values[at:]), mirrored)
