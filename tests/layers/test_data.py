from __future__ import annotations

import logging
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.data import feed
from caffelite.errors import DataError, LayerError
from caffelite.proto import Datum

from ..conftest import find_golden
from ..data.by_hand import TEST, TRAIN, batch, first_layer_of, layer_from, opened
from ..data.databases import datum, numbered, write_images, write_values

RECORDED = {
    "lmdb_plain": (TEST, 3, 0, 0),
    "leveldb_scale": (TEST, 1, 1e-5, 1e-6),
    "leveldb_fresh": (TEST, 1, 0, 0),
    "mean_value_one": (TEST, 1, 1e-5, 1e-6),
    "mean_values3_crop": (TEST, 1, 1e-5, 1e-6),
    "mean_file_crop": (TEST, 1, 1e-6, 1e-4),
    "mean_file_train": (TRAIN, 1, 1e-6, 1e-4),
    "gray_no_label": (TEST, 1, 0, 0),
    "encoded_png": (TEST, 1, 0, 0),
    "encoded_force_gray": (TEST, 1, 0, 1.01),
    "float_datum": (TEST, 1, 1e-5, 1e-6),
    "deprecated_fields": (TEST, 1, 1e-6, 1e-4),
    "deprecated_mirror_ignored": (TEST, 2, 0, 0),
}
"""Cases of the original: phase, forwards, relative and absolute tolerance of its index."""


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_case(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.startswith("leveldb"):
        pytest.importorskip("plyvel", reason="the extra caffelite[leveldb] is not installed")
    phase, forwards, rtol, atol = RECORDED[case]
    prototxt = find_golden(f"layers/Data/{case}.prototxt")
    monkeypatch.chdir(prototxt.parent)
    with opened(first_layer_of(prototxt, phase)) as layer, np.load(prototxt.with_suffix(".npz")) as recorded:
        shapes = layer.shapes([])
        for step in range(forwards):
            out = "out/" if not step else f"out@{step}/"
            for name, shape, top in zip(layer.param.top, shapes, batch(layer), strict=True):
                assert shape == top.shape
                np.testing.assert_allclose(top, recorded[out + name], rtol=rtol, atol=atol)


def data_layer(path: Path, text: str = "", batch_size: int = 3, phase: int = TRAIN, tops: str = 'top: "label"') -> str:
    return (
        f'name: "mnist" type: "Data" top: "data" {tops} {text} '
        f'data_param {{ source: "{path}" batch_size: {batch_size} backend: LMDB prefetch: 4 }}'
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Ten records; label i is i."""
    return write_images(tmp_path / "ten_lmdb", numbered(10, (1, 6, 6)))


def test_batches_follow_the_keys_and_wrap_around(database: Path) -> None:
    with opened(layer_from(data_layer(database, "transform_param { scale: 0.5 }", 4))) as layer:
        assert layer.shapes([]) == [(4, 1, 6, 6), (4,)]
        for start in (0, 4, 8, 12, 16):
            images, labels = batch(layer)
            wanted = np.arange(start, start + 4) % 10
            np.testing.assert_array_equal(labels, wanted)
            np.testing.assert_array_equal(images, numbered(10, (1, 6, 6))[wanted] * np.float32(0.5))
            assert images.dtype == labels.dtype == np.float32
        assert layer.consumed == 20


RANDOM = "transform_param { mirror: true crop_size: 4 }"


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_batches_depend_neither_on_prefetch_nor_on_stops(
    database: Path, prefetch: int, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(prefetch: int, stops: set[int]) -> list[np.ndarray]:
        text = data_layer(database, RANDOM).replace("prefetch: 4", f"prefetch: {prefetch}")
        layer, batches = layer_from(text), []
        for step in range(12):
            if step in stops:
                consumed = layer.consumed
                layer.close()
                layer = layer_from(text)
                layer.consumed = consumed
            batches.append(np.concatenate([top.ravel() for top in batch(layer)]))
        layer.close()
        return batches

    monkeypatch.setattr(feed, "WORTH_A_THREAD", -1.0 if threads else 1e9)
    wanted = run(0, set())
    np.testing.assert_array_equal(run(prefetch, set()), wanted)
    np.testing.assert_array_equal(run(prefetch, {1, 5, 6}), wanted)


def test_consumed_moves_the_stream_back_and_forth(database: Path) -> None:
    with opened(layer_from(data_layer(database))) as layer:
        for consumed in (0, 6, 3, 29, 0):
            layer.consumed = consumed
            np.testing.assert_array_equal(batch(layer)[1], np.arange(consumed, consumed + 3) % 10)
            assert layer.consumed == consumed + 3


def test_another_seed_draws_otherwise(database: Path) -> None:
    with opened(layer_from(data_layer(database, RANDOM, 10))) as layer:
        first = batch(layer, seed=1)[0]
        layer.consumed = 0
        assert not np.array_equal(first, batch(layer, seed=2)[0])
        layer.consumed = 0
        np.testing.assert_array_equal(first, batch(layer, seed=1)[0])


def test_what_the_net_writes_into_its_blobs_does_not_come_back(database: Path) -> None:
    with opened(layer_from(data_layer(database, batch_size=10))) as layer:
        batch(layer)
        for top in batch(layer):
            top[...] = -1
        images, labels = batch(layer)
        np.testing.assert_array_equal(labels, np.arange(10))
        np.testing.assert_array_equal(images, numbered(10, (1, 6, 6)))


def test_train_and_test_layers_read_one_database(database: Path) -> None:
    train, test = layer_from(data_layer(database)), layer_from(data_layer(database, phase=TEST), TEST)
    assert [batch(layer)[1][0] for layer in (train, test, train, test)] == [0, 0, 3, 3]
    train.close()
    train.close()
    assert batch(test)[1][0] == 6
    test.close()
    np.testing.assert_array_equal(batch(test)[1], [9, 0, 1])
    test.close()


def test_a_path_is_relative_to_the_prototxt_where_nothing_else_lies_there(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir("/")
    caplog.set_level(logging.INFO, "caffelite")
    text = data_layer(Path(database.name))
    with opened(layer_from(text, file=str(database.parent / "net.prototxt"))) as layer:
        assert batch(layer)[1].tolist() == [0, 1, 2]
    assert f"reading {database}" in caplog.text
    with pytest.raises(DataError) as caught:
        layer_from(text, file="/elsewhere/net.prototxt").shapes([])
    assert "looked in / and in /elsewhere" in str(caught.value)


def test_missing_mnist_is_told_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layer = layer_from(data_layer(Path("data/mnist/mnist_train_lmdb")), file="net.prototxt")
    with pytest.raises(DataError) as caught:
        layer.shapes([])
    fault = caught.value.faults[0]
    assert (fault.layer, fault.layer_type, str(fault.place)) == ("mnist", "Data", "net.prototxt")
    assert fault.message == 'no database at "data/mnist/mnist_train_lmdb"'
    assert fault.help == "make it with: caffelite data mnist data/mnist"


def test_the_schemas_default_backend_is_not_taken_for_the_users_word(database: Path) -> None:
    with opened(layer_from(data_layer(database).replace("backend: LMDB", ""))) as layer:
        assert layer.shapes([])[1] == (3,)
    with pytest.raises(DataError, match=r'layer "mnist" \(Data\): backend is LEVELDB, but'):
        layer_from(data_layer(database).replace("LMDB", "LEVELDB")).shapes([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('data_param { source: "x" }', "batch_size must be positive, got 0"),
        ("data_param { batch_size: 1 }", "source must name a database"),
        (
            'data_param { source: "x" batch_size: 1 } transform_param { mean_file: "m" mean_value: 1 }',
            "mean_file and mean_value cannot both",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_opened(text: str, said: str) -> None:
    with pytest.raises(LayerError, match=said):
        layer_from(f'name: "d" type: "Data" top: "data" {text}')


@pytest.mark.parametrize("text", ["crop_size: 7", "mean_value: 1 mean_value: 2", 'mean_file: "gone"'])
def test_a_transformation_that_does_not_fit_is_refused_with_the_shapes(database: Path, text: str) -> None:
    with (
        opened(layer_from(data_layer(database, f"transform_param {{ {text} }}"))) as layer,
        pytest.raises(DataError, match=r'layer "mnist" \(Data\): .*(crop_size 7 is larger|2 mean_value|"gone")'),
    ):
        layer.shapes([])


def test_settings_without_effect_are_warned_of(database: Path) -> None:
    text = data_layer(database, "transform_param { force_gray: true }").replace("prefetch: 4", "rand_skip: 5")
    with opened(layer_from(text)) as layer:
        layer.shapes([])
        assert batch(layer)[1][0] == 0
        assert [fault.message for fault in layer.warnings()] == [
            "rand_skip has no effect: reading begins at the first record",
            "force_gray has no effect: the images are not encoded",
        ]


def test_a_damaged_record_is_told_with_the_layer(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [b"\xff\xff"])
    with opened(layer_from(data_layer(path))) as layer, pytest.raises(DataError, match=r'layer "mnist" \(Data\)'):
        layer.shapes([])


def sized(sizes: list[int]) -> list[bytes]:
    return [datum(np.full((1, size, size), size, np.uint8), label) for label, size in enumerate(sizes)]


@pytest.mark.parametrize("threshold", [-1.0, 1e9])
def test_a_record_of_another_shape_in_a_batch_is_named(
    tmp_path: Path, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WORTH_A_THREAD", threshold)
    path = write_values(tmp_path / "db", sized([4, 4, 4, 4, 5, 4]))
    with opened(layer_from(data_layer(path))) as layer:
        batch(layer)
        with pytest.raises(DataError, match=r'layer "mnist" .* record "00000004" is 1×5×5, but the first .* 1×4×4'):
            batch(layer)


def test_records_of_different_sizes_are_cropped_to_one(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", sized([4, 5, 6]))
    with opened(layer_from(data_layer(path, "transform_param { crop_size: 4 }"))) as layer:
        images = batch(layer)[0]
    assert images.shape == (3, 1, 4, 4)
    assert [float(image.max()) for image in images] == [4, 5, 6]


def test_a_batch_of_one_takes_the_shape_of_its_record(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", sized([4, 5]))
    with opened(layer_from(data_layer(path, batch_size=1))) as layer:
        assert [batch(layer)[0].shape for _ in range(3)] == [(1, 1, 4, 4), (1, 1, 5, 5), (1, 1, 4, 4)]


def test_encoded_images_are_decoded_and_colour_forced(tmp_path: Path) -> None:
    values = []
    for image in (np.full((2, 2, 3), [1, 2, 3], np.uint8), np.full((2, 2), 9, np.uint8)):
        stream = BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        values.append(Datum(data=stream.getvalue(), encoded=True, label=len(values)).SerializeToString())
    path = write_values(tmp_path / "db", values)
    with opened(layer_from(data_layer(path, "transform_param { force_color: true }", 2))) as layer:
        images = batch(layer)[0]
    assert images[:, :, 0, 0].tolist() == [[3, 2, 1], [9, 9, 9]]


def test_shapes_are_known_without_torch(database: Path) -> None:
    script = f"""
import sys
from google.protobuf import text_format
from caffelite.layerkit import layers
from caffelite.proto import LayerParameter
layer = layers["Data"](text_format.Parse({data_layer(database)!r}, LayerParameter()))
layer.setup([])
print(layer.shapes([]), "torch._C" in sys.modules)
"""
    repo = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(3, 1, 6, 6), (3,)] False"


@pytest.mark.parametrize("text", ["transform_param { scale: 0.5 }", RANDOM])
def test_small_batches_come_in_blocks_that_nobody_notices(database: Path, text: str) -> None:
    with (
        opened(layer_from(data_layer(database, text, 3))) as several,
        opened(layer_from(data_layer(database, text, 3))) as single,
    ):
        several.shapes([]), single.shapes([])
        assert several.batch_bytes == 4 * (3 * np.prod(several.shapes([])[0][1:]) + 3)
        single.bytes_of_batch = 0
        for _ in range(9):
            for ours, theirs in zip(batch(several), batch(single), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_a_bad_record_stops_only_the_batch_it_is_in(tmp_path: Path) -> None:
    values = [datum(image, index) for index, image in enumerate(numbered(10, (1, 6, 6)))]
    values[7] = b"not a Datum"
    with opened(layer_from(data_layer(write_values(tmp_path / "bad_lmdb", values), batch_size=2))) as layer:
        layer.shapes([])
        assert [batch(layer)[1].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
        with pytest.raises(DataError, match='record "00000007"'):
            batch(layer)
