"""Clips with a truth for every voxel, as facebook/C3D v1.0 keeps them: a file each, which a text file lists.

A file is five int32 (num, channels, length, height, width; little endian), then the values, floats or bytes, in this
order of axes.  The last channels are the truth.  Source: `src/caffe/util/image_io.cpp` (load_blob_from_binary,
load_blob_from_uint8_binary).
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault
from .image_files import ImageFiles, read_lines
from .transform_param import by

_AXES = 5


class VoxelFiles:
    """The clips of a list.

    Args:
        source: the text file, a path on each line.
        beside: a folder that paths may be relative to, too.
        bytes: the files hold bytes, not floats.
    """

    def __init__(self, source: str, beside: Path | None, bytes: bool) -> None:
        listed_in, lines = read_lines(source, beside, "clips")
        names = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
        if not names:
            raise DataError(f'the list "{source}" names no clip')
        numbers, paths = (list(part) for part in zip(*names, strict=True))
        self._files = ImageFiles.of(listed_in, paths, numbers, "", beside)
        self._type = np.dtype(np.uint8 if bytes else "<f4")

    def __len__(self) -> int:
        return len(self._files.names)

    def fault(self, row: int, message: str) -> DataError:
        """An error about one clip: `message` goes on after its name."""
        return DataError(Fault(f'clip "{self._files.names[row]}" {message}', self._files.place(row)))

    def shape(self, row: int) -> tuple[int, ...]:
        """Channels, length, height and width of a clip.

        Raises:
            DataError: the file cannot be read, or is no clip.
        """
        return self.clip(row, only_shape=True).shape

    def clip(self, row: int, only_shape: bool = False) -> NDArray[np.float32]:
        """A clip, C×L×H×W; with `only_shape` its values may be anything.

        Raises:
            DataError: the file cannot be read, or is no clip.
        """
        path = self._files.path(row)
        try:
            with open(path, "rb") as file:
                shape = np.frombuffer(file.read(4 * _AXES), "<i4").tolist()
                size = os.fstat(file.fileno()).st_size - 4 * _AXES
                if len(shape) < _AXES or min(shape) < 1 or size != prod(shape) * self._type.itemsize or shape[0] != 1:
                    told = f"is no clip: it says shape {by(shape)} and holds {max(0, size)} bytes"
                    raise self.fault(row, f"{told} of {self._type.itemsize} a value")
                if only_shape:
                    return np.broadcast_to(np.float32(0), shape[1:])
                return np.frombuffer(file.read(), self._type).astype(np.float32).reshape(shape[1:])
        except (OSError, ValueError) as error:
            raise self.fault(row, f"cannot be read: {getattr(error, 'strerror', error)}") from error
