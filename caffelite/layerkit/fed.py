"""Source layers whose batches are loaded ahead of the net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..data.feed import Feed
from ..data.telling import find, folder_of, told_by
from ..data.transform import read_mean
from .base import exactly, torch
from .source import SourceLayer

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run

Floats = NDArray[np.float32]
Batch = tuple[Floats, Floats]
"""Images and labels."""


class FedLayer(SourceLayer):
    """A layer that reads images and labels: a type says what a batch is (`load`), this class when it is loaded.

    `data_param { prefetch }` batches are loaded ahead, in the background where that pays (0: never), as in the
    original's `src/caffe/layers/base_data_layer.cpp`.

    Attributes:
        source: the field of the LayerParameter that names what is read, for messages.
    """

    tops = exactly(2)
    source: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._feed: Feed[Batch] | None = None
        self._seed: int | None = None

    @property
    def batch_size(self) -> int:
        """Records in a batch."""
        raise NotImplementedError

    def load(self, seed: int, position: int) -> Batch:
        """The batch of the records from `position` on: new arrays.  May run in a thread of the feed, but never in two
        at once."""
        raise NotImplementedError

    def read_mean_file(self) -> Floats | None:
        """The mean image that transform_param names, if it names one."""
        if not self.param.transform_param.HasField("mean_file"):
            return None
        field = "transform_param.mean_file"
        with told_by(self, field):
            return read_mean(find(self.param.transform_param.mean_file, folder_of(self, field)))

    def _feeding(self, seed: int) -> Feed[Batch]:
        """The feed for this seed."""
        if self._feed is not None and self._seed != seed:
            self._feed.close()
            self._feed = None
        if self._feed is None:
            self._seed = seed
            ahead = self.param.data_param.prefetch
            self._feed = Feed(lambda position: self.load(seed, position), self.batch_size, ahead)
        return self._feed

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        with told_by(self, self.source):
            batch = self._feeding(run.seed).take(self.consumed)
        self.consumed += self.batch_size
        return tuple(torch.from_numpy(part).to(run.device) for part in batch)

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed = None
