"""The mean image of a database.  Source: `tools/compute_image_mean.cpp`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.cache import Array, arrays
from ..data.datum import Decoder
from ..errors import DataError
from ..proto import BlobProto
from ..snapshot.atomic import write_atomic
from .databases import Database, opened
from .progress import Progress


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of `records` images: `image`, C×H×W, float32."""

    image: NDArray[np.float32]
    records: int

    @property
    def channels(self) -> list[float]:
        """The mean of each channel."""
        return [float(mean) for mean in self.image.mean(axis=(1, 2), dtype=np.float64)]

    def write(self, path: Path) -> None:
        """Write it as the original does: a BlobProto with num, channels, height and width.

        Raises:
            SnapshotError: the file cannot be written.
        """
        channels, height, width = self.image.shape
        blob = BlobProto(num=1, channels=channels, height=height, width=width, data=self.image.ravel().tolist())
        write_atomic(path, lambda file: file.write(blob.SerializeToString()))


def compute_mean(path: Path, backend: str | None = None, progress: Progress | None = None) -> Mean:
    """The mean of all images of a database, encoded or not.

    The original adds up in single precision, which loses digits beyond 65,793 images; here sums are exact.

    Args:
        backend: "lmdb" or "leveldb"; None: found by looking.

    Raises:
        DataError: it cannot be read, a record is damaged, or an image is not of the first one's shape.
    """
    with opened(path, backend) as database:
        decoder, total, done = Decoder(), None, 0
        for start, values in database.values():
            images = arrays(decoder(values, database.keys_from(start)).images)
            total = np.zeros(images[0].shape, np.float64) if total is None else total
            _refuse_other_shapes(images, total.shape, start, database)
            total += np.sum(images, axis=0, dtype=np.float64)
            done += len(values)
            if progress:
                progress(path.name, done, database.count)
        assert total is not None, "a database is only opened where it has records"
        return Mean((total / done).astype(np.float32), done)


def _refuse_other_shapes(images: Sequence[Array], shape: tuple[int, ...], start: int, database: Database) -> None:
    for index, image in enumerate(images):
        if image.shape != shape:
            here, first = ("×".join(map(str, one)) for one in (image.shape, shape))
            raise DataError(
                f'"{database.path}" has no mean image: record "{database.reader.key(start + index)}" is {here}, '
                f"the first record {first}",
                help="convert the images with --resize_height and --resize_width",
            )
