"""Labels are counted as they stand in the data: each record once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.data.label_counts import count_datum_labels, count_labels
from caffelite.data.sources import acquire, release
from caffelite.errors import DataError
from caffelite.proto import Datum

from .databases import datum, numbered, write_values


def test_an_array_of_any_shape() -> None:
    labels = np.array([[[1, 0], [1, 255]], [[-1, 1], [0.5, np.nan]]], np.float32)
    counts = count_labels(labels)
    not_a_number = [count for label, count in counts.items() if label != label]
    assert not_a_number == [1]
    assert {label: count for label, count in counts.items() if label == label} == {0: 1, 1: 3, 255: 1, -1: 1, 0.5: 1}


def counted(database: Path) -> dict[float, int]:
    source = acquire(database, "LMDB")
    reader = source.reader()
    try:
        return dict(count_datum_labels(reader, len(source)))
    finally:
        reader.close()
        release(source)


def test_records_of_a_database_more_than_fit_at_once(tmp_path: Path) -> None:
    image = numbered(1)[0]
    labels = [3, 3, -1, 0, 7] * 121
    values = [datum(image, label) for label in labels] + [datum(image)]
    assert counted(write_values(tmp_path / "lmdb", values)) == {3: 242, -1: 121, 0: 122, 7: 121}


def test_images_need_not_be_readable(tmp_path: Path) -> None:
    broken = Datum(encoded=True, data=b"no image", label=2).SerializeToString()
    assert counted(write_values(tmp_path / "lmdb", [broken])) == {2: 1}


def test_a_record_that_is_no_datum_is_named(tmp_path: Path) -> None:
    path = write_values(tmp_path / "lmdb", [datum(numbered(1)[0], 1), b"\xff\xff\xff"])
    with pytest.raises(DataError) as caught:
        counted(path)
    assert str(caught.value) == 'record "00000001" is not a Datum\n  help: which tool wrote it?'
