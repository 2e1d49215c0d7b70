"""Databases made for a test, by protobuf and lmdb alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from caffelite.proto import Datum


def datum(image: np.ndarray, label: int | None = None) -> bytes:
    """A Datum with the pixels (uint8) or values (float32) of a C×H×W image."""
    channels, height, width = image.shape
    message = Datum(channels=channels, height=height, width=width)
    if image.dtype == np.uint8:
        message.data = image.tobytes()
    else:
        message.float_data.extend(image.ravel().tolist())
    if label is not None:
        message.label = label
    return bytes(message.SerializeToString())


def write_values(path: Path, values: Sequence[bytes], **options: Any) -> Path:
    """An LMDB of these values under keys 00000000, 00000001 …"""
    with (
        lmdb.open(str(path), map_size=1 << 24, lock=False, **options) as environment,
        environment.begin(write=True) as txn,
    ):
        for index, value in enumerate(values):
            txn.put(b"%08d" % index, value)
    return path


def numbered(count: int, shape: tuple[int, int, int] = (1, 4, 4)) -> np.ndarray:
    """Images that differ from each other: record i is filled with i, and pixel j has j added."""
    pixels = np.arange(int(np.prod(shape))).reshape(shape)
    return (np.arange(count)[:, None, None, None] + pixels).astype(np.uint8)


def write_images(path: Path, images: np.ndarray) -> Path:
    """An LMDB of these images; the label of record i is i."""
    return write_values(path, [datum(image, label) for label, image in enumerate(images)])
