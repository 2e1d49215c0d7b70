from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.tools.pictures import caption, write_grid


@pytest.mark.parametrize(
    ("count", "shape", "columns"),
    [(64, (28, 28), 8), (1, (28, 28), 1), (2, (64, 64), 2), (12, (64, 64), 4), (7, (64, 64), 3), (3, (10, 640), 1)],
)
def test_grids_are_about_square_and_full(count: int, shape: tuple[int, int], columns: int, tmp_path: Path) -> None:
    write_grid(tmp_path / "it.png", [np.zeros((1, *shape), np.uint8)] * count, [""] * count)
    factor = max(1, -(-64 // max(shape)))
    with Image.open(tmp_path / "it.png") as picture:
        assert picture.width == columns * (shape[1] * factor + 2) + 2
        assert picture.height == -(-count // columns) * (shape[0] * factor + 16) + 2


def test_captions_that_do_not_fit_are_seen_to_be_cut(tmp_path: Path) -> None:
    def drawn(text: str) -> bytes:
        write_grid(tmp_path / "it.png", [np.zeros((1, 64, 64), np.uint8)], [text])
        return (tmp_path / "it.png").read_bytes()

    assert drawn("9" * 30) == drawn("9" * 40) != drawn("9" * 9)


def test_captions_are_short_but_whole_numbers_whole() -> None:
    assert caption(np.array([1234567, -0.33333, 0], np.float64)) == "1234567 -0.333 0"
    assert caption([float("nan")]) == "nan"
