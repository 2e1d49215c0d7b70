from __future__ import annotations

import numpy as np

from caffelite.data.order import Order


def test_a_list_is_taken_as_it_stands_again_and_again() -> None:
    order = Order(5)
    assert order.rows(0, 3).tolist() == [0, 1, 2]
    assert order.rows(3, 9).tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert order.rows(1_000_004, 2).tolist() == [4, 0]


def test_every_shuffled_epoch_is_a_new_permutation() -> None:
    order = Order(50, (1, "data"))
    epochs = [order.rows(50 * epoch, 50).tolist() for epoch in range(4)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_shuffled_order_depends_on_seed_layer_and_position_alone() -> None:
    whole = Order(7, (1, "data")).rows(0, 100)
    other = Order(7, (1, "data"))
    for start, count in ((90, 10), (0, 30), (33, 1), (5, 60)):
        np.testing.assert_array_equal(other.rows(start, count), whole[start : start + count])
    assert not np.array_equal(Order(7, (2, "data")).rows(0, 100), whole)
    assert not np.array_equal(Order(7, (1, "test")).rows(0, 100), whole)
