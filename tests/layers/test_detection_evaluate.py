"""DetectionEvaluate against the values of the source's own tests.

The tests are `src/caffe/test/test_detection_evaluate_layer.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffelite.errors import DataError, LayerError

from .alone import build, run_at

TRUTH = """
0 1 0 0.1 0.1 0.3 0.3 0
0 1 0 0.6 0.6 0.8 0.8 1
1 2 0 0.3 0.3 0.6 0.5 0
1 1 0 0.7 0.1 0.9 0.3 0
"""
FOUND = """
0 1 0.3 0.1 0.0 0.4 0.3
0 1 0.7 0.0 0.1 0.2 0.3
0 1 0.9 0.7 0.6 0.8 0.8
1 2 0.8 0.2 0.1 0.4 0.4
1 2 0.1 0.4 0.3 0.7 0.5
1 1 0.2 0.8 0.1 1.0 0.3
1 3 0.2 0.8 0.1 1.0 0.3
2 1 0.2 0.8 0.1 1.0 0.3
"""
ALL = """
-1 1 3 -1 -1
-1 2 1 -1 -1
0 1 0.9 1 0
0 1 0.7 1 0
0 1 0.3 0 1
1 1 0.2 1 0
1 2 0.8 0 1
1 2 0.1 1 0
1 3 0.2 0 1
2 1 0.2 0 1
"""


def _rows(text: str) -> torch.Tensor:
    return torch.tensor([[float(word) for word in line.split()] for line in text.strip().splitlines()])[None, None]


def _layer(param: str, found: torch.Tensor, truth: torch.Tensor) -> tuple:
    text = 'name: "e" type: "DetectionEvaluate" bottom: "f" bottom: "t" top: "y"'
    return build(f"{text} detection_evaluate_param {{ {param} }}", tuple(found.shape), tuple(truth.shape))


def _judged(param: str, found: str = FOUND, truth: str = TRUTH, threshold: float = 0.3) -> np.ndarray:
    given = _rows(found), _rows(truth)
    layer, (top,) = _layer(f"num_classes: 3 overlap_threshold: {threshold} {param}", *given)
    (y,) = layer.forward(run_at(), list(given), [])
    assert y.shape[2] <= top[2]
    rows: np.ndarray = y[0, 0].numpy()
    return rows


def test_rows_of_the_sources_test() -> None:
    """TestForward there; as many rows as detections, and one for each class but the background."""
    found = _judged("")
    np.testing.assert_allclose(found, _rows(ALL)[0, 0], atol=1e-6)
    assert _layer("num_classes: 3", _rows(FOUND), _rows(TRUTH))[1] == [(1, 1, 10, 5)]


def test_difficult_ones_count_neither_way() -> None:
    """TestForwardSkipDifficult there."""
    want = _rows(ALL)[0, 0].numpy()
    want[0, 2] = 2
    want[2, 3:] = 0
    np.testing.assert_allclose(_judged("evaluate_difficult_gt: false"), want, atol=1e-6)


def test_a_box_is_found_once() -> None:
    """By hand: of two that meet the same box the higher score is right, whatever their order."""
    twice = "0 1 0.3 0.1 0.1 0.3 0.3\n0 1 0.7 0.1 0.1 0.3 0.3"
    np.testing.assert_allclose(_judged("", twice)[2:], [[0, 1, 0.7, 1, 0], [0, 1, 0.3, 0, 1]], atol=1e-6)


def test_nothing_found_and_nothing_there() -> None:
    nothing = "0 -1 -1 -1 -1 -1 -1\n1 -1 -1 -1 -1 -1 -1"
    np.testing.assert_array_equal(_judged("", nothing), [[-1, 1, 3, -1, -1], [-1, 2, 1, -1, -1]])
    none = _judged("", "0 1 0.5 0 0 1 1", "-1 -1 -1 -1 -1 -1 -1 -1\n0 1 0 0 0 1 1 0")
    np.testing.assert_array_equal(none, [[-1, 1, 0, -1, -1], [-1, 2, 0, -1, -1], [0, 1, 0.5, 0, 1]])


def test_boxes_in_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: of 10×10 pixels, half a box and a whole one share 6·11 of 11·11, more than half of it; as parts of the
    image they share half.  Lines of the file go by the images that have detections."""
    monkeypatch.chdir(tmp_path)
    Path("sizes.txt").write_text("a 10 10\nb 1000 1000\n")
    found, truth = "0 1 0.5 0 0 0.5 1\n1 1 0.5 0 0 0.5 1", "0 1 0 0 0 1 1 0\n1 1 0 0 0 1 1 0"
    param = 'overlap_threshold: 0.51 name_size_file: "sizes.txt"'
    given = _rows(found), _rows(truth)
    layer, _ = _layer(f"num_classes: 2 {param}", *given)
    for _ in range(2):
        (y,) = layer.forward(run_at(), list(given), [])
        assert y[0, 0, 1:, 3:].tolist() == [[1, 0], [0, 1]]
    assert _judged("", found, truth, 0.5)[2:, 3:].tolist() == [[1, 0], [1, 0]]
    Path("sizes.txt").write_text("\n")
    with pytest.raises(DataError, match=r"sizes.txt has no lines"):
        _layer(f"num_classes: 2 {param}", *given)[0].forward(run_at(), list(given), [])


def test_faults() -> None:
    given = _rows(FOUND), _rows(TRUTH)
    for param, told in (
        ("", "num_classes is missing"),
        ("num_classes: 3 overlap_threshold: 0", "overlap_threshold must be positive, got 0.0"),
        ("num_classes: 3 resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD }", "height must be given"),
    ):
        with pytest.raises(LayerError) as raised:
            _layer(param, *given)
        assert told in str(raised.value)
    with pytest.raises(LayerError, match=r"needs rows of 8, 1×1×…×8, got"):
        _layer("num_classes: 3", given[0], given[0])
    with pytest.raises(LayerError, match="2 detections are of class 2, which means background"):
        _judged("background_label_id: 2")


def test_a_box_that_ends_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded output of the fork: in pixels, by less than one, it has no area, but an intersection."""
    monkeypatch.chdir(tmp_path)
    Path("sizes.txt").write_text("a 3 3\n")
    rows = [
        _judged('name_size_file: "sizes.txt"', "0 1 0.9 0.5 0 0.4 1", "0 1 0 0 0 1 1 0", threshold)[2, 3:].tolist()
        for threshold in (0.2, 0.22)
    ]
    assert rows == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("resize", "third"),
    [("", [0, 1]), ("resize_param { resize_mode: FIT_SMALL_SIZE height_scale: 30 width_scale: 30 SIZE }", [1, 0])],
)
def test_boxes_in_pixels_of_what_the_net_saw(
    resize: str, third: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded output of the fork.  With a scale its pixels count without the boxes' edges, but those of the
    intersection with them: the third box, apart from both true ones, is right, and the fourth is taken for the same."""
    monkeypatch.chdir(tmp_path)
    Path("sizes.txt").write_text("a 50 50\n")
    found = """
    0 1 0.9 0.1 0.1 0.4 0.4
    0 1 0.8 0.5 0.5 0.9 0.9
    0 2 0.7 0.2 0.2 0.24 0.24
    0 2 0.6 0.5 0.5 0.51 0.51"""
    truth = """
    0 1 0 0.1 0.1 0.3 0.4 0
    0 1 1 0.5 0.5 0.8 0.8 0
    0 2 0 0.26 0.2 0.3 0.24 0
    0 2 1 0.5 0.5 0.51 0.51 0"""
    resize = resize.replace("SIZE }", "height: 30 width: 30 }")
    rows = _judged(f'name_size_file: "sizes.txt" {resize}', found, truth, 0.55)
    assert rows[2:, 3:].tolist() == [[1, 0], [1, 0], third, [1, 0]]
