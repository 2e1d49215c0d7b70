from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from caffelite.data import block_order
from caffelite.data.block_order import BlockOrder, Blocks
from caffelite.runtime import seeds

SMALL, LARGE = Blocks(rows=7, block=3, row_bytes=10), Blocks(rows=38, block=4, row_bytes=10)
BY = (1, "data")


@pytest.fixture(autouse=True)
def _few_rows_are_shuffled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 rows: all of SMALL, 3 blocks of LARGE."""
    monkeypatch.setattr(block_order, "SHUFFLED_BYTES", 120)


def rows_at(order: BlockOrder, files: list[Blocks], start: int, count: int) -> list[tuple[int, int]]:
    """The (file, row) at positions start … start + count − 1, asked for one by one."""
    found = []
    for position in range(start, start + count):
        part, row = order.at(position)
        here = np.concatenate([np.arange(*files[part.file].bounds(block)) for block in part.blocks])
        assert len(here) == part.count
        found += [(part.file, int(here[part.rows(row, row + 1)].item()))]
    return found


def test_as_they_stand_rows_come_block_by_block() -> None:
    files = [SMALL, LARGE]
    order = BlockOrder(files)
    epoch = [(0, row) for row in range(7)] + [(1, row) for row in range(38)]
    assert len(order) == 45
    assert rows_at(order, files, 0, 100) == (epoch * 3)[:100]
    assert [(order.at(position)[0].blocks, order.at(position)[1]) for position in (0, 5, 6, 7, 44)] == [
        ((0,), 0),
        ((1,), 2),
        ((2,), 0),
        ((0,), 0),
        ((9,), 1),
    ]


def test_a_small_file_is_shuffled_as_a_whole() -> None:
    """The draws by hand: files by (epoch), rows by (epoch, file)."""
    files = [SMALL, SMALL, SMALL]
    wanted = [
        (int(file), int(row))
        for epoch in range(3)
        for file in seeds.generator(*BY, "files", epoch).permutation(3)
        for row in seeds.generator(*BY, "rows", epoch, int(file)).permutation(7)
    ]
    assert rows_at(BlockOrder(files, BY), files, 0, len(wanted)) == wanted


def test_a_block_of_any_size_may_be_the_only_one() -> None:
    files = [Blocks(rows=50, block=50, row_bytes=10)]
    wanted = seeds.generator(*BY, "rows", 0, 0).permutation(50).tolist()
    assert [row for _, row in rows_at(BlockOrder(files, BY), files, 0, 50)] == wanted


def test_a_large_file_is_shuffled_by_blocks_and_among_neighbours() -> None:
    files = [LARGE]
    order, epochs = BlockOrder(files, BY), []
    for epoch in range(4):
        rows = [row for _, row in rows_at(order, files, 38 * epoch, 38)]
        assert sorted(rows) == list(range(38))
        parts = [order.at(38 * epoch + row)[0] for row in range(38)]
        assert all(part.count <= 12 for part in parts)
        changes = [position for position, (a, b) in enumerate(pairwise(parts), 1) if a is not b]
        assert len(changes) == 3, "ten blocks are four parts of up to three"
        for start, end in pairwise([0, *changes, 38]):
            blocks = sorted({row // 4 for row in rows[start:end]})
            assert blocks == sorted(parts[start].blocks), "a part holds whole blocks"
            assert len(blocks) == 1 or rows[start:end] != sorted(rows[start:end])
        epochs.append(rows)
    assert len({tuple(rows) for rows in epochs}) == 4
    assert any(abs(a - b) != 1 for a, b in pairwise(order.at(0)[0].blocks)), "blocks in their order"


def test_the_order_depends_on_seed_layer_and_position_alone() -> None:
    files = [SMALL, LARGE, SMALL]
    whole = rows_at(BlockOrder(files, BY), files, 0, 200)
    other = BlockOrder(files, BY)
    for start, count in ((150, 50), (0, 60), (51, 3), (199, 1), (20, 90)):
        assert rows_at(other, files, start, count) == whole[start : start + count]
    assert rows_at(BlockOrder(files, (2, "data")), files, 0, 200) != whole
    assert rows_at(BlockOrder(files, (1, "test")), files, 0, 200) != whole


def test_files_do_not_mix() -> None:
    files = [SMALL, LARGE, SMALL]
    for epoch in range(5):
        rows = rows_at(BlockOrder(files, BY), files, 52 * epoch, 52)
        assert sum(a != b for a, b in pairwise(file for file, _ in rows)) == 2
