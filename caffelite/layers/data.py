"""Data: batches of images and labels from a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..data.datum import Array, Records
from ..data.feed import Feed
from ..data.records import RecordStream
from ..data.sources import acquire, resolve
from ..data.telling import find, folder_of, log, told_by, where_it_looked
from ..data.transform import Transform, colour_of, contradictions, read_mean
from ..errors import DataError
from ..layerkit import Run, Shape, SourceLayer, between, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.transform import Floats

_WITHOUT_EFFECT = {
    "force_encoded_color": "transform_param { force_color: true } does what it says",
    "rand_skip": "leave it out: reading begins at the first record",
}
"""Fields of data_param that the original's Data layer does not read either.  (Its deprecated transformation fields are
warned of where old nets are upgraded.)"""


@layer("Data")
class Data(SourceLayer):
    """Reads an LMDB of Datum records, batch after batch in the order of the keys, and begins anew at its end.

    Tops: images, N×C×H×W float32 (H and W are `crop_size`, if given), and, if there are two, labels, N.  The records of
    a batch may differ in height and width only where `crop_size` makes them equal.  `prefetch` batches are loaded ahead
    where that pays (0: never); a data set that fits is kept decoded in memory.

    Source: `src/caffe/layers/data_layer.cpp`, `base_data_layer.cpp`.  As there, `rand_skip` and the deprecated
    transformation fields of data_param have no effect (with a warning).

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the database or mean file is missing or damaged, or does not fit the settings.
    """

    tops = between(1, 2)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stream: RecordStream | None = None
        self._feed: Feed[tuple[Floats, Floats]] | None = None
        self._transform: Transform | None = None
        self._seed = 0

    # -- settings -----------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.data_param.batch_size > 0, "data_param.batch_size", "must be positive")
        self.require(bool(self.param.data_param.source), "data_param.source", "must name a database")
        for message, field in contradictions(self.param.transform_param):
            self.expect(False, message, field, "keep one of the two")
        for field, help in _WITHOUT_EFFECT.items():
            if self.param.data_param.HasField(field):
                text = f"data_param.{field} has no effect in a Data layer"
                log.warning("%s", self.fault(text, f"data_param.{field}", help, "warning"))

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        stream = self._open()
        with told_by(self, "data_param.source"):
            first = stream.first()
        with told_by(self, "transform_param"):
            image = self._transformer().shape(first.shape)
        forced = [field for field in ("force_color", "force_gray") if getattr(self.param.transform_param, field)]
        if forced and stream.met_raw:
            text = f"{forced[0]} has no effect on images that are not encoded"
            log.warning("%s", self.fault(text, f"transform_param.{forced[0]}", severity="warning"))
        batch = int(self.param.data_param.batch_size)
        return [(batch, *image), (batch,)][: len(self.param.top)]

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self) -> RecordStream:
        if self._stream is None:
            param = self.param.data_param
            beside = folder_of(self, "data_param.source")
            with told_by(self, "data_param.source"):
                path = find(param.source, beside)
                backend = param.DB.Name(param.backend) if param.HasField("backend") else None
                found = resolve(path, backend, self._help_for_missing(str(param.source)))
                self._stream = RecordStream(acquire(path, found), colour_of(self.param.transform_param))
        return self._stream

    def _help_for_missing(self, source: str) -> str:
        folder, _, name = source.rstrip("/").rpartition("/")
        if name in ("mnist_train_lmdb", "mnist_test_lmdb"):
            return f"make it with: caffelite data mnist {folder or '.'}"
        return where_it_looked(source, folder_of(self, "data_param.source"))

    def _transformer(self) -> Transform:
        if self._transform is None:
            param, mean = self.param.transform_param, None
            if param.HasField("mean_file"):
                with told_by(self, "transform_param.mean_file"):
                    mean = read_mean(find(param.mean_file, folder_of(self, "transform_param.mean_file")))
            self._transform = Transform(param, self.phase, mean, self.places)
        return self._transform

    def _feeding(self, seed: int) -> Feed[tuple[Floats, Floats]]:
        """The feed for this seed."""
        if self._feed is not None and self._seed != seed:
            self._feed.close()
            self._feed = None
        if self._feed is None:
            self._seed = seed
            self._feed = Feed(self._load, self.param.data_param.batch_size, self.param.data_param.prefetch)
        return self._feed

    # -- batches ------------------------------------------------------------------------------------------------

    def _load(self, position: int) -> tuple[Floats, Floats]:
        """The batch of records from `position` on.  Runs in the feed's thread."""
        stream, transform = self._open(), self._transformer()
        records = stream.read(position, self.param.data_param.batch_size)
        if isinstance(records.images, list):
            self._refuse_unequal(records, position)
        else:
            transform.shape(records.images.shape[1:])
        return transform(records.images, self._seed, self.name, position), records.labels.copy()

    def _refuse_unequal(self, records: Records, position: int) -> None:
        """Raise DataError unless all images of this batch come out of the transformation in one shape."""
        stream, transform = self._open(), self._transformer()
        wanted = transform.shape(records.images[0].shape)
        for offset, image in enumerate(records.images):
            if _shape_or_none(transform, image) != wanted:
                first, here = "×".join(map(str, records.images[0].shape)), "×".join(map(str, image.shape))
                raise DataError(
                    f'record "{stream.key(position + offset)}" is {here}, but the first of its batch is {first}'
                )

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        with told_by(self, "data_param.source"):
            batch = self._feeding(run.seed).take(self.consumed)
        self.consumed += int(self.param.data_param.batch_size)
        return tuple(torch.from_numpy(part).to(run.device) for part in batch[: len(self.param.top)])

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _shape_or_none(transform: Transform, image: Array) -> Shape | None:
    try:
        return transform.shape(image.shape)
    except DataError:
        return None
