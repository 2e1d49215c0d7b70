"""Images as people give them: files, folders, .npy files, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.transform_param import by
from ..errors import DataError, Fault
from ..tools.image_lists import SUFFIXES, shown
from .io import unreadable

File = str | os.PathLike[str]
Image = File | NDArray[Any]


def named(images: Image | Iterable[Image]) -> Iterator[tuple[str, Image]]:
    """Images one by one, each with its name; folders and .npy files opened.

    Raises:
        DataError: files are missing (all are told), or a folder or a .npy file has no images.
    """
    if isinstance(images, (str, os.PathLike)) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    missing = []
    for number, image in enumerate(images):
        if isinstance(image, np.ndarray):
            yield f"image {number}", image
            continue
        path = Path(image)
        if path.is_dir():
            yield from ((shown(str(file)), file) for file in _images_in(path))
        elif path.suffix == ".npy" and path.is_file():
            yield from _stored(path)
        elif not os.path.exists(path):
            missing.append(unreadable(path, "there is no such file").faults[0])
        else:
            yield shown(str(path)), path
    if missing:
        raise DataError(missing)


def _images_in(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    if not found:
        help = f"names of images end in {', '.join(sorted(SUFFIXES))}"
        raise DataError(Fault(f'the folder "{folder}" holds no images', help=help))
    return found


def _stored(path: Path) -> Iterator[tuple[str, Image]]:
    try:
        images = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, str(error)) from error
    images = images[np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4 or images.dtype.kind not in "fiu":
        raise unreadable(path, f"images are H×W×K, or N×H×W×K, got {by(images.shape)} of {images.dtype}")
    yield from ((f"{shown(str(path))}[{number}]", image) for number, image in enumerate(images))
