from __future__ import annotations

import threading
import time

import pytest

from caffelite.data.feed import Feed
from caffelite.errors import DataError

SLOW = 0.002


class Loads:
    """A slow loader that remembers what it did, and how many did it at once."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.threads: set[threading.Thread] = set()
        self.busy = self.most = 0

    def __call__(self, position: int) -> str:
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.positions.append(position)
        self.threads.add(threading.current_thread())
        time.sleep(SLOW)
        self.busy -= 1
        return f"batch {position}"


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_batches_come_in_order_whatever_is_loaded_ahead(ahead: int, workers: int) -> None:
    loads = Loads()
    feed = Feed(loads, 10, ahead, workers)
    assert [feed.take(position) for position in range(0, 100, 10)] == [f"batch {p}" for p in range(0, 100, 10)]
    feed.close()
    assert sorted(loads.positions) == list(range(0, max(loads.positions) + 1, 10)), "each once"
    assert max(loads.positions) <= 90 + 10 * ahead
    assert loads.most <= max(1, min(workers, ahead))
    if not workers:
        assert loads.threads == {threading.current_thread()}


@pytest.mark.parametrize("workers", [1, 3])
def test_slow_loads_move_to_the_workers_and_quick_ones_stay(workers: int) -> None:
    slow, threads, begun = Loads(), set(), []
    feed = Feed(slow, 1, 3, workers, lambda: begun.append(threading.current_thread()))
    for position in range(20):
        feed.take(position)
    feed.close()
    assert len(slow.threads - {threading.current_thread()}) == workers == slow.most
    assert set(begun) == slow.threads - {threading.current_thread()}

    quick = Feed(lambda position: threads.add(threading.current_thread()), 1, 3)
    for position in range(100):
        quick.take(position)
    quick.close()
    assert threads == {threading.current_thread()}


def test_the_position_may_jump() -> None:
    feed = Feed(Loads(), 10, 4, 3)
    wanted = [0, 10, 20, 500, 510, 20, 30, 30, 0]
    assert [feed.take(position) for position in wanted] == [f"batch {position}" for position in wanted]
    feed.close()


def test_an_error_comes_out_where_its_batch_is_taken_and_the_feed_goes_on() -> None:
    broken = {3}

    def load(position: int) -> int:
        time.sleep(SLOW)
        if position in broken:
            raise DataError(f"record {position} is damaged")
        return position

    feed = Feed(load, 1, 4, 2)
    assert [feed.take(position) for position in range(3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(DataError, match="record 3 is damaged"):
            feed.take(3)
    assert feed.take(4) == 4
    broken.clear()
    assert [feed.take(position) for position in (3, 4, 5)] == [3, 4, 5]
    feed.close()


def test_close_ends_the_thread_and_may_be_called_twice() -> None:
    loads = Loads()
    feed = Feed(loads, 1, 4)
    for position in range(4):
        feed.take(position)
    feed.close()
    feed.close()
    done = len(loads.positions)
    time.sleep(5 * SLOW)
    assert len(loads.positions) == done
    assert not any(thread.is_alive() for thread in loads.threads - {threading.current_thread()})
