from __future__ import annotations

import numpy as np
import pytest

from caffelite.data.lazily import Lazily


def test_images_are_made_when_asked_for_and_the_last_is_remembered() -> None:
    made: list[int] = []

    def image(index: int) -> np.ndarray:
        made.append(index)
        return np.full((1, 2, 2), index)

    images = Lazily(4, image)
    assert len(images) == 4 and not made
    assert images[0] is images[0]
    assert [int(one.max()) for one in images[1:3]] == [1, 2]
    assert made == [0, 1, 2]
    assert [int(one.max()) for one in images] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        images[4]


def test_what_cannot_be_made_is_told_where_it_is_asked_for() -> None:
    def image(index: int) -> np.ndarray:
        if index == 1:
            raise ValueError("broken")
        return np.zeros((1, 1, 1))

    images = Lazily(3, image)
    assert images[2].shape == images[0].shape
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            images[1]
