from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffelite.data.cache import MOST_BYTES, Cache
from caffelite.data.record_table import RecordTable
from caffelite.data.sources import acquire
from caffelite.data.values import Values
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
def test_records_are_those_of_the_data_set_whatever_is_kept(
    database: Path, reads: list[tuple[int, int]], budget: int | None
) -> None:
    table = RecordTable(acquire(database, "LMDB"), budget=budget)
    try:
        for position, count in reads:
            wanted = np.arange(position, position + count) % COUNT
            records = table.records(wanted)
            np.testing.assert_array_equal(records.labels, wanted)
            np.testing.assert_array_equal(records.images, numbered(COUNT)[wanted])
    finally:
        table.close()
        table.close()


def test_a_data_set_that_fits_is_read_from_its_file_once(database: Path) -> None:
    table = RecordTable(acquire(database, "LMDB"))
    reads = []
    reader = table._reader

    class Counting:
        def take(self, rows: list[int]) -> Values:
            reads.extend(rows)
            return reader.take(rows)

        def close(self) -> None:
            reader.close()

    table._reader = Counting()  # type: ignore[assignment]
    for position in range(0, 5 * COUNT, 3):
        table.records(np.arange(position, position + 3) % COUNT)
    table.close()
    assert set(reads) == set(range(COUNT))
    assert len(reads) <= COUNT + 3  # the first batch finds out what records are like


def test_a_table_of_unequal_records_goes_on_without_a_cache(tmp_path: Path) -> None:
    images = [np.full((1, size, 2), size, np.uint8) for size in (2, 2, 3)]
    path = write_values(tmp_path / "db", [datum(image, 0) for image in images])
    table = RecordTable(acquire(path, "LMDB"))
    for position in range(9):
        np.testing.assert_array_equal(table.records(np.array([position % 3])).images[0], images[position % 3])
    table.close()


def test_an_empty_database_is_an_error_and_is_closed(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [])
    for _ in range(2):
        with pytest.raises(DataError, match="has no records"):
            RecordTable(acquire(path, "LMDB"))


def test_several_threads_read_at_once(database: Path) -> None:
    table = RecordTable(acquire(database, "LMDB"), budget=0)
    chance = np.random.default_rng(1)
    wanted = [chance.integers(0, COUNT, 5) for _ in range(200)]
    with ThreadPoolExecutor(4) as threads:
        for rows, records in zip(wanted, threads.map(table.records, wanted), strict=True):
            np.testing.assert_array_equal(records.images, numbered(COUNT)[rows])
    table.close()


def test_the_budget_bounds_the_cache() -> None:
    image = np.zeros((1, 10, 10), np.uint8)
    first = np.zeros(1, np.int64)
    for budget, kept in ((300, True), (299, False)):
        cache = Cache(3, image, budget)
        cache.keep(first, image[np.newaxis])
        assert (cache.get(first) is not None) == kept
    huge = Cache(MOST_BYTES // 100 + 1, image)
    huge.keep(first, image[np.newaxis])
    assert huge.get(first) is None
