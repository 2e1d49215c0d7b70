"""CIFAR-10: from its binary files to two databases.  Source: `examples/cifar10/convert_cifar_data.cpp`.

A record of the files is a label and 3×32×32 pixels, the channels in the order R, G, B: the original keeps that order
in its databases, and so do we.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault
from .download import cache_folder, check_md5, fetch, made
from .progress import Progress
from .writers import count_in, is_kept, write_images

ARCHIVE = "cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)

TARGETS = {
    "cifar10_train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "cifar10_test": ("test_batch.bin",),
}
"""The databases, whose names end in their kind, and the files they are made from."""

SHAPE = (3, 32, 32)
IN_A_FILE = 10000
_RECORD_BYTES = 1 + 3 * 32 * 32
_CLASSES = 10

Contents = Mapping[str, bytes]
"""The six files by name."""


def build(
    target_dir: Path | str,
    from_folder: Path | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    verify: bool = True,
    backend: str = "lmdb",
) -> dict[str, Any]:
    """Make `cifar10_train_lmdb` and `cifar10_test_lmdb` in `target_dir`; keys are `%05d`.  With `backend` "leveldb"
    they are LevelDBs, and called so.

    The archive, or the six files out of it, are taken from `from_folder`, else from $CAFFELITE_DATASETS/cifar10, else
    downloaded.  A database that is whole already is kept unless `force`.

    Args:
        progress: told (what, done, of how many), while downloading in bytes, while writing in images.
        verify: insist on the archive's checksum and on 10,000 images a file.

    Returns:
        `databases`: name → {`path`, `records`, `kept`}; `source`: where the files came from, None where everything
        was kept.

    Raises:
        DataError: the files cannot be had or are damaged, or a database cannot be written.
    """
    folder = Path(target_dir)
    paths = {name: folder / f"{name}_{backend}" for name in TARGETS}
    wanted = {name: len(files) * IN_A_FILE if verify else None for name, files in TARGETS.items()}
    kept = {name for name in TARGETS if is_kept(paths[name], backend, wanted[name], force)}
    source = None
    if len(kept) < len(TARGETS):
        source = _source(Path(from_folder) if from_folder is not None else None, progress, verify)
        contents = _contents(source, verify)
        for name in TARGETS:
            if name not in kept:
                images, labels = read_images(contents, TARGETS[name], verify)
                write_images(paths[name], images, labels.tolist(), force, progress, key_format=b"%05d", backend=backend)
    databases = {
        path.name: {"path": path, "records": count_in(path, backend), "kept": name in kept}
        for name, path in paths.items()
    }
    return {"databases": databases, "source": source}


def find_files(folder: Path) -> Path | None:
    """The archive in `folder`, or the folder that holds the six files: itself, or the one they are unpacked to."""
    for candidate in (folder, folder / "cifar-10-batches-bin"):
        if all((candidate / name).is_file() for names in TARGETS.values() for name in names):
            return candidate
    return folder / ARCHIVE if (folder / ARCHIVE).is_file() else None


def _source(from_folder: Path | None, progress: Progress | None, verify: bool) -> Path:
    if from_folder is not None:
        found = find_files(from_folder)
        if found is None:
            names = f"{ARCHIVE} nor data_batch_1.bin … data_batch_5.bin and test_batch.bin"
            raise DataError(
                f'"{from_folder}" ' + (f"has neither {names}" if from_folder.is_dir() else "is not a folder")
            )
        return found
    datasets = os.environ.get("CAFFELITE_DATASETS")
    found = find_files(Path(datasets) / "cifar10") if datasets else None
    return found or download(progress=progress, verify=verify)


def download(
    folder: Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    progress: Progress | None = None,
    verify: bool = True,
) -> Path:
    """The archive in `folder` (default: the user's cache), fetched where it lacks, and checked.

    Raises:
        DataError: it cannot be had; says what was tried, and the ways out.
    """
    target = made(folder or cache_folder("cifar10")) / ARCHIVE
    if target.is_file():
        return target

    def accept(content: bytes) -> None:
        if verify:
            check_md5(content, MD5, ARCHIVE)

    troubles = fetch(mirrors, ARCHIVE, target, accept, progress)
    if troubles:
        help = f"get {ARCHIVE} by other means and give its folder with --from FOLDER, or put it into "
        help += "$CAFFELITE_DATASETS/cifar10"
        raise DataError(Fault("CIFAR-10 could not be downloaded; tried\n  " + "\n  ".join(troubles), help=help))
    return target


def _contents(source: Path, verify: bool) -> dict[str, bytes]:
    """The six files, in a folder or in the archive."""
    names = [name for files in TARGETS.values() for name in files]
    try:
        if source.is_dir():
            return {name: (source / name).read_bytes() for name in names}
        if verify:
            check_md5(source.read_bytes(), MD5, str(source))
        return _unpacked(source, names)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(f'"{source}" cannot be read: {error}') from error


def _unpacked(archive: Path, names: Sequence[str]) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = Path(member.name).name
            if name in names and (file := tar.extractfile(member)) is not None:
                found[name] = file.read()
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DataError(f'"{archive}" has no {", ".join(lacking)}')
    return found


def read_images(
    contents: Contents, names: Sequence[str], verify: bool = True
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images, N×3×32×32, channels R, G, B, and labels, N, of these files, one after the other.

    Raises:
        DataError: a file has another length than it should, or a label that is none of the ten.
    """
    parts = []
    for name in names:
        size = len(contents[name])
        if size % _RECORD_BYTES or not size or (verify and size != IN_A_FILE * _RECORD_BYTES):
            wanted = f"{IN_A_FILE} × {_RECORD_BYTES}" if verify else f"a multiple of {_RECORD_BYTES}"
            raise DataError(Fault(f'"{name}" must have {wanted} bytes, got {size}', help="unpack or download it again"))
        rows = np.frombuffer(contents[name], np.uint8).reshape(-1, _RECORD_BYTES)
        wrong = np.flatnonzero(rows[:, 0] >= _CLASSES)
        if wrong.size:
            raise DataError(f'"{name}": labels must be below {_CLASSES}, image {wrong[0]} has {rows[wrong[0], 0]}')
        parts.append(rows)
    rows = np.concatenate(parts)
    return rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0]
