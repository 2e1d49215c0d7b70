"""Source layers whose batches are loaded ahead of the net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..data import transform_param
from ..data.feed import WORTH_A_THREAD, Feed
from ..data.telling import find, folder_of, told_by
from ..data.transform_param import Floats, read_mean
from ..errors import DataError, Fault
from ..runtime.threads import compute_alone, processors
from .base import torch
from .source import SourceLayer

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.transform import Chosen, Transform
    from .run import Run

_MOST_AHEAD = 1024
_BLOCK_BYTES, _BLOCK_BATCHES = 4 << 20, 64
"""Small batches are loaded so many at once, which costs little more than one of them."""
_FOR_SEGMENTS = ("scale_factors", "crop_height", "crop_width", "stride", "upper_size", "upper_height", "upper_width")
"""Fields of transform_param that only the layers of layerkit/segmented.py read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a layer loaded: images that are still to be transformed, and arrays that are tops as they are."""

    arrays: tuple[Floats, ...]
    images: Chosen | None = None
    transform: Transform | None = None

    def tops(self, device: torch.device) -> Callable[[], list[Tensor]]:
        """Do what can be done without the device; the rest is done by the result, which gives the tops."""
        from ..data.transform import as_tensor  # with all of augmentation, which a check does without

        arrays = [as_tensor(array) for array in self.arrays]
        if device.type != "cpu":
            return self._tops_on(device, arrays)
        if self.images is not None and self.transform is not None:
            arrays.insert(0, self.transform.finish(self.images))
        return lambda: arrays

    def _tops_on(self, device: torch.device, arrays: list[Tensor]) -> Callable[[], list[Tensor]]:
        pinned = [array.pin_memory() for array in arrays]
        copied = [partial(array.to, device, non_blocking=True) for array in pinned]
        if self.images is not None and self.transform is not None:
            copied.insert(0, partial(self.transform.finish_on, device, self.transform.stage(self.images)))
        return lambda: [copy() for copy in copied]


_Batches = list[tuple["Tensor", ...]]
"""Batches that follow each other: the tops of each."""


class FedLayer(SourceLayer):
    """A layer that reads images and labels: a type says what a batch is (`load`), this class when it is loaded.

    `data_param { prefetch }` batches are loaded ahead by `data_param { workers }` threads where that pays, as in the
    original's `src/caffe/layers/base_data_layer.cpp`.  On the CPU these threads also finish them; on a GPU images
    travel as bytes from pinned memory, without anybody waiting, and are finished there.

    Attributes:
        source: the field of the LayerParameter that names what is read, for messages.
        most_workers: threads beyond which loading gets no faster; None: there is no such number.
    """

    opened = frozenset({"_feed"})

    source: ClassVar[str]
    most_workers: ClassVar[int | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._feed: Feed[Callable[[], _Batches]] | None = None
        self._fed_for: tuple[int, torch.device] | None = None
        self._block: dict[int, tuple[tuple[Tensor, ...], int]] = {}  # by position: the tops, and how many records

    @property
    def batch_size(self) -> int:
        """Records in a batch."""
        raise NotImplementedError

    def load(self, seed: int, position: int) -> Batch:
        """The batch of the records from `position` on, in new arrays.  `most_workers` threads may call it at once."""
        raise NotImplementedError

    def load_block(self, seed: int, position: int, batches: int) -> Batch:
        """That many batches one behind the other, for types whose `batch_bytes` are not 0; otherwise as `load`."""
        raise NotImplementedError

    @property
    def batch_bytes(self) -> int:
        """Bytes of the tops of a batch, for types that load several small ones at once; 0: it does not."""
        return 0

    # -- settings -------------------------------------------------------------------------------------------------

    def check_feed(self) -> None:
        """Note what is wrong with how batches are to be loaded."""
        for field in ("workers", "prefetch"):
            most = f"must be at most {_MOST_AHEAD}: so many batches would be in memory"
            self.require(getattr(self.param.data_param, field) <= _MOST_AHEAD, f"data_param.{field}", most)

    def check_transform(self) -> None:
        """Note what is wrong with transform_param whatever the data."""
        for name in _FOR_SEGMENTS:
            if getattr(self.param.transform_param, name) not in ([], 0, 1):
                only = f"{name} is for layers whose images have a label for each pixel"
                self.expect(False, only, f"transform_param.{name}")
        several = len(self.param.transform_param.resize_param) > 1
        message = "only AnnotatedData may have several resize_param"
        self.expect(self.varies or not several, message, "transform_param.resize_param[1]")
        for message, field, help in transform_param.faults(self.param.transform_param):
            self.expect(False, message, f"transform_param.{field}", help)

    def for_boxes_only(self) -> list[Fault]:
        """Warnings of what transform_param asks for that only AnnotatedData does."""
        names, why = ("distort_param", "expand_param", "emit_constraint"), "only AnnotatedData reads it"
        return [fault for name in names for fault in self.without_effect(f"transform_param.{name}", why)]

    def mean_in(self, path: Path) -> Floats:
        """The mean in a file."""
        return read_mean(path)

    def read_mean_file(self) -> Floats | None:
        """The mean image that transform_param names, if it names one."""
        if not self.param.transform_param.HasField("mean_file"):
            return None
        field = "transform_param.mean_file"
        with told_by(self, field):
            return self.mean_in(find(self.param.transform_param.mean_file, folder_of(self, field)))

    @property
    def cache_budget(self) -> int | None:
        """The most bytes of decoded records to keep in memory; None: what there is room for."""
        settings = self.param.data_param
        return int(settings.cache_mib) << 20 if settings.HasField("cache_mib") else None

    # -- batches --------------------------------------------------------------------------------------------------

    def _feeding(self, run: Run) -> Feed[Callable[[], _Batches]]:
        """The feed for this seed and device."""
        wanted = (run.seed, run.device)
        if self._feed is not None and self._fed_for != wanted:
            FedLayer.close(self)
        if self._feed is None:
            self._fed_for = wanted
            settings, seed, device = self.param.data_param, run.seed, run.device
            workers = int(settings.workers) if settings.HasField("workers") else processors()
            workers = min(workers, self.most_workers or workers)
            ahead = int(settings.prefetch)
            if settings.HasField("workers") and ahead:
                ahead = max(ahead, workers)

            together = max(1, min(_BLOCK_BATCHES, _BLOCK_BYTES // self.batch_bytes)) if self.batch_bytes else 1
            if together >= ahead:  # a block is further than asked for; two of them keep two threads busy
                ahead = min(ahead, 2)

            def load(position: int) -> Callable[[], _Batches]:
                return self._loaded(seed, position, together, device)

            step, worth = self.batch_size * together, WORTH_A_THREAD * together
            self._feed = Feed(load, step, ahead, workers, compute_alone, worth)
        return self._feed

    def _loaded(self, seed: int, position: int, together: int, device: torch.device) -> Callable[[], _Batches]:
        """Batches from a position on: so many, or one where among these is one that cannot be loaded."""
        if together > 1:
            try:
                tops = self.load_block(seed, position, together).tops(device)
                return lambda: list(zip(*(top.split(self.batch_size) for top in tops()), strict=True))
            except DataError:  # it is told when it is its turn
                pass
        tops = self.load(seed, position).tops(device)
        return lambda: [tuple(tops())]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        feed = self._feeding(run)
        batch = self._block.get(self.consumed)
        if batch is None:
            with told_by(self, self.source):
                batches = feed.take(self.consumed)()
            size, tops = self.batch_size, len(self.param.top)
            self._block = {self.consumed + index * size: (one[:tops], size) for index, one in enumerate(batches)}
            batch = self._block[self.consumed]
        self.consumed += batch[1]
        return batch[0]

    def close(self) -> None:
        self._block = {}
        if self._feed is not None:
            self._feed.close()
            self._feed = None
