"""DetectionOutput against the values of the source's own tests, and what its files hold.

The tests are `src/caffe/test/test_detection_output_layer.cpp` of weiliu89/caffe, branch ssd: two images, four prior
boxes in the middle of the quarters of an image, two classes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from caffelite.errors import DataError, LayerError

from .alone import build, run_at

LEAD = 'name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" top: "y"'


def _priors() -> torch.Tensor:
    corners = [[x - 0.15, y - 0.15, x + 0.15, y + 0.15] for y in (0.25, 0.75) for x in (0.25, 0.75)]
    return torch.tensor([np.ravel(corners).tolist(), [0.1] * 16])[None]


def _scores() -> torch.Tensor:
    return torch.tensor([
        [[0.2 * prior, 1 - 0.2 * prior][(image + label) % 2] for prior in range(4) for label in range(2)]
        for image in range(2)
    ])  # fmt: skip


def _locations(sets: int) -> torch.Tensor:
    """Boxes are moved towards the middle, further in the second image, and further for the second class."""
    return torch.tensor([
        [(1 - 2 * (x, y)[side % 2]) * (image + label / 2 + 0.5)
         for y in range(2) for x in range(2) for label in range(sets) for side in range(4)]
        for image in range(2)
    ])  # fmt: skip


def _layer(param: str, *bottoms: torch.Tensor, more: str = "") -> tuple:
    text = f"{LEAD} {more} detection_output_param {{ num_classes: 2 {param} }}"
    return build(text, *(tuple(bottom.shape) for bottom in bottoms))


def _found(param: str, *bottoms: torch.Tensor, more: str = "") -> np.ndarray:
    layer, (top,) = _layer(param, *bottoms, more=more)
    (y,) = layer.forward(run_at(), list(bottoms), [])
    assert (y.shape[:2], y.shape[3]) == (top[:2], top[3])
    assert y.shape[2] <= top[2]
    rows: np.ndarray = y[0, 0].numpy()
    return rows


SHARED = """
0 1 1.0 0.15 0.15 0.45 0.45
0 1 0.8 0.55 0.15 0.85 0.45
0 1 0.6 0.15 0.55 0.45 0.85
0 1 0.4 0.55 0.55 0.85 0.85
1 1 0.6 0.45 0.45 0.75 0.75
1 1 0.0 0.25 0.25 0.55 0.55
"""
SHARED_TOP_2 = """
0 1 1.0 0.15 0.15 0.45 0.45
0 1 0.8 0.55 0.15 0.85 0.45
1 1 0.6 0.45 0.45 0.75 0.75
"""
APART = """
0 0 0.6 0.55 0.55 0.85 0.85
0 0 0.4 0.15 0.55 0.45 0.85
0 0 0.2 0.55 0.15 0.85 0.45
0 0 0.0 0.15 0.15 0.45 0.45
0 1 1.0 0.20 0.20 0.50 0.50
0 1 0.8 0.50 0.20 0.80 0.50
0 1 0.6 0.20 0.50 0.50 0.80
0 1 0.4 0.50 0.50 0.80 0.80
1 0 1.0 0.25 0.25 0.55 0.55
1 0 0.4 0.45 0.45 0.75 0.75
1 1 0.6 0.40 0.40 0.70 0.70
"""
APART_TOP_2 = """
0 0 0.6 0.55 0.55 0.85 0.85
0 0 0.4 0.15 0.55 0.45 0.85
0 1 1.0 0.20 0.20 0.50 0.50
0 1 0.8 0.50 0.20 0.80 0.50
1 0 1.0 0.25 0.25 0.55 0.55
1 1 0.6 0.40 0.40 0.70 0.70
"""


def _rows(text: str) -> np.ndarray:
    return np.array([line.split() for line in text.strip().splitlines()], np.float32)


@pytest.mark.parametrize(
    ("param", "sets", "want"),
    [
        ("nms_param { nms_threshold: 0.1 }", 1, SHARED),
        ("nms_param { nms_threshold: 0.1 top_k: 2 }", 1, SHARED_TOP_2),
        ("share_location: false background_label_id: -1 nms_param { nms_threshold: 0.1 }", 2, APART),
        ("share_location: false background_label_id: -1 nms_param { nms_threshold: 0.1 top_k: 2 }", 2, APART_TOP_2),
    ],
)
def test_detections_of_the_sources_tests(param: str, sets: int, want: str) -> None:
    """TestForwardShareLocation, …TopK, TestForwardNoShareLocation, …TopK there."""
    np.testing.assert_allclose(_found(param, _locations(sets), _scores(), _priors()), _rows(want), atol=1e-6)


def test_the_background_is_left_out() -> None:
    """TestForwardNoShareLocationNeg0 there."""
    param = "share_location: false nms_param { nms_threshold: 0.1 }"
    want = _rows(APART)
    found = _found(param, _locations(2), _scores(), _priors())
    np.testing.assert_allclose(found, want[want[:, 1] == 1], atol=1e-6)


def test_the_highest_scores_of_all_classes_are_kept() -> None:
    """By hand: of the first image's eight detections the three highest, of the second's three all."""
    param = "share_location: false background_label_id: -1 keep_top_k: 3 nms_param { nms_threshold: 0.1 }"
    want = _rows(APART)[[4, 5, 6, 8, 9, 10]]
    want_or_other = _rows(APART)[[0, 4, 5, 8, 9, 10]]  # two scores of 0.6: the class with the lower label comes first
    found = _found(param, _locations(2), _scores(), _priors())
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want_or_other, atol=1e-6)


def test_low_scores_are_left_out() -> None:
    found = _found("confidence_threshold: 0.5 nms_param { nms_threshold: 0.1 }", _locations(1), _scores(), _priors())
    np.testing.assert_allclose(found, _rows(SHARED)[[0, 1, 2, 4]], atol=1e-6)


@pytest.mark.parametrize("param", ["confidence_threshold: 2", "keep_top_k: 0"])
def test_where_nothing_is_found_each_image_has_a_row(param: str) -> None:
    found = _found(param, _locations(1), _scores(), _priors())
    np.testing.assert_array_equal(found, [[0] + [-1] * 6, [1] + [-1] * 6])


@pytest.mark.parametrize(
    ("param", "left", "right"),
    [
        ("detection_output_param { num_classes: 2 code_type: CORNER }", 0.1 + 0.1, 0.4 + 0.2),
        ("detection_output_param { num_classes: 2 code_type: CORNER_SIZE }", 0.1 + 0.1 * 0.3, 0.4 + 0.2 * 0.3),
        (
            "detection_output_param { num_classes: 2 code_type: CENTER_SIZE }",
            0.28 - 0.15 * math.exp(0.2),
            0.28 + 0.15 * math.exp(0.2),
        ),
    ],
)
def test_locations_are_decoded(param: str, left: float, right: float) -> None:
    """By hand: a box of 0.3 about (0.25, 0.25), locations of 1 and 2 along x, variances of 0.1 (DecodeBBox there)."""
    given = torch.zeros(1, 16)
    given[0, :4] = torch.tensor([1.0, 0, 2, 0])
    scores = torch.tensor([[0, 0.9] + [0.9, 0] * 3])
    bottoms = given, scores, _priors()
    layer, _ = build(f"{LEAD} {param}", *(tuple(bottom.shape) for bottom in bottoms))
    (y,) = layer.forward(run_at(), list(bottoms), [])
    np.testing.assert_allclose(y[0, 0, 0], [0, 1, 0.9, left, 0.1, right, 0.4], rtol=1e-5)


def test_locations_may_hold_the_variances() -> None:
    given = torch.zeros(1, 16)
    given[0, :4] = torch.tensor([1.0, 0, 2, 0])
    scores = torch.tensor([[0, 0.9] + [0.9, 0] * 3])
    (row,) = _found("confidence_threshold: 0.1 variance_encoded_in_target: true", given, scores, _priors())
    np.testing.assert_allclose(row, [0, 1, 0.9, 1.1, 0.1, 2.4, 0.4], rtol=1e-5)


def test_anchors_that_a_first_stage_moves() -> None:
    """Of sfzhang15/RefineDet, by hand: the first anchor moves right by 0.1 before its location is added, and the others
    hold no object, so that their scores are 0."""
    locations, moved = torch.zeros(1, 16), torch.zeros(1, 16)
    locations[0, :4] = torch.tensor([0.0, 1, 0, 1])
    moved[0, :4] = torch.tensor([1.0, 0, 1, 0])
    likely = torch.tensor([[0.2, 0.8] + [0.995, 0.005] * 3])
    scores = torch.tensor([[0.3, 0.7] * 4])
    bottoms = locations, scores, _priors(), likely, moved
    found = _found("nms_param { nms_threshold: 0.1 }", *bottoms, more='bottom: "ac" bottom: "al"')
    np.testing.assert_allclose(found[:, 2], [0.7, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[0, 3:], [0.2, 0.2, 0.5, 0.5], atol=1e-6)
    found = _found("objectness_score: 0.001", *bottoms, more='bottom: "ac" bottom: "al"')
    np.testing.assert_allclose(found[:, 2], 0.7, atol=1e-6)


def test_detections_as_the_fork_writes_them() -> None:
    """Recorded output of the fork: two images, three classes, overlapping boxes."""
    corners = [
        [0.1, 0.1, 0.5, 0.5], [0.2, 0.1, 0.6, 0.5], [0.4, 0.4, 0.9, 0.8],
        [0.5, 0.5, 0.8, 0.95], [0, 0.6, 0.4, 1], [0.6, 0.05, 0.95, 0.4],
    ]  # fmt: skip
    priors = np.array([np.ravel(corners), np.tile([0.1, 0.1, 0.2, 0.2], 6)], np.float32)[None]
    locations = np.sin(np.arange(48) * 1.7).astype(np.float32).reshape(2, 24)
    scores = np.abs(np.sin(np.arange(36) * 2.3)).astype(np.float32).reshape(2, 18)
    text = f"""{LEAD} detection_output_param {{
      num_classes: 3 code_type: CENTER_SIZE keep_top_k: 5 confidence_threshold: 0.2
      nms_param {{ nms_threshold: 0.6 eta: 0.8 top_k: 4 }} }}"""
    bottoms = [torch.from_numpy(array) for array in (locations, scores, priors)]
    layer, _ = build(text, *(tuple(bottom.shape) for bottom in bottoms))
    (y,) = layer.forward(run_at(), bottoms, [])
    np.testing.assert_allclose(y[0, 0], _rows(RECORDED), rtol=1e-5, atol=1e-6)


RECORDED = """
0 1 0.99849504 0.062282726 0.543121 0.40805912 1.010028
0 1 0.84622043 0.55648947 0.47835946 0.803498 0.9618633
0 1 0.7827745 0.62853336 -0.019969106 0.9585024 0.40629247
0 2 0.993691 0.10996485 0.17347284 0.49003518 0.5058604
0 2 0.9856003 0.62853336 -0.019969106 0.9585024 0.40629247
1 1 0.9999965 0.43755528 0.5170461 0.8025564 0.9390824
1 1 0.8172548 -0.06854622 0.6498379 0.396712 0.9943355
1 2 0.97424966 -0.06854622 0.6498379 0.396712 0.9943355
1 2 0.9251418 0.56822526 0.11230795 0.9423524 0.4001329
1 2 0.90178835 0.09279895 0.01876913 0.51045656 0.50154394
"""


# -- files ------------------------------------------------------------------------------------------------------

LABELS = 'item { name: "none" label: 0 } item { name: "cat" label: 1 display_name: "Cat" }'
SAVING = """
nms_param { nms_threshold: 0.1 } save_output_param {
  output_directory: "out/found" output_name_prefix: "comp4_" output_format: "%s"
  label_map_file: "labels.prototxt" name_size_file: "sizes.txt" %s
}"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.prototxt").write_text(LABELS)
    (tmp_path / "sizes.txt").write_text("000007 100 200\n12 50 40\n")
    return tmp_path / "out" / "found"


def _save(format: str, more: str = "") -> None:
    given = _locations(1), _scores(), _priors()
    layer, _ = _layer(SAVING % (format, more), *given)
    layer.forward(run_at(), list(given), [])


VOC = """000007 1 30 15 90 45
000007 0.8 110 15 170 45
000007 0.6 30 55 90 85
000007 0.4 110 55 170 85
12 0.6 18 22 30 37
12 0 10 12 22 27
"""


def test_voc_files(folder: Path) -> None:
    """By hand: the boxes of TestForwardShareLocation in pixels, corner and size cut to whole ones."""
    _save("VOC")
    assert [file.name for file in folder.iterdir()] == ["comp4_cat.txt"]
    assert (folder / "comp4_cat.txt").read_text() == VOC


PADDED = """000007 1 30 0 90 40
000007 0.8 110 0 170 40
000007 0.6 30 60 90 100
000007 0.4 110 60 170 100
12 0.6 17 22 32 37
12 0 7 12 22 27
"""


def test_boxes_of_images_that_were_padded(folder: Path) -> None:
    """By hand: 100×200 (height, width) takes the middle half of the square's height, so that 0.15 to 0.45 of the square
    is −0.2 to 0.4 of the image; 50×40 takes the middle 0.8 of the width, where 0.45 to 0.75 is 0.4375 to 0.8125."""
    padded = """nms_param { nms_threshold: 0.1 } save_output_param {
      output_directory: "out/found" output_name_prefix: "comp4_" output_format: "VOC" label_map_file: "labels.prototxt"
      name_size_file: "sizes.txt" resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 300 width: 300 }
    }"""
    given = _locations(1), _scores(), _priors()
    layer, _ = _layer(padded, *given)
    layer.forward(run_at(), list(given), [])
    assert (folder / "comp4_cat.txt").read_text() == PADDED


def test_ilsvrc_files(folder: Path) -> None:
    _save("ILSVRC")
    lines = [line.split(" ", 1) for line in VOC.splitlines()]
    assert (folder / "comp4_.txt").read_text() == "".join(f"{image} 1 {rest}\n" for image, rest in lines)


def test_coco_files(folder: Path) -> None:
    """Nine digits of a score, all that a float32 holds, as in the fork's own files (from recorded output)."""
    Path("labels.prototxt").write_text(LABELS.replace("cat", "17"))
    _save("COCO")
    found = json.loads((folder / "comp4_.json").read_text())
    assert len(found) == 6
    assert found[0] == {"image_id": 7, "category_id": 17, "bbox": [30, 15, 60, 30], "score": 1}
    assert found[4] == {"image_id": 12, "category_id": 17, "bbox": [18, 22.5, 12, 15], "score": 0.600000024}


def test_hundredths_of_pixels_are_the_forks(folder: Path) -> None:
    """Recorded output of the fork, which writes 31.0799999 for 31.08: 8.475 and 31.075 go up as float32s do."""
    (folder.parent.parent / "sizes.txt").write_text("000007 540 186\n")
    resize = "resize_param { resize_mode: FIT_SMALL_SIZE height: 122 width: 339 height_scale: 118 width_scale: 113 }"
    given = torch.zeros(1, 4), torch.tensor([[0, 0.6]]), torch.tensor([[[0.075, 0.825, 0.35, 1.15], [0.1] * 4]])
    layer, _ = _layer(SAVING % ("COCO", resize), *given)
    layer.forward(run_at(), list(given), [])
    (found,) = json.loads((folder / "comp4_.json").read_text())
    assert found["bbox"] == [8.48, 97.35, 31.08, 38.35]


def test_a_round_is_as_long_as_it_is_told(folder: Path) -> None:
    given = _locations(1), _scores(), _priors()
    layer, _ = _layer(SAVING % ("VOC", "num_test_image: 1"), *given)
    layer.forward(run_at(), list(given), [])
    assert (folder / "comp4_cat.txt").read_text().count("\n") == 2  # the second round: its image has the first size
    layer, _ = _layer(SAVING % ("VOC", "num_test_image: 3"), *given)
    with pytest.raises(DataError, match=r"sizes.txt has 2 images, and num_test_image asks for 3"):
        layer.forward(run_at(), list(given), [])


def test_a_repeated_pass_writes_nothing(folder: Path) -> None:
    given = _locations(1), _scores(), _priors()
    layer, _ = _layer(SAVING % ("VOC", ""), *given)
    run = run_at()
    run.repeating = True
    layer.forward(run, list(given), [])
    assert not folder.exists()


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("labels.prototxt", None, "cannot read labels.prototxt: No such file or directory"),
        ("labels.prototxt", "item { nam", "labels.prototxt:1"),
        ("labels.prototxt", 'item { name: "none" label: 0 }', "the label map has no name for class 1"),
        ("labels.prototxt", LABELS + LABELS.replace("cat", "dog"), "labels.prototxt has two names for label 1"),
        ("sizes.txt", None, "cannot read sizes.txt: No such file or directory"),
        ("sizes.txt", "a 100 200\nb 100\n", 'sizes.txt, line 2: must be "name height width" in pixels, got "b 100"'),
        ("out", "a file", "cannot write to out/found: Not a directory"),
    ],
)
def test_files_that_are_not_as_they_should_be(folder: Path, file: str, text: str | None, told: str) -> None:
    path = Path(file)
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as raised:
        _save("VOC")
    assert told in str(raised.value)


def test_nothing_is_shown(folder: Path) -> None:
    given = _locations(1), _scores(), _priors()
    param = "detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.1 } visualize: true "
    param += 'visualize_threshold: 0.7 save_file: "seen.avi" }'
    layer, _ = build(f"{LEAD} {param}", *(tuple(bottom.shape) for bottom in given))
    (y,) = layer.forward(run_at(), list(given), [])
    np.testing.assert_allclose(y[0, 0], _rows(SHARED), atol=1e-6)  # lower scores, too
    assert not Path("seen.avi").exists() and not folder.exists()
    (warning,) = layer.warnings()
    assert warning.message == "visualize has no effect: nothing is shown"


def test_faults_and_warnings() -> None:
    given = _locations(1), _scores(), _priors()
    for param, told in (
        ("nms_param { nms_threshold: -1 }", "nms_threshold must not be negative, got -1.0"),
        ("nms_param { eta: 0 }", "eta must be above 0 and at most 1, got 0.0"),
        (SAVING % ("JPEG", ""), 'output_format must be one of VOC, COCO, ILSVRC, got "JPEG"'),
        ("share_location: false", "needs 2 × 32 values for 4 prior boxes and 2 classes, got (2, 16)"),
    ):
        with pytest.raises(LayerError) as raised:
            _layer(param, *given)
        assert told in str(raised.value)
    with pytest.raises(LayerError, match="num_classes is missing"):
        build(LEAD, *(tuple(bottom.shape) for bottom in given))
    layer, _ = _layer('visualize: true save_output_param { output_directory: "x" }', *given)
    assert [fault.message for fault in layer.warnings()] == [
        "visualize has no effect: nothing is shown",
        "writes no files: save_output_param lacks label_map_file, name_size_file",
    ]
