"""AnnotatedData: the data sets of the fork's own test (`test_annotated_data_layer.cpp` of weiliu89/caffe, branch ssd),
and boxes that must stay around what they are around."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffelite.assembly import load_net
from caffelite.data import feed
from caffelite.errors import DataError, LayerError
from caffelite.proto import AnnotatedDatum

from ..data.by_hand import TEST, TRAIN, batch, layer_from, opened
from ..data.databases import write_images, write_values

COUNT = 6


def forks_record(index: int, unique: bool, typed: bool = True) -> Any:
    """As the fork's test writes them: `index` groups, of which group g has g boxes."""
    record = AnnotatedDatum()
    record.datum.channels, record.datum.height, record.datum.width = 3, 10, 10
    record.datum.data = bytes([index] * 300)
    if not typed:
        record.datum.label = index
        return record
    record.type = AnnotatedDatum.BBOX
    for g in range(index):
        group = record.annotation_group.add(group_label=g)
        for a in range(g):
            annotation = group.annotation.add(instance_id=a)
            low = (a if unique else g) * 0.1
            annotation.bbox.xmin = annotation.bbox.ymin = low
            annotation.bbox.xmax = annotation.bbox.ymax = min(low + 0.2, 1.0)
            annotation.bbox.difficult = bool(a % 2)
    return record


def forks_rows(items: range, unique: bool) -> np.ndarray:
    rows = []
    for i in items:
        for g in range(i):
            for a in range(g):
                low = (a if unique else g) * 0.1
                rows.append([i - items.start, g, a, low, low, min(low + 0.2, 1), min(low + 0.2, 1), a % 2])
    return np.array(rows or [[-1] * 8])[np.newaxis, np.newaxis]


def write(path: Path, records: list[Any]) -> Path:
    return write_values(path, [record.SerializeToString() for record in records])


def text(path: Path, extra: str = "", batch_size: int = COUNT, own: str = "", top: str = 'top: "label"') -> str:
    return (
        f'name: "data" type: "AnnotatedData" top: "data" {top} {extra} '
        f'data_param {{ source: "{path}" batch_size: {batch_size} backend: LMDB }} {own}'
    )


@pytest.mark.parametrize("unique", [True, False])
def test_read(tmp_path: Path, unique: bool) -> None:
    path = write(tmp_path / "db", [forks_record(index, unique) for index in range(COUNT)])
    with opened(layer_from(text(path, "transform_param { scale: 3 }"))) as layer:
        assert layer.shapes([]) == [(6, 3, 10, 10), (1, 1, 1, 8)]
        for _ in range(5):
            images, labels = batch(layer)
            np.testing.assert_array_equal(images, np.broadcast_to(np.arange(6)[:, None, None, None] * 3, images.shape))
            np.testing.assert_allclose(labels, forks_rows(range(COUNT), unique), atol=1e-6)
            assert images.dtype == labels.dtype == np.float32


def test_rows_differ_from_batch_to_batch(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [forks_record(index, True) for index in range(COUNT)])
    with opened(layer_from(text(path, batch_size=2))) as layer:
        assert layer.shapes([]) == [(2, 3, 10, 10), (1, 1, 1, 8)]
        for start in (0, 2, 4, 0):
            np.testing.assert_allclose(batch(layer)[1], forks_rows(range(start, start + 2), True), atol=1e-6)


def test_labels_where_there_are_no_boxes(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [forks_record(index, True, typed=False) for index in range(COUNT)])
    with opened(layer_from(text(path))) as layer:
        assert layer.shapes([]) == [(6, 3, 10, 10), (6,)]
        np.testing.assert_array_equal(batch(layer)[1], np.arange(6))
        assert layer.label_counts(1) == dict.fromkeys(range(6), 1)
    with opened(layer_from(text(path, own="annotated_data_param { anno_type: BBOX }"))) as layer:
        assert layer.shapes([])[1] == (1, 1, 1, 8)
        np.testing.assert_array_equal(batch(layer)[1], np.full((1, 1, 1, 8), -1))
    with opened(layer_from(text(path, top=""))) as layer:
        assert layer.shapes([]) == [(6, 3, 10, 10)]
        assert len(batch(layer)) == 1


def test_images_of_several_sizes_one_by_one(tmp_path: Path) -> None:
    records = []
    for index in range(4):
        record = forks_record(index, True)
        record.datum.height, record.datum.width = index % 2 + 1, index % 4 + 1
        record.datum.data = bytes(range(3 * record.datum.height * record.datum.width))
        records.append(record)
    path = write(tmp_path / "db", records)
    with opened(layer_from(text(path, batch_size=1), TEST)) as layer:
        assert layer.shapes([]) == [(1, 3, 1, 1), (1, 1, 1, 8)]
        for index in range(4):
            images, labels = batch(layer)
            assert images.shape == (1, 3, index % 2 + 1, index % 4 + 1)
            np.testing.assert_allclose(labels, forks_rows(range(index, index + 1), True), atol=1e-6)
    with opened(layer_from(text(path, batch_size=2), TEST)) as layer:
        layer.shapes([])
        with pytest.raises(DataError, match='record "00000001" is 3×2×2, but the first of its batch is 3×1×1'):
            batch(layer)


# -- boxes around what they are around --------------------------------------------------------------------------------


def drawn(index: int, encoded: bool = True) -> Any:
    """A black image with two white squares, one of them marked as difficult, in boxes."""
    rng = np.random.default_rng(index)
    height, width = 60 + 10 * (index % 3), 80
    pixels = np.zeros((height, width, 3), np.uint8)
    record = AnnotatedDatum(type=AnnotatedDatum.BBOX)
    for number, (y, x) in enumerate(((8, 6), (36, 50))):
        tall, wide = (int(part) for part in rng.integers(12, 22, 2))
        pixels[y : y + tall, x : x + wide] = 255
        annotation = record.annotation_group.add(group_label=number + 1).annotation.add(instance_id=0)
        box = annotation.bbox
        box.xmin, box.xmax, box.ymin, box.ymax = x / width, (x + wide) / width, y / height, (y + tall) / height
        box.difficult = number == 1
    record.datum.channels, record.datum.height, record.datum.width = 3, height, width
    record.datum.encoded, record.datum.label = encoded, -1
    if encoded:
        stream = BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        record.datum.data = stream.getvalue()
    else:
        record.datum.data = pixels.transpose(2, 0, 1).tobytes()
    return record


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    return write(tmp_path / "squares", [drawn(index) for index in range(9)])


def assert_boxes_are_around_white(images: np.ndarray, labels: np.ndarray, off: int) -> int:
    """Every box is white inside, and as large as the white is there, but for so many pixels; how many there are."""
    rows = labels.reshape(-1, 8)
    for row in rows:
        if row[0] < 0:
            continue
        image = images[int(row[0])].mean(0)
        height, width = image.shape
        x0, y0, x1, y1 = row[3:7] * np.array([width, height, width, height])
        if x1 - x0 < 2 * off + 2 or y1 - y0 < 2 * off + 2:
            continue
        inside = image[round(y0 + off) : round(y1 - off), round(x0 + off) : round(x1 - off)]
        assert inside.size == 0 or inside.min() > 100, row
        middle = image[int((y0 + y1) / 2)]
        beyond = [place for place in (x0 - off, x1 + off) if 0 <= place < width]
        assert all(middle[int(place)] < 200 for place in beyond), row
    return int((rows[:, 0] >= 0).sum())


WARP = "resize_param { height: 64 width: 64 }"
SAMPLER = """
annotated_data_param {
  batch_sampler { max_sample: 1 max_trials: 1 }
  batch_sampler {
    sampler { min_scale: 0.4 max_scale: 1 min_aspect_ratio: 0.5 max_aspect_ratio: 2 }
    sample_constraint { min_object_coverage: 0.5 }
    max_sample: 1 max_trials: 50
  }
}
"""


@pytest.mark.parametrize(
    ("transform", "own"),
    [
        (WARP, ""),
        (WARP + " mirror: true", ""),
        ("resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 64 width: 64 }", ""),
        ("resize_param { resize_mode: FIT_SMALL_SIZE height: 48 width: 48 } crop_size: 44 mirror: true", ""),
        (WARP + " crop_h: 50 crop_w: 40 mirror: true", ""),
        (WARP + " expand_param { max_expand_ratio: 2 }", ""),
        (WARP + " mirror: true", SAMPLER),
        (WARP + " mirror: true expand_param { prob: 0.5 max_expand_ratio: 2 } emit_constraint { }", SAMPLER),
    ],
)
@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_boxes_stay_around_their_squares(squares: Path, transform: str, own: str, phase: int) -> None:
    with opened(layer_from(text(squares, f"transform_param {{ {transform} }}", 9, own), phase)) as layer:
        declared = layer.shapes([])
        seen = 0
        for _ in range(4):
            images, labels = batch(layer)
            assert images.shape == declared[0]
            # Windows are cut at whole pixels of the image, which the resize makes larger.
            seen += assert_boxes_are_around_white(images, labels, 8 if own else 3)
        assert seen > 36


def test_a_box_by_hand(squares: Path) -> None:
    """Record 0 is 60×80; the first square begins at column 6 and row 8."""
    with opened(layer_from(text(squares, f"transform_param {{ {WARP} }}", 1), TEST)) as layer:
        row = batch(layer)[1][0, 0, 0]
        np.testing.assert_allclose(row[3:5], [6 / 80, 8 / 60], rtol=1e-6)
        np.testing.assert_array_equal(row[[0, 1, 2, 7]], [0, 1, 0, 0])


@pytest.mark.parametrize(
    ("constraint", "which"),
    [
        ("emit_constraint { }", "centred"),
        ("emit_constraint { emit_type: CENTER emit_overlap: 1 }", "centred"),
        ("emit_constraint { emit_type: MIN_OVERLAP }", "all"),
        ("emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 0.5 }", "half"),
        ("emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 1 }", "none"),
    ],
)
def test_emit_constraint(squares: Path, constraint: str, which: str) -> None:
    """By hand: a window of 40×54 in the middle of each image, and those boxes of it that are to be kept."""
    crop = "transform_param {{ crop_h: 40 crop_w: 54 {} }}"
    with opened(layer_from(text(squares, f"transform_param {{ {WARP} }}", 9), TEST)) as layer:
        whole = batch(layer)[1].reshape(-1, 8)
    with opened(layer_from(text(squares, crop.format(constraint), 9), TEST)) as layer:
        found = batch(layer)[1].reshape(-1, 8)
    want = []
    for item, label, *_, x0, y0, x1, y1, _ in whole.tolist():
        height = 60 + 10 * (int(item) % 3)
        window = [13 / 80, (height - 40) / 2 / height, 67 / 80, (height + 40) / 2 / height]
        wide, tall = min(x1, window[2]) - max(x0, window[0]), min(y1, window[3]) - max(y0, window[1])
        part = wide * tall / ((x1 - x0) * (y1 - y0)) if wide > 0 and tall > 0 else 0.0
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        centred = window[0] <= x <= window[2] and window[1] <= y <= window[3]
        if part > 0 and {"centred": centred, "all": True, "half": part > 0.5, "none": False}[which]:
            want.append([item, label])
    assert found[:, :2].tolist() == (want or [[-1, -1]])


def test_colours_change_and_boxes_do_not(squares: Path) -> None:
    distort = "distort_param { brightness_prob: 1 brightness_delta: 60"
    distort += " contrast_prob: 1 contrast_lower: 0.5 contrast_upper: 0.9 }"
    with opened(layer_from(text(squares, f"transform_param {{ {WARP} }}", 9), TEST)) as layer:
        plain = batch(layer)
    with opened(layer_from(text(squares, f"transform_param {{ {WARP} {distort} }}", 9), TEST)) as layer:
        changed = batch(layer)
    np.testing.assert_array_equal(plain[1], changed[1])
    assert (plain[0].max((1, 2, 3)) != changed[0].max((1, 2, 3))).all()


@pytest.mark.parametrize("threads", [True, False])
def test_batches_depend_neither_on_prefetch_nor_on_stops(
    squares: Path, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WORTH_A_THREAD", -1.0 if threads else 1e9)
    chance = f"transform_param {{ {WARP} mirror: true expand_param {{ max_expand_ratio: 2 }} }}"

    def run(stops: set[int], batch_size: int, batches: int) -> list[np.ndarray]:
        found = []
        layer = layer_from(text(squares, chance, batch_size, SAMPLER))
        for step in range(batches):
            if step in stops:
                consumed = layer.consumed
                layer.close()
                layer = layer_from(text(squares, chance, batch_size, SAMPLER))
                layer.consumed = consumed
            found.append(batch(layer)[0])
        layer.close()
        return found

    whole = np.concatenate(run(set(), 4, 6))
    np.testing.assert_array_equal(np.concatenate(run({1, 4}, 4, 6)), whole)
    np.testing.assert_array_equal(np.concatenate(run(set(), 8, 3)), whole)
    assert not np.array_equal(whole[:9], whole[9:18])  # another epoch, other windows


def test_raw_images_take_part(tmp_path: Path) -> None:
    results = []
    for encoded in (True, False):
        path = write(tmp_path / f"{encoded}", [drawn(index, encoded) for index in range(3)])
        with opened(layer_from(text(path, f"transform_param {{ {WARP} }}", 3, SAMPLER))) as layer:
            results.append(batch(layer))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_boxes_for_yolo(squares: Path) -> None:
    """N×1×300×5: class − 1, centre, size; what the rows of the other kind say."""
    transform = f"transform_param {{ {WARP} }}"
    own = "annotated_data_param {{ yolo_data_type: 1 yolo_data_jitter: 0 {} }}"
    with opened(layer_from(text(squares, transform, 9), TEST)) as layer:
        rows = batch(layer)[1].reshape(-1, 8)
    with opened(layer_from(text(squares, transform, 9, own.format("")), TEST)) as layer:
        assert layer.shapes([])[1] == (9, 1, 300, 5)
        labels = batch(layer)[1]
    for item in range(9):
        mine = rows[rows[:, 0] == item]
        low, high = mine[:, 3:5], mine[:, 5:7]
        wanted = np.concatenate([mine[:, 1:2] - 1, (low + high) / 2, high - low], axis=1)
        np.testing.assert_allclose(labels[item, 0, : len(mine)], wanted, atol=1e-6)
        assert not labels[item, 0, len(mine) :].any()
    with opened(layer_from(text(squares, transform, 9, own.format("train_diffcult: false")), TEST)) as layer:
        easy = batch(layer)[1]
    np.testing.assert_array_equal(easy[:, 0, 0], labels[:, 0, 0])
    assert not easy[:, 0, 1:].any()


@pytest.mark.parametrize("own", ["yolo_data_jitter: 0.4", "yolo_data_type: 1"])
def test_jitter_cuts_images_and_boxes(squares: Path, own: str) -> None:
    with opened(
        layer_from(text(squares, f"transform_param {{ {WARP} }}", 9, f"annotated_data_param {{ {own} }}"))
    ) as layer:
        for _ in range(3):
            images, labels = batch(layer)
            if labels.shape[-1] == 8:
                assert_boxes_are_around_white(images, labels, 6)
            with opened(layer_from(text(squares, f"transform_param {{ {WARP} }}", 9))) as other:
                other.consumed = layer.consumed - 9
                whole = batch(other)[0]
            same = [(one == all_of_it).all() for one, all_of_it in zip(images, whole, strict=True)]
            assert sum(same) < 6


def test_several_sizes(squares: Path) -> None:
    """Ten batches have images of one size."""
    sizes = " ".join(f"resize_param {{ prob: 0.25 height: {side} width: {side} }}" for side in (16, 24, 32, 40))
    with opened(layer_from(text(squares, f"transform_param {{ {sizes} }}", 2))) as layer:
        assert layer.shapes([])[0] == (2, 3, 16, 16)
        seen = []
        for _ in range(12):
            ten = {batch(layer)[0].shape for _ in range(10)}
            assert len(ten) == 1
            seen += list(ten)
        assert len(set(seen)) > 2
    with pytest.raises(LayerError, match="prob of all resize_param must together be 1, got 4"):
        layer_from(text(squares, f"transform_param {{ {sizes.replace('0.25', '1')} }}", 2))
    data = f'name: "d" type: "Data" top: "d" transform_param {{ {sizes} }} data_param {{ source: "x" batch_size: 2 }}'
    with pytest.raises(LayerError, match="only AnnotatedData may have several resize_param"):
        layer_from(data)


def test_in_a_net_with_its_loss(squares: Path, tmp_path: Path) -> None:
    """The number of boxes differs from pass to pass, and the loss behind follows."""
    priors = "shape { dim: 1 dim: 2 dim: 8 }"
    net = tmp_path / "net.prototxt"
    net.write_text(
        f"""
        layer {{ {text(squares, "transform_param { " + WARP + " mirror: true }", 2, SAMPLER)} }}
        layer {{ name: "rest" type: "DummyData" top: "loc" top: "conf" top: "prior"
          dummy_data_param {{ shape {{ dim: 2 dim: 8 }} shape {{ dim: 2 dim: 6 }} {priors}
            data_filler {{ value: 0 }} data_filler {{ value: 0 }} data_filler {{ value: 0.5 }} }} }}
        layer {{ name: "loss" type: "MultiBoxLoss" bottom: "loc" bottom: "conf" bottom: "prior" bottom: "label"
          top: "loss"
          multibox_loss_param {{ num_classes: 3 }} }}
        layer {{ name: "rest_of_it" type: "Silence" bottom: "data" }}
        """
    )
    made = load_net(net, TRAIN, seed=1)
    try:
        for _ in range(5):
            made.forward()
            assert np.isfinite(float(made.blobs["loss"].data))
    finally:
        made.close()


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "batch_size", "own", "message"),
    [
        ("", 0, "", "batch_size must be positive"),
        (
            "transform_param { resize_param { height: 5 width: 5 resize_mode: FIT_SMALL_SIZE } }",
            2,
            "",
            "FIT_SMALL_SIZE",
        ),
        ("transform_param { expand_param { } }", 2, "", "max_expand_ratio must be above 1"),
        (
            "transform_param { augmentation { rotation: 3 } }",
            2,
            "",
            "augmentation would move images, but not their boxes",
        ),
        ("", 2, "annotated_data_param { batch_sampler { sampler { max_scale: 2 } } }", "scales must be above 0"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, extra: str, batch_size: int, own: str, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        layer_from(text(tmp_path, extra, batch_size, own))


def test_a_database_of_plain_images(tmp_path: Path) -> None:
    path = write_images(tmp_path / "plain", np.zeros((2, 3, 4, 4), np.uint8))
    with (
        opened(layer_from(text(path))) as layer,
        pytest.raises(DataError, match='record "00000000" is not an AnnotatedDatum with an image'),
    ):
        layer.shapes([])


def test_damaged_records(tmp_path: Path) -> None:
    path = write_values(tmp_path / "broken", [forks_record(2, True).SerializeToString(), b"\xff\xff"])
    with opened(layer_from(text(path, batch_size=2))) as layer:
        layer.shapes([])
        with pytest.raises(DataError, match='record "00000001" is not an AnnotatedDatum'):
            batch(layer)


def test_a_record_without_a_type(tmp_path: Path) -> None:
    path = write(tmp_path / "mixed", [forks_record(3, True), forks_record(1, True, typed=False)])
    with opened(layer_from(text(path, batch_size=2))) as layer:
        layer.shapes([])
        with pytest.raises(DataError, match='record "00000001" does not say how it is annotated'):
            batch(layer)


def test_names_of_classes_change_nothing(squares: Path) -> None:
    """The fork only keeps the path: the file need not be there."""
    named = 'annotated_data_param { label_map_file: "nowhere.prototxt" }'
    results = []
    for own in ("", named):
        with opened(layer_from(text(squares, f"transform_param {{ {WARP} }}", 9, own), TEST)) as layer:
            results.append(batch(layer))
            assert not layer.warnings()
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gray_images_have_no_saturation(tmp_path: Path) -> None:
    record = forks_record(2, True)
    record.datum.channels, record.datum.data = 1, bytes(100)
    path = write(tmp_path / "gray", [record])
    distort = "transform_param { distort_param { saturation_prob: 0.5 saturation_lower: 1 saturation_upper: 1 } }"
    with opened(layer_from(text(path, distort, 1))) as layer, pytest.raises(DataError, match="saturation_prob needs 3"):
        layer.shapes([])


def test_boxes_cannot_be_counted(squares: Path) -> None:
    with opened(layer_from(text(squares))) as layer, pytest.raises(DataError, match="cannot count the labels"):
        layer.label_counts(1)


def test_limits_of_several_kinds_are_told(squares: Path) -> None:
    both = "sample_constraint { min_jaccard_overlap: 0.1 min_object_coverage: 1 }"
    own = f"annotated_data_param {{ batch_sampler {{ {both} }} }}"
    (fault,) = layer_from(text(squares, own=own)).warnings()
    assert "limits of object_coverage have no effect" in fault.message


def test_what_only_it_reads_is_told_elsewhere() -> None:
    given = "distort_param { hue_prob: 1 } expand_param { max_expand_ratio: 2 } emit_constraint { }"
    data = f'name: "d" type: "Data" top: "d" transform_param {{ {given} }} data_param {{ source: "x" batch_size: 2 }}'
    names = [fault.message.split()[0] for fault in layer_from(data).warnings()]
    assert names == ["distort_param", "expand_param", "emit_constraint"]


def test_a_missing_database(tmp_path: Path) -> None:
    with (
        opened(layer_from(text(tmp_path / "nowhere"))) as layer,
        pytest.raises(DataError, match=r'no database at ".*nowhere"'),
    ):
        layer.shapes([])
