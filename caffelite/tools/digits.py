"""A small stand-in for MNIST that needs no network: the 1797 handwritten digits that scikit-learn carries.

They are 8×8 pixels of 17 levels, from 13 writers; scaled to 28×28 they fit the nets of `models/mnist`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError, Fault
from .progress import Progress
from .writers import is_kept, write_images

TEST_RECORDS = 300
"""The last so many are for testing: they were written by other people than the first."""

SIZE = 28


def _load() -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            Fault(
                "the handwritten digits come with scikit-learn, which is not installed",
                help="pip install 'caffelite[digits]'",
            )
        ) from error
    bunch = load_digits()
    return bunch.images, bunch.target


def read_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """All images, N×1×28×28, 0 to 255, and labels, N, in the order scikit-learn has them.

    Raises:
        DataError: scikit-learn is not installed.
    """
    images, labels = _load()
    gray = np.round(images * (255 / 16)).astype(np.uint8)
    scaled = [np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for image in gray]
    return np.stack(scaled)[:, np.newaxis], labels.astype(np.uint8)


def build(
    target_dir: Path | str, force: bool = False, progress: Progress | None = None, backend: str = "lmdb"
) -> dict[str, Any]:
    """Make `digits_train_lmdb` (all but the last 300) and `digits_test_lmdb` (the last 300) in `target_dir`; with
    `backend` "leveldb" they are LevelDBs, and called so.

    Databases that are whole already are kept unless `force`.

    Returns:
        `databases`: name → {`path`, `records`, `kept`}.

    Raises:
        DataError: scikit-learn is not installed, or a database cannot be written.
    """
    images, labels = read_digits()
    cut = len(images) - TEST_RECORDS
    databases = {}
    for name, part in {"digits_train": slice(cut), "digits_test": slice(cut, None)}.items():
        path, records = Path(target_dir) / f"{name}_{backend}", len(labels[part])
        kept = is_kept(path, backend, records, force)
        if not kept:
            write_images(path, images[part], labels[part].tolist(), force, progress, backend=backend)
        databases[path.name] = {"path": path, "records": records, "kept": kept}
    return {"databases": databases}
