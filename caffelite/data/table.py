"""Labelled images by number."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault
from .cache import Array, Cache, Images
from .datum import Records
from .image import Picture
from .label_counts import LabelCounts
from .order import Rows


class Table(ABC):
    """Images and labels of a source by number, decoded, and kept in memory where all of them fit.

    Several threads may read at once.

    Attributes:
        labels: float32, N or N×K; of records that were not read yet they may be anything.
    """

    def __init__(self, labels: NDArray[np.float32], budget: int | None = None) -> None:
        """`budget`: the most bytes of images to keep; None: what there is room for."""
        self.labels = labels
        self._budget = budget
        self._lock = threading.RLock()  # what is wrong with a record is told with its key, which is read under it too
        self._cache: Cache | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def first(self) -> Array | Picture:
        """The first image, C×H×W.

        Raises:
            DataError: it cannot be read or decoded.
        """

    def records(self, rows: Rows) -> Records:
        """The images of these numbers, not to be written to, and their labels.

        Raises:
            DataError: one of them cannot be read or decoded; names it.
        """
        images: Images | None = self._kept(rows)
        if images is None:
            read = self._read(rows)
            images = self._caching(read).keep(rows, read)
        return Records(images, self.labels[rows])

    def _kept(self, rows: Rows) -> Array | None:
        return None if self._cache is None else self._cache.get(rows)

    def _caching(self, images: Images) -> Cache:
        with self._lock:
            if self._cache is None:
                self._cache = Cache(len(self), images[0], self._budget)
            return self._cache

    @abstractmethod
    def _read(self, rows: Rows) -> Images:
        """The images of these numbers, from their source; puts their labels where they belong."""

    @abstractmethod
    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        """A fault of one image: `message` goes on after its name."""

    def label_size(self) -> int:
        """How many bytes have to be read to know a label, about; 0 where all are known."""
        return 0

    def labels_of(self, rows: Rows) -> NDArray[np.float32]:
        """The labels of these numbers; no image is decoded."""
        return self.labels[rows]

    @abstractmethod
    def label_counts(self) -> LabelCounts:
        """How often each label occurs; no image is decoded."""

    def close(self) -> None:
        """Give the source back.  May be called twice."""
        return
