from __future__ import annotations

import signal
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

from caffelite.data.transform import Transform
from caffelite.errors import DataError, Fault, PrototxtError
from caffelite.proto import TRAIN, AugmentationParameter, Datum, TransformationParameter
from caffelite.tools import scratch
from caffelite.tools.expand import expand
from caffelite.tools.variants import Variants
from tests.conftest import find_golden

from .databases import contents, write, write_datums
from .killing import kill

COUNT = 150
EDGE, ZERO, REFLECT = AugmentationParameter.EDGE, AugmentationParameter.ZERO, AugmentationParameter.REFLECT
Array = np.ndarray[Any, Any]


def pictures(count: int = COUNT, channels: int = 3, height: int = 7, width: int = 5) -> Array:
    return np.random.default_rng(0).integers(0, 256, (count, channels, height, width), dtype=np.uint8)


def datum_of(image: Array, label: int) -> Datum:
    channels, height, width = image.shape
    return Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=label)


def pixels(datum: Datum) -> Array:
    flat = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    return flat.reshape(datum.channels, datum.height, datum.width)


def datums(path: Path) -> list[tuple[bytes, Datum]]:
    return [(key, Datum.FromString(value)) for key, value in contents(path)]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """150 colour images, more than two blocks, with labels up to 11."""
    return write_datums(tmp_path / "source_lmdb", *(datum_of(image, i % 12) for i, image in enumerate(pictures())))


def shifted(image: Array, down: int, right: int, border: int) -> Array:
    """One pixel after the other, from where it came."""
    _, height, width = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = row - down, column - right
            if border == EDGE:
                y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            elif border == REFLECT:
                y, x = (-1 - y if y < 0 else 2 * height - 1 - y if y >= height else y, x)
                x = -1 - x if x < 0 else 2 * width - 1 - x if x >= width else x
            if 0 <= y < height and 0 <= x < width:
                result[:, row, column] = image[:, y, x]
    return result


MOVES = [(0, -1), (0, 1), (-1, 0), (1, 0), (0, -2), (0, 2), (-2, 0), (2, 0)]


@pytest.mark.parametrize("border", [EDGE, ZERO, REFLECT])
def test_shifts_are_exact(border: int, database: Path, tmp_path: Path) -> None:
    assert expand(database, tmp_path / "db", Variants(2, border), in_order=True) == 9 * COUNT
    made, images = datums(tmp_path / "db"), pictures()
    assert [key for key, _ in made] == [b"%08d_%08d" % (number, number // 9) for number in range(9 * COUNT)]
    for number, (_, datum) in enumerate(made):
        image, variant = images[number // 9], number % 9
        wanted = shifted(image, *MOVES[variant - 1], border) if variant else image
        np.testing.assert_array_equal(pixels(datum), wanted)
        assert datum.label == number // 9 % 12


def test_the_classic_five_by_slices(tmp_path: Path) -> None:
    """The original, and moved to the left, to the right, up and down by a pixel; zeros come in."""
    image = pictures(1)[0]
    expand(write_datums(tmp_path / "one", datum_of(image, 3)), tmp_path / "db", Variants(1, ZERO), in_order=True)
    original, left, right, up, down = (pixels(datum) for _, datum in datums(tmp_path / "db"))
    np.testing.assert_array_equal(original, image)
    np.testing.assert_array_equal(left[:, :, :-1], image[:, :, 1:])
    np.testing.assert_array_equal(right[:, :, 1:], image[:, :, :-1])
    np.testing.assert_array_equal(up[:, :-1], image[:, 1:])
    np.testing.assert_array_equal(down[:, 1:], image[:, :-1])
    assert not left[:, :, -1].any() and not right[:, :, 0].any() and not up[:, -1].any() and not down[:, 0].any()


def origins(path: Path) -> list[bytes]:
    return [key.partition(b"_")[2] for key, _ in contents(path)]


def test_shuffled_it_holds_the_same_in_whole_epochs(database: Path, tmp_path: Path) -> None:
    variants = Variants(1, copies=2, augmentation="rotation: 10")
    expand(database, tmp_path / "ordered", variants, in_order=True)
    assert expand(database, tmp_path / "db", variants) == 7 * COUNT
    made, ordered = contents(tmp_path / "db"), contents(tmp_path / "ordered")
    assert [key[:9] for key, _ in made] == [b"%08d_" % number for number in range(7 * COUNT)]

    def content(records: list[tuple[bytes, bytes]]) -> Counter[tuple[bytes, bytes]]:
        return Counter((key.partition(b"_")[2], value) for key, value in records)

    assert content(made) == content(ordered)
    rounds = np.array(origins(tmp_path / "db")).reshape(7, COUNT)
    everyone = sorted(rounds[0])
    assert len(set(everyone)) == COUNT and all(sorted(one) == everyone for one in rounds)
    assert all(not np.array_equal(rounds[0], other) for other in [np.array(everyone), *rounds[1:]])
    variant = {(key.partition(b"_")[2], value): number % 7 for number, (key, value) in enumerate(ordered)}
    assert len({variant[key.partition(b"_")[2], value] for key, value in made[:COUNT]}) > 1


def test_the_order_and_the_copies_follow_from_the_seed(database: Path, tmp_path: Path) -> None:
    text = "shift: 1 elastic_alpha: 3 brightness: 0.2"
    for name, seed in (("a", 1), ("same", 1), ("other", 2)):
        expand(database, tmp_path / name, Variants(copies=1, augmentation=text, seed=seed))
    assert contents(tmp_path / "a") == contents(tmp_path / "same") != contents(tmp_path / "other")
    assert origins(tmp_path / "a") != origins(tmp_path / "other")


def test_copies_are_what_a_layer_would_make_rounded(database: Path, tmp_path: Path) -> None:
    text = "rotation: 20 scaling: 0.2 contrast: 0.5 hue: 30 cutout: 3"
    expand(database, tmp_path / "db", Variants(copies=2, augmentation=text, seed=5), in_order=True)
    transform = Transform(text_format.Parse(f"augmentation {{ {text} }}", TransformationParameter()), TRAIN)
    made = [pixels(datum) for _, datum in datums(tmp_path / "db")]
    for copy in (1, 2):
        wanted = transform(pictures(), 5, f"copy {copy}", 0)
        np.testing.assert_array_equal(np.stack(made[copy::3]), np.rint(wanted).astype(np.uint8))
    assert not any(np.array_equal(one, two) for one, two in zip(made[1::3], made[2::3], strict=True))


def test_a_copy_depends_on_its_record_and_number_alone(database: Path, tmp_path: Path) -> None:
    """Whatever comes after it, and whatever else is made of it."""
    text = "rotation: 20 elastic_alpha: 4"
    few = write(tmp_path / "few", contents(database)[:70])
    expand(few, tmp_path / "a", Variants(copies=1, augmentation=text), in_order=True)
    expand(database, tmp_path / "b", Variants(1, copies=3, augmentation=text), in_order=True)
    one = [value for _, value in contents(tmp_path / "a")][1::2]
    assert one == [value for _, value in contents(tmp_path / "b")][5::8][:70]


def test_records_may_differ_in_size_and_kind(tmp_path: Path) -> None:
    small, large = pictures(1, 1, 4, 4)[0], pictures(1, 3, 6, 9)[0]
    floats = np.random.default_rng(1).normal(size=(1, 4, 4)).astype(np.float32)
    kept = Datum(channels=1, height=4, width=4, float_data=floats.ravel().tolist(), label=2**31 - 1)
    nameless = datum_of(large, 0)
    nameless.ClearField("label")
    source = write_datums(tmp_path / "source", nameless, datum_of(small, -7), kept)
    for in_order in (True, False):
        variants = Variants(1, copies=1, augmentation="scaling: 0.2 brightness: 0.9")
        assert expand(source, tmp_path / "db", variants, in_order, force=True) == 18
        by_origin: dict[bytes, list[Datum]] = {}
        for key, datum in datums(tmp_path / "db"):
            by_origin.setdefault(key.partition(b"_")[2], []).append(datum)
        nameless_, bytes_, floats_ = (by_origin[b"%08d" % index] for index in range(3))
        assert all(datum.data and datum.label == -7 and datum.height == 4 for datum in bytes_)
        assert all(len(datum.float_data) == 16 and datum.label == 2**31 - 1 for datum in floats_)
        assert all(datum.channels == 3 and datum.width == 9 and not datum.HasField("label") for datum in nameless_)
        assert any(np.array_equal(pixels(datum), floats) for datum in floats_)
        assert any(np.array_equal(pixels(datum), shifted(large, 1, 0, EDGE)) for datum in nameless_)


def test_floats_stay_as_they_are_augmented(tmp_path: Path) -> None:
    values = np.linspace(-1000, 1000, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    datum = Datum(channels=1, height=4, width=4, float_data=values.ravel().tolist())
    source = write_datums(tmp_path / "source", datum)
    expand(source, tmp_path / "db", Variants(copies=1, augmentation="brightness: 0.5"), in_order=True)
    transform = Transform(text_format.Parse("augmentation { brightness: 0.5 }", TransformationParameter()), TRAIN)
    np.testing.assert_array_equal(pixels(datums(tmp_path / "db")[1][1]), transform(values, 1, "copy 1", 0)[0])


def test_encoded_images_become_pixels(tmp_path: Path) -> None:
    image, buffer = pictures(1)[0], BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)[..., ::-1].copy()).save(buffer, "PNG")
    source = write_datums(tmp_path / "source", Datum(data=buffer.getvalue(), encoded=True, label=4))
    expand(source, tmp_path / "db", Variants(1), in_order=True)
    made = [datum for _, datum in datums(tmp_path / "db")]
    np.testing.assert_array_equal(pixels(made[0]), image)
    np.testing.assert_array_equal(pixels(made[1]), shifted(image, 0, -1, EDGE))
    assert not any(datum.encoded for datum in made) and [datum.label for datum in made] == [4] * 5


def test_either_kind_of_database_gives_the_same(database: Path, tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    expand(database, tmp_path / "a", Variants(1))
    expand(database, tmp_path / "b", Variants(1), backend="leveldb")
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
    original = find_golden("layers/Data/_src/color_leveldb")
    assert expand(original, tmp_path / "c", Variants(1)) == 30
    expand(find_golden("layers/Data/_src/color_lmdb"), tmp_path / "d", Variants(1))
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_what_is_too_much_for_memory_goes_through_a_file(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expand(database, tmp_path / "a", Variants(1))
    monkeypatch.setattr(scratch, "_IN_MEMORY", 1000)
    rolled = []
    rollover = scratch.SpooledTemporaryFile.rollover
    monkeypatch.setattr(scratch.SpooledTemporaryFile, "rollover", lambda self: (rolled.append(self), rollover(self)))
    expand(database, tmp_path / "new" / "b", Variants(1))
    assert len(rolled) == 5 and contents(tmp_path / "a") == contents(tmp_path / "new" / "b")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["b"]


def test_a_full_disk_is_told(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "_IN_MEMORY", 1000)
    monkeypatch.setattr(scratch.SpooledTemporaryFile, "rollover", full)
    with pytest.raises(DataError, match=r"a temporary file in .* failed: No space left"):
        expand(database, tmp_path / "db", Variants(1))
    assert [file.name for file in tmp_path.iterdir()] == ["source_lmdb"]


@pytest.mark.parametrize("in_order", [True, False])
def test_progress_comes_to_its_end(in_order: bool, database: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    expand(database, tmp_path / "db", Variants(2), in_order, progress=lambda *what: told.append(what))
    total = 9 * COUNT * (1 if in_order else 2)
    assert told == [*(("db", done, total) for done in range(1000, total, 1000)), ("db", total, total)]


def test_what_cannot_be_made_is_refused_and_nothing_is_written(database: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='record "00000000" is 3×7×5: nothing of it is left when it is moved by 5'):
        expand(database, tmp_path / "db", Variants(5))
    gray = write_datums(tmp_path / "gray", *(datum_of(image, 0) for image in pictures(70, 1)))
    with pytest.raises(DataError, match='record "00000000": saturation and hue need 3 channels'):
        expand(gray, tmp_path / "db", Variants(copies=1, augmentation="hue: 10"))
    broken = [*contents(database)[:100], (b"00000200", b"\xff")]
    with pytest.raises(DataError, match='record "00000200" is not a Datum'):
        expand(write(tmp_path / "broken", broken), tmp_path / "db", Variants(1))
    with pytest.raises(DataError, match="a LevelDB has keys of any length"):
        expand(write(tmp_path / "long", [(b"x" * 505, contents(database)[0][1])]), tmp_path / "db", Variants(1))
    with pytest.raises(DataError, match="no database at"):
        expand(tmp_path / "gone", tmp_path / "db", Variants(1))
    assert not (tmp_path / "db").exists() and not list(tmp_path.glob(".*"))


def test_what_lies_there_is_only_replaced_by_force(database: Path, tmp_path: Path) -> None:
    expand(database, tmp_path / "db", Variants(1))
    before = contents(tmp_path / "db")
    with pytest.raises(DataError, match="exists and is an LMDB") as caught:
        expand(database, tmp_path / "db", Variants(2))
    assert "--force" in str(caught.value) and contents(tmp_path / "db") == before
    assert expand(database, tmp_path / "db", Variants(2), force=True) == 9 * COUNT
    with pytest.raises(DataError, match="onto itself"):
        expand(database, database, Variants(1), force=True)
    assert len(contents(database)) == COUNT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rotatoin: 3", r'^--augmentation:1:1: unknown field "rotatoin" [\s\S]*did you mean rotation'),
        ("shift: 1 rotation: -3", "^--augmentation:1:10: rotation must not be negative, got -3"),
        ("scaling: 2\nelastic_sigma: 0", r"scaling must be from 0 to 1, got 2[\s\S]*:2:1: elastic_sigma must be posi"),
        ("", "^--augmentation: this changes nothing"),
        ("elastic_sigma: 2 border: ZERO", "^--augmentation: this changes nothing"),
    ],
)
def test_faults_of_the_augmentation_are_told_in_its_text(text: str, said: str) -> None:
    with pytest.raises(PrototxtError, match=said):
        Variants(copies=1, augmentation=text)


def test_what_is_odd_about_the_augmentation_is_told() -> None:
    warned: list[Fault] = []
    Variants(copies=1, augmentation="shift: 1 border: zero", warn=warned.append)
    assert [fault.message for fault in warned] == ["zero is read as ZERO"]


KILLED = """
import sys, time
from pathlib import Path
from caffelite.tools.expand import expand
from caffelite.tools.variants import Variants

def slowly(what, done, total):
    if done >= 2000:
        print(done, flush=True)
        time.sleep(60)

expand(Path(sys.argv[1]), Path(sys.argv[2]), Variants(4), progress=slowly)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_it_leaves_nothing_under_the_name(number: int, database: Path, tmp_path: Path) -> None:
    assert kill(number, KILLED, database, tmp_path / "db") == b"2000\n"
    left = [file.name for file in tmp_path.iterdir() if file != database]
    assert len(left) == (number == signal.SIGKILL) and "db" not in left
