from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import DataError, SnapshotError
from caffelite.proto import BlobProto, Datum
from caffelite.tools.compute_mean import compute_mean
from tests.conftest import find_golden

from .databases import write, write_datums


@pytest.mark.parametrize("name", ["color", "gray"])
def test_it_is_the_recorded_mean_byte_for_byte(name: str, tmp_path: Path) -> None:
    mean = compute_mean(find_golden(f"mean/{name}_lmdb"), "lmdb")
    mean.write(tmp_path / "mean")
    assert (tmp_path / "mean").read_bytes() == find_golden(f"mean/{name}_mean.binaryproto").read_bytes()
    log = find_golden(f"mean/{name}_mean.log").read_text()
    for index, value in enumerate(mean.channels):
        assert f"mean_value channel [{index}]: {value:.6g}\n" in log


def test_encoded_images_are_decoded() -> None:
    raw, encoded = (compute_mean(find_golden(f"layers/Data/_src/{name}_lmdb")) for name in ("color", "encoded"))
    np.testing.assert_array_equal(raw.image, encoded.image)


def test_sums_stay_exact_where_single_precision_loses_digits(tmp_path: Path) -> None:
    # 2²⁴ + 1 is no float32: added up in single precision, the second and the third record would vanish.
    values = [2.0**24, 1.0, 1.0, 2.0]
    datums = [Datum(channels=1, height=1, width=1, float_data=[value]) for value in values]
    assert compute_mean(write_datums(tmp_path / "db", *datums)).image.item() == (2**24 + 4) / 4


def test_float_and_byte_records_by_hand(tmp_path: Path) -> None:
    first = Datum(channels=2, height=1, width=1, data=bytes([1, 255]))
    second = Datum(channels=2, height=1, width=1, float_data=[-0.5, 10])
    assert compute_mean(write_datums(tmp_path / "db", first, second)).channels == [0.25, 132.5]


def test_records_of_several_portions_count_alike(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (700, 1, 2, 3), dtype=np.uint8)
    datums = [Datum(channels=1, height=2, width=3, data=value.tobytes()) for value in values]
    told: list[tuple[str, int, int | None]] = []
    mean = compute_mean(write_datums(tmp_path / "db", *datums), progress=lambda *now: told.append(now))
    np.testing.assert_array_equal(mean.image, values.mean(axis=0).astype(np.float32))
    assert mean.records == 700 and told[-1] == ("db", 700, 700)


def test_another_shape_names_its_record(tmp_path: Path) -> None:
    datums = [Datum(channels=1, height=2, width=width, data=bytes(2 * width)) for width in (3, 3, 4)]
    with pytest.raises(DataError, match=r'record "00000002" is 1×2×4, the first record 1×2×3'):
        compute_mean(write_datums(tmp_path / "db", *datums))


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no database"):
        compute_mean(tmp_path / "gone")
    with pytest.raises(DataError, match="has no records"):
        compute_mean(write(tmp_path / "empty", []))
    with pytest.raises(DataError, match='record "b" is not a Datum'):
        compute_mean(write(tmp_path / "bad", [(b"b", b"\xff\xff")]))
    with pytest.raises(DataError, match="not a LevelDB") as caught:
        compute_mean(find_golden("mean/gray_lmdb"), "leveldb")
    assert "--backend" in str(caught.value)


def test_a_mean_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    mean = compute_mean(find_golden("mean/gray_lmdb"))
    with pytest.raises(SnapshotError, match="cannot be written"):
        mean.write(tmp_path / "gone" / "mean.binaryproto")
    mean.write(tmp_path / "mean.binaryproto")
    blob = BlobProto.FromString((tmp_path / "mean.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width, blob.HasField("shape")) == (1, 1, 12, 10, False)
