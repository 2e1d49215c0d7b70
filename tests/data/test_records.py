from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffelite.data.cache import MOST_BYTES, Cache
from caffelite.data.datum import Records
from caffelite.data.records import RecordStream
from caffelite.data.sources import acquire
from caffelite.errors import DataError

from .databases import datum, numbered, write_images, write_values

COUNT = 7


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("records") / "db", numbered(COUNT))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    reads=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8),
    budget=st.sampled_from([0, COUNT * 16 - 1, COUNT * 16, None]),
)
def test_the_stream_is_the_data_set_again_and_again(
    database: Path, reads: list[tuple[int, int]], budget: int | None
) -> None:
    stream = RecordStream(acquire(database, "LMDB"), budget=budget)
    try:
        for position, count in reads:
            wanted = np.arange(position, position + count) % COUNT
            records = stream.read(position, count)
            np.testing.assert_array_equal(records.labels, wanted)
            np.testing.assert_array_equal(records.images, numbered(COUNT)[wanted])
    finally:
        stream.close()
        stream.close()


def test_a_data_set_that_fits_is_read_from_its_file_once(database: Path) -> None:
    stream = RecordStream(acquire(database, "LMDB"))
    reads = []
    reader = stream._reader

    class Counting:
        def read(self, start: int, count: int) -> list[bytes]:
            reads.extend(range(start, start + count))
            return reader.read(start, count)

        def close(self) -> None:
            reader.close()

    stream._reader = Counting()  # type: ignore[assignment]
    for position in range(0, 5 * COUNT, 3):
        stream.read(position, 3)
    stream.close()
    assert set(reads) == set(range(COUNT))
    assert len(reads) <= COUNT + 2  # the batch that wraps may read its few known records again


def test_a_stream_of_unequal_records_goes_on_without_a_cache(tmp_path: Path) -> None:
    images = [np.full((1, size, 2), size, np.uint8) for size in (2, 2, 3)]
    path = write_values(tmp_path / "db", [datum(image, 0) for image in images])
    stream = RecordStream(acquire(path, "LMDB"))
    for position in range(9):
        np.testing.assert_array_equal(stream.read(position, 1).images[0], images[position % 3])
    stream.close()


def test_an_empty_database_is_an_error_and_is_closed(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [])
    for _ in range(2):
        with pytest.raises(DataError, match="has no records"):
            RecordStream(acquire(path, "LMDB"))


def test_the_budget_bounds_the_cache() -> None:
    image = np.zeros((1, 10, 10), np.uint8)
    records = Records(image[np.newaxis], np.zeros(1, np.float32))
    for budget, kept in ((300, True), (299, False)):
        cache = Cache(3, image, budget)
        cache.put(0, records)
        assert (cache.get(0, 1) is not None) == kept
    huge = Cache(MOST_BYTES // 100 + 1, image)
    huge.put(0, records)
    assert huge.get(0, 1) is None
