from __future__ import annotations

import threading
import time

import pytest

from caffelite.data.feed import Feed
from caffelite.errors import DataError

SLOW = 0.002


class Loads:
    """A slow loader that remembers what it did."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.threads: set[str] = set()
        self.busy = threading.Lock()

    def __call__(self, position: int) -> str:
        assert self.busy.acquire(blocking=False), "two loads at once"
        self.positions.append(position)
        self.threads.add(threading.current_thread().name)
        time.sleep(SLOW)
        self.busy.release()
        return f"batch {position}"


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_batches_come_in_order_whatever_is_loaded_ahead(ahead: int) -> None:
    loads = Loads()
    feed = Feed(loads, 10, ahead)
    assert [feed.take(position) for position in range(0, 100, 10)] == [f"batch {p}" for p in range(0, 100, 10)]
    feed.close()
    assert loads.positions == list(range(0, loads.positions[-1] + 1, 10)), "each once, in order"
    assert loads.positions[-1] <= 90 + 10 * ahead


def test_slow_loads_move_to_one_thread_and_quick_ones_stay() -> None:
    slow, threads = Loads(), set()
    feed = Feed(slow, 1, 3)
    for position in range(8):
        feed.take(position)
    feed.close()
    assert len(slow.threads - {threading.current_thread().name}) == 1

    quick = Feed(lambda position: threads.add(threading.current_thread().name), 1, 3)
    for position in range(100):
        quick.take(position)
    quick.close()
    assert threads == {threading.current_thread().name}


def test_the_position_may_jump() -> None:
    feed = Feed(Loads(), 10, 4)
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

    feed = Feed(load, 1, 4)
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
    assert not {t.name for t in threading.enumerate()} & (loads.threads - {threading.current_thread().name})
