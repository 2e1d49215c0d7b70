"""MNIST: from the four IDX files, wherever they are to be had, to two databases; as LMDBs, `models/mnist` reads them.

Source: `examples/mnist/convert_mnist_data.cpp`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault
from . import idx
from .download import cache_folder, check_md5, fetch, made
from .progress import Progress
from .writers import count_in, is_kept, write_images

CHECKSUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""The four files, and the MD5 sums of their uncompressed content."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

TARGETS = {"mnist_train": ("train", 60000), "mnist_test": ("t10k", 10000)}
"""The databases, whose names end in their kind: which files they are made from, and how many digits they hold."""


def find_idx(folder: Path | str) -> dict[str, Path]:
    """Those of MNIST's four files that lie in `folder`, by their usual names; gzipped (.gz) or not."""
    found = {}
    for name in CHECKSUMS:
        dotted = name.replace("-idx", ".idx")
        candidates = (Path(folder) / spelling for spelling in (name, f"{name}.gz", dotted, f"{dotted}.gz"))
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is not None:
            found[name] = path
    return found


def download(
    folder: Path | str | None = None, mirrors: Sequence[str] = MIRRORS, progress: Progress | None = None
) -> dict[str, Path]:
    """MNIST's four files in `folder` (default: the user's cache); those that lack are fetched, and checked.

    Raises:
        DataError: a file cannot be had from any mirror; says what was tried, and the ways out.
    """
    folder = made(cache_folder("mnist") if folder is None else Path(folder))
    for name in CHECKSUMS:
        if name in find_idx(folder):
            continue
        target = folder / f"{name}.gz"
        troubles = fetch(mirrors, target.name, target, partial(_accept, name=name), progress)
        if troubles:
            raise DataError(Fault("MNIST could not be downloaded; tried\n  " + "\n  ".join(troubles), help=_WAYS_OUT))
    return find_idx(folder)


_WAYS_OUT = (
    "get the four files by other means (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
    "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz) and give their folder with --from FOLDER, "
    "or put them into $CAFFELITE_DATASETS/mnist"
)


def _accept(packed: bytes, name: str) -> None:
    check_md5(idx.unpack(packed, name), CHECKSUMS[name], f"{name}.gz")


def _files(from_folder: Path | None, progress: Progress | None) -> tuple[dict[str, Path], Path]:
    """The four files and the folder they lie in."""
    if from_folder is not None:
        found = find_idx(from_folder)
        lacking = [name for name in CHECKSUMS if name not in found]
        if lacking:
            if not from_folder.is_dir():
                raise DataError(f'"{from_folder}" is not a folder')
            message = f'"{from_folder}" has no {", ".join(lacking)}'
            raise DataError(Fault(message, help="the files may be gzipped (.gz) or not"))
        return found, from_folder
    datasets = os.environ.get("CAFFELITE_DATASETS")
    if datasets and len(found := find_idx(Path(datasets) / "mnist")) == len(CHECKSUMS):
        return found, Path(datasets) / "mnist"
    return download(progress=progress), cache_folder("mnist")


def read_digits(files: dict[str, Path], part: str, verify: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images, N×1×H×W, and labels, N, of a part: "train" or "t10k".

    Raises:
        DataError: a file is damaged, is not the one it should be (`verify`: by its checksum), or the two differ in
            length.
    """
    contents = []
    for name, axes in ((f"{part}-images-idx3-ubyte", 3), (f"{part}-labels-idx1-ubyte", 1)):
        content = idx.read(files[name])
        array = idx.parse(content, axes, str(files[name]))
        if verify:
            check_md5(content, CHECKSUMS[name], str(files[name]))
        contents.append(array)
    images, labels = contents
    if len(images) != len(labels):
        raise DataError(f"there are {len(images)} {part} images, but {len(labels)} labels")
    return images[:, np.newaxis], labels


def build(
    target_dir: Path | str,
    from_folder: Path | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    verify: bool = True,
    backend: str = "lmdb",
) -> dict[str, Any]:
    """Make `mnist_train_lmdb` and `mnist_test_lmdb` in `target_dir`; with `backend` "leveldb" they are LevelDBs, and
    called so.

    The four files are taken from `from_folder`, else from $CAFFELITE_DATASETS/mnist, else downloaded.  A database that
    is whole already is kept unless `force`.

    Args:
        progress: told (what, done, of how many), while downloading in bytes, while writing in digits.
        verify: insist on the checksums and the number of digits of the real MNIST.

    Returns:
        `databases`: name → {`path`, `records`, `kept`}; `source`: the folder the files came from, None where
        everything was kept.

    Raises:
        DataError: the files cannot be had or are damaged, or a database cannot be written.
    """
    folder = Path(target_dir)
    paths = {name: folder / f"{name}_{backend}" for name in TARGETS}
    kept = {name for name in TARGETS if is_kept(paths[name], backend, TARGETS[name][1] if verify else None, force)}
    files: dict[str, Path] = {}
    source = None
    if len(kept) < len(TARGETS):
        files, source = _files(Path(from_folder) if from_folder is not None else None, progress)
    for name, (part, _) in TARGETS.items():
        if name not in kept:
            images, labels = read_digits(files, part, verify)
            write_images(paths[name], images, labels.tolist(), force, progress, backend=backend)
    databases = {
        path.name: {"path": path, "records": count_in(path, backend), "kept": name in kept}
        for name, path in paths.items()
    }
    return {"databases": databases, "source": source}
