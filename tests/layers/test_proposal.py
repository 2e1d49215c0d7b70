"""Proposal against loops over places and anchors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import caffelite
from caffelite.errors import LayerError

from .alone import build, run_at

RATIOS, SCALES = (0.5, 1.0, 2.0), (2.0, 4.0)
SETTINGS = "ratio: 0.5 ratio: 1 ratio: 2 scale: 2 scale: 4"
MAP = (5, 6)


def make(more: str = "", tops: int = 2, settings: str = SETTINGS, scores=(1, 12, *MAP), deltas=(1, 24, *MAP)):
    blobs = 'bottom: "s" bottom: "d" bottom: "i"' + "".join(f' top: "t{at}"' for at in range(tops))
    text = f'name: "p" type: "Proposal" {blobs} proposal_param {{ {settings} {more} }}'
    return build(text, scores, deltas, (1, 3))


def by_loops(scores, deltas, info, stride=16, base=16, least=16, before=6000, after=300, threshold=0.7):
    candidates = []
    for i in range(MAP[0]):
        for j in range(MAP[1]):
            for k in range(6):
                ratio, scale = RATIOS[k // 2], SCALES[k % 2]
                width = math.floor(math.sqrt(base * base / ratio) + 0.5)  # halves away from 0, as C rounds
                height = math.floor(width * ratio + 0.5)
                half_w, half_h = (width * scale - 1) / 2, (height * scale - 1) / 2
                x1, y1 = j * stride + (base - 1) / 2 - half_w, i * stride + (base - 1) / 2 - half_h
                w, h = 2 * half_w + 1, 2 * half_h + 1
                dx, dy, dw, dh = deltas[0, 4 * k : 4 * k + 4, i, j]
                x, y, w, h = dx * w + x1 + w / 2, dy * h + y1 + h / 2, math.exp(dw) * w, math.exp(dh) * h
                box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                box = [max(0, min(each, info[1 - at % 2] - 1)) for at, each in enumerate(box)]
                large = min(box[2] - box[0], box[3] - box[1]) + 1 >= least * info[2]
                candidates.append((scores[0, 6 + k, i, j] * large, box))
    candidates.sort(key=lambda each: -each[0])
    kept = []
    for score, box in candidates[:before]:
        if len(kept) < after and all(overlap(box, other) <= threshold for _, other in kept):
            kept.append((score, box))
    return kept


def overlap(a, b) -> float:
    wide, high = (min(a[at + 2], b[at + 2]) - max(a[at], b[at]) + 1 for at in (0, 1))
    area = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (a, b)]
    return 0 if min(wide, high) <= 0 else wide * high / (sum(area) - wide * high)


def predictions(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    return chance.uniform(0, 1, (1, 12, *MAP)), chance.normal(0, 0.3, (1, 24, *MAP))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ("", {}),
        ("nms_thresh: 0.3 post_nms_topn: 7", {"threshold": 0.3, "after": 7}),
        ("pre_nms_topn: 20 min_size: 40", {"before": 20, "least": 40}),
        ("feat_stride: 8 base_size: 12", {"stride": 8, "base": 12}),
    ],
)
def test_by_loops(more: str, changed: dict, seed: int) -> None:
    layer, shapes = make(more)
    scores, deltas = predictions(seed)
    info = np.array([[70.0, 90.0, 1.25]])
    rois, best = layer.forward(run_at(), [torch.from_numpy(each) for each in (scores, deltas, info)], [])
    want = by_loops(scores, deltas, info[0], **changed)
    np.testing.assert_allclose(best.numpy(), [score for score, _ in want], rtol=1e-6)
    np.testing.assert_allclose(rois.numpy()[:, 1:], [box for _, box in want], rtol=1e-6, atol=1e-6)
    assert not rois[:, 0].any()
    assert len(rois) <= shapes[0][0]
    assert [len(shape) for shape in shapes] == [2, 1]


def test_boxes_that_are_too_small_come_last_and_score_0() -> None:
    layer, _ = make("min_size: 60 nms_thresh: 1")
    scores, deltas = predictions()
    info = np.array([[70.0, 90.0, 1.0]])
    _, best = layer.forward(run_at(), [torch.from_numpy(each) for each in (scores, deltas, info)], [])
    assert len(best) == 180
    assert 0 < np.count_nonzero(best.numpy()) < 180
    assert (np.diff(best.numpy()) <= 0).all()


def test_its_largest_shape() -> None:
    assert make()[1] == [(180, 5), (180,)]
    assert make("post_nms_topn: 10", 1)[1] == [(10, 5)]


def test_behind_it_shapes_follow_the_number_of_regions(tmp_path) -> None:
    text = """
    layer { name: "in" type: "Input" top: "s" top: "d" top: "i" top: "x" input_param {
      shape { dim: 1 dim: 2 dim: 4 dim: 4 } shape { dim: 1 dim: 4 dim: 4 dim: 4 } shape { dim: 1 dim: 3 }
      shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
    layer { name: "p" type: "Proposal" bottom: "s" bottom: "d" bottom: "i" top: "rois"
            proposal_param { ratio: 1 scale: 1 nms_thresh: 0.2 } }
    layer { name: "pool" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y"
            roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 } }
    """
    (tmp_path / "net.prototxt").write_text(text)
    net = caffelite.Net(tmp_path / "net.prototxt", caffelite.TEST)
    net.blobs["i"].data[...] = 64, 64, 1
    net.blobs["s"].data[0, 1] = np.arange(16).reshape(4, 4)
    net.forward()
    assert net.blobs["rois"].shape == (16, 5)
    assert net.blobs["rois"].data[0].tolist() == [0, 48, 48, 63, 63]
    net.blobs["d"].data[0, 2:] = 0.7
    net.forward()
    assert net.blobs["y"].shape == (len(net.blobs["rois"].data), 3, 2, 2)
    assert len(net.blobs["rois"].data) < 16


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("scale: 8", {}, "needs at least one ratio\n  help: write ratio: 1"),
        ("ratio: 0 scale: 8", {}, "ratio must be positive, got [0.0]"),
        ("ratio: 1 scale: 8 feat_stride: 0", {}, "feat_stride must be positive, got 0"),
        (SETTINGS, {"scores": (2, 12, 5, 6)}, "1×12×H×W, got shape (2, 12, 5, 6)"),
        (SETTINGS, {"scores": (1, 18, 5, 6)}, "for 6 anchors, 1×12×H×W, got shape (1, 18, 5, 6)"),
        (SETTINGS, {"deltas": (1, 36, 5, 6)}, "relative to 6 anchors, (1, 24, 5, 6), got shape (1, 36, 5, 6)"),
    ],
)
def test_faults(settings: str, shapes: dict, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        make(settings=settings, **shapes)
    assert str(raised.value).endswith(told)
