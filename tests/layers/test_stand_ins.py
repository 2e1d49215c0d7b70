"""Python layers of the R-CNN family that caffelite computes itself: against plain loops, and when they are taken."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import caffelite
from caffelite import dialects
from caffelite.assembly import build_graph, make_layer, read_net
from caffelite.commands.summary import command as summary
from caffelite.errors import CaffeliteError, DataError, GraphError, LayerError, nowhere
from caffelite.graph import state_of
from caffelite.layerkit import layers
from caffelite.layerkit.param_str import parse
from caffelite.layerkit.stand_in import StandIn
from caffelite.proto import TEST, TRAIN

from .alone import run_at, settings

MODULES = {
    "ProposalLayer": "rpn.proposal_layer",
    "AnchorTargetLayer": "rpn.anchor_target_layer",
    "ProposalTargetLayer": "rpn.proposal_target_layer",
    "RoIDataLayer": "roi_data_layer.layer",
    "SpatialDropoutLayer": "spatial_dropout",
}
TOPS = {
    "ProposalLayer": 2,
    "AnchorTargetLayer": 4,
    "ProposalTargetLayer": 5,
    "RoIDataLayer": 3,
    "SpatialDropoutLayer": 1,
}


def param(kind: str, keys: str, bottoms: int, tops: int | None = None) -> str:
    blobs = [f'bottom: "b{at}"' for at in range(bottoms)] + [f'top: "t{at}"' for at in range(tops or TOPS[kind])]
    python = f'python_param {{ module: "{MODULES[kind]}" layer: "{kind}" param_str: "{keys}" }}'
    return f'name: "p" type: "Python" {" ".join(blobs)} {python}'


def build(kind: str, keys: str, *bottoms: tuple[int, ...], phase: int = TEST, tops: int | None = None) -> Any:
    """A layer set up for bottoms of these shapes, and the shapes of its tops."""
    layer = make_layer(settings(param(kind, keys, len(bottoms), tops)), phase, nowhere, allow_python=False)
    layer.setup(bottoms)
    layer.raise_faults()
    shapes = [tuple(shape) for shape in layer.shapes(bottoms)]
    layer.raise_faults()
    return layer, shapes


def forward(layer: Any, *bottoms: np.ndarray, seed: int = 1) -> list[np.ndarray]:
    tops = layer.forward(run_at(seed=seed), [torch.from_numpy(np.asarray(bottom)) for bottom in bottoms], [])
    return [top.numpy() for top in tops]


# -- what they compute, by loops over anchors, places and boxes ---------------------------------------------------

STRIDE, SCALES, RATIOS = 16, (1, 2), (0.5, 1, 2)
KEYS = "'feat_stride': 16, 'scales': [1, 2]"
MAP = (6, 7)
INFO = np.array([[96.0, 112.0, 1.5]])


def anchor(i: int, j: int, k: int) -> list[float]:
    ratio, scale = RATIOS[k // 2], SCALES[k % 2]
    width = round(math.sqrt(256 / ratio))
    half = (width * scale - 1) / 2, (round(width * ratio) * scale - 1) / 2
    x, y = 7.5 + j * STRIDE, 7.5 + i * STRIDE
    return [x - half[0], y - half[1], x + half[0], y + half[1]]


def overlap(a: Any, b: Any) -> float:
    wide, high = (min(a[at + 2], b[at + 2]) - max(a[at], b[at]) + 1 for at in (0, 1))
    area = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (a, b)]
    return 0.0 if min(wide, high) <= 0 else float(wide * high / (sum(area) - wide * high))


def target(box: Any, truth: Any) -> list[float]:
    (w, h), (tw, th) = ((each[2] - each[0] + 1, each[3] - each[1] + 1) for each in (box, truth))
    dx, dy = (truth[0] + tw / 2 - box[0] - w / 2) / w, (truth[1] + th / 2 - box[1] - h / 2) / h
    return [dx, dy, math.log(tw / w), math.log(th / h)]


def proposals(scores: np.ndarray, deltas: np.ndarray, least: float, before: int, after: int, threshold: float) -> list:
    found = []
    for i in range(MAP[0]):
        for j in range(MAP[1]):
            for k in range(6):
                x1, y1, x2, y2 = anchor(i, j, k)
                w, h = x2 - x1 + 1, y2 - y1 + 1
                dx, dy, dw, dh = deltas[0, 4 * k : 4 * k + 4, i, j]
                x, y = x1 + w / 2 + dx * w, y1 + h / 2 + dy * h
                w, h = w * math.exp(dw), h * math.exp(dh)
                box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                box = [max(0, min(each, INFO[0, 1 - at % 2] - 1)) for at, each in enumerate(box)]
                if min(box[2] - box[0], box[3] - box[1]) + 1 >= least * INFO[0, 2]:
                    found.append((scores[0, 6 + k, i, j], box))
    found.sort(key=lambda each: -each[0])
    kept: list = []
    for score, box in found[:before]:
        if all(overlap(box, other) <= threshold for _, other in kept):
            kept.append((score, box))
    return kept[:after]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("keys", "least", "before", "after", "threshold"),
    [
        ("", 16, 6000, 300, 0.7),
        (", 'RPN_POST_NMS_TOP_N': 5, 'RPN_NMS_THRESH': 0.2", 16, 6000, 5, 0.2),
        (", 'RPN_PRE_NMS_TOP_N': 30, 'RPN_MIN_SIZE': 20", 20, 30, 300, 0.7),
    ],
)
def test_proposals(seed: int, keys: str, least: float, before: int, after: int, threshold: float) -> None:
    layer, shapes = build("ProposalLayer", f"{{{KEYS}{keys}}}", (1, 12, *MAP), (1, 24, *MAP), (1, 3))
    chance = np.random.default_rng(seed)
    scores, deltas = chance.uniform(0, 1, (1, 12, *MAP)), chance.normal(0, 0.3, (1, 24, *MAP))
    rois, best = forward(layer, scores, deltas, INFO)
    want = proposals(scores, deltas, least, before, after, threshold)
    assert len(want) <= shapes[0][0]
    assert [len(shape) for shape in shapes] == [2, 2]
    np.testing.assert_allclose(best[:, 0], [score for score, _ in want])
    np.testing.assert_allclose(rois, [[0, *box] for _, box in want], rtol=1e-9, atol=1e-9)


def test_proposals_in_training() -> None:
    shapes = [(1, 18, 40, 60), (1, 36, 40, 60), (1, 3)]
    assert build("ProposalLayer", "'feat_stride': 16", *shapes)[1] == [(300, 5), (300, 1)]
    assert build("ProposalLayer", "'feat_stride': 16", *shapes, phase=TRAIN)[1][0] == (2000, 5)
    keys = "{'feat_stride': 16, 'RPN_PRE_NMS_TOP_N': -1, 'RPN_POST_NMS_TOP_N': -1}"
    assert build("ProposalLayer", keys, *shapes)[1][0] == (9 * 40 * 60, 5)


def test_predictions_are_scaled_in_training_where_asked() -> None:
    keys = f"{{{KEYS}, 'RPN_NORMALIZE_TARGETS': True}}"
    bottoms = (1, 12, *MAP), (1, 24, *MAP), (1, 3)
    chance = np.random.default_rng(5)
    scores, deltas = chance.uniform(0, 1, bottoms[0]), chance.normal(0, 1, bottoms[1])
    training, _ = build("ProposalLayer", keys, *bottoms, phase=TRAIN)
    scaled = deltas * np.tile([0.1, 0.1, 0.2, 0.2], 6)[:, None, None]
    plain, _ = build("ProposalLayer", f"{{{KEYS}}}", *bottoms, phase=TRAIN)
    np.testing.assert_allclose(forward(training, scores, deltas, INFO)[0], forward(plain, scores, scaled, INFO)[0])
    testing, _ = build("ProposalLayer", keys, *bottoms)
    unscaled, _ = build("ProposalLayer", f"{{{KEYS}}}", *bottoms)
    np.testing.assert_array_equal(forward(testing, scores, deltas, INFO)[0], forward(unscaled, scores, deltas, INFO)[0])


def test_without_a_large_enough_box_there_are_no_regions() -> None:
    layer, _ = build("ProposalLayer", f"{{{KEYS}, 'RPN_MIN_SIZE': 500}}", (1, 12, *MAP), (1, 24, *MAP), (1, 3))
    rois, best = forward(layer, np.ones((1, 12, *MAP)), np.zeros((1, 24, *MAP)), INFO)
    assert rois.shape == (0, 5)
    assert best.shape == (0, 1)


TRUTH = np.array([[20.0, 20, 51, 51, 3], [60, 30, 75, 60, 7], [0, 0, 5, 5, 1]])


def labels_by_loops(border: float = 0, positive: float = 0.7, negative: float = 0.3) -> tuple[dict, dict]:
    """Labels and nearest boxes of the ground truth of all anchors on the image, by (i, j, k)."""
    inside = {}
    for i in range(MAP[0]):
        for j in range(MAP[1]):
            for k in range(6):
                x1, y1, x2, y2 = anchor(i, j, k)
                if min(x1, y1) >= -border and x2 < INFO[0, 1] + border and y2 < INFO[0, 0] + border:
                    inside[i, j, k] = [overlap((x1, y1, x2, y2), box) for box in TRUTH]
    best = [max(each[at] for each in inside.values()) for at in range(len(TRUTH))]
    labels = {}
    for place, each in inside.items():
        object_ = max(each) >= positive or any(each[at] == best[at] for at in range(len(TRUTH)))
        labels[place] = 1 if object_ else 0 if max(each) < negative else -1
    return labels, {place: each.index(max(each)) for place, each in inside.items()}


@pytest.mark.parametrize("border", [0, 16])
def test_anchor_targets(border: int) -> None:
    keys = f"{{{KEYS}, 'allowed_border': {border}, 'RPN_BATCHSIZE': 1000}}"
    layer, shapes = build("AnchorTargetLayer", keys, (1, 12, *MAP), (3, 5), (1, 3), (1, 3, 96, 112))
    labels, targets, inside, outside = forward(layer, np.zeros((1, 12, *MAP)), TRUTH, INFO)
    assert shapes == [(1, 1, 36, 7), (1, 24, *MAP), (1, 24, *MAP), (1, 24, *MAP)]
    assert [top.shape for top in (labels, targets, inside, outside)] == shapes
    want, nearest = labels_by_loops(border)
    counted = sum(label >= 0 for label in want.values())
    assert {-1, 0, 1} == set(want.values())
    for i in range(MAP[0]):
        for j in range(MAP[1]):
            for k in range(6):
                label, place = want.get((i, j, k), -1), (0, slice(4 * k, 4 * k + 4), i, j)
                assert labels[0, 0, 6 * k + i, j] == label
                wanted = target(anchor(i, j, k), TRUTH[nearest[i, j, k]]) if (i, j, k) in want else [0] * 4
                np.testing.assert_allclose(targets[place], wanted, atol=1e-12)
                assert inside[place].tolist() == [float(label == 1)] * 4
                np.testing.assert_allclose(outside[place], [(label >= 0) / counted] * 4)


def test_no_more_anchors_than_wanted_count_and_chance_takes_them() -> None:
    keys = f"{{{KEYS}, 'RPN_BATCHSIZE': 16, 'RPN_FG_FRACTION': 0.125}}"
    layer, _ = build("AnchorTargetLayer", keys, (1, 12, *MAP), (3, 5), (1, 3))
    whole, _ = labels_by_loops()
    drawn = [forward(layer, np.zeros((1, 12, *MAP)), TRUTH, INFO, seed=seed) for seed in (1, 1, 2)]
    for labels, *_, outside in drawn:
        assert (np.sum(labels == 1), np.sum(labels == 0)) == (2, 14)
        assert set(outside.flatten().tolist()) == {0, 1 / 16}
        for i, j, k in ((i, j, k) for i in range(MAP[0]) for j in range(MAP[1]) for k in range(6)):
            assert labels[0, 0, 6 * k + i, j] in (-1, whole.get((i, j, k), -1))
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    assert (drawn[0][0] != drawn[2][0]).any()


def test_objects_may_have_weights_of_their_own_and_give_way_to_background() -> None:
    keys = f"{{{KEYS}, 'RPN_BATCHSIZE': 1000, 'RPN_POSITIVE_WEIGHT': 0.75, 'RPN_BBOX_INSIDE_WEIGHTS': (1, 1, 2, 2)}}"
    layer, _ = build("AnchorTargetLayer", keys, (1, 12, *MAP), (3, 5), (1, 3))
    labels, _, inside, outside = forward(layer, np.zeros((1, 12, *MAP)), TRUTH, INFO)
    assert outside.sum() == pytest.approx(4)
    by_label = labels.reshape(6, *MAP).repeat(4, 0)
    assert outside[0][by_label == 1].sum() == pytest.approx(4 * 0.75)
    assert sorted(set(inside.flatten().tolist())) == [0, 1, 2]
    keys = f"{{{KEYS}, 'RPN_BATCHSIZE': 1000, 'RPN_CLOBBER_POSITIVES': True}}"
    layer, _ = build("AnchorTargetLayer", keys, (1, 12, *MAP), (3, 5), (1, 3))
    clobbered = forward(layer, np.zeros((1, 12, *MAP)), TRUTH, INFO)[0]
    assert np.sum(clobbered == 1) < np.sum(labels == 1)  # the small box in the corner has no anchor near it


def test_on_an_image_too_small_for_any_anchor_none_counts() -> None:
    layer, _ = build("AnchorTargetLayer", "'feat_stride': 16", (1, 18, 2, 2), (3, 5), (1, 3))
    labels, *others = forward(layer, np.zeros((1, 18, 2, 2)), TRUTH, np.array([[32.0, 32.0, 1]]))
    assert (labels == -1).all()
    assert not any(other.any() for other in others)


ROIS = np.array(
    [
        [0.0, 20, 20, 50, 50],
        [0, 22, 24, 51, 51],
        [0, 60, 30, 75, 60],
        [0, 0, 0, 90, 90],
        [0, 40, 40, 60, 60],
        [0, 80, 80, 95, 95],
    ]
)


@pytest.mark.parametrize("classes", [2, 21])
def test_all_boxes_as_targets(classes: int) -> None:
    keys = f"{{'num_classes': {classes}, 'BATCH_SIZE': -1}}"
    layer, shapes = build("ProposalTargetLayer", keys, (6, 5), (3, 5, 1, 1))
    rois, labels, targets, inside, outside = forward(layer, ROIS, TRUTH[:, :, None, None])
    assert shapes == [(9, columns, 1, 1) for columns in (5, 1, *[4 * classes] * 3)]
    boxes = [*ROIS[:, 1:].tolist(), *TRUTH[:, :4].tolist()]
    want = {}
    for box in boxes:
        each = [overlap(box, truth) for truth in TRUTH]
        nearest = TRUTH[each.index(max(each))]
        want[tuple(box)] = (nearest[4] if max(each) >= 0.5 else 0, target(box, nearest[:4]))
    assert sorted(rois[:, 1:, 0, 0].tolist()) == sorted(boxes)
    assert [label > 0 for label in labels.flatten()] == [True] * 6 + [False] * 3
    for box, label, found, weights, outer in zip(rois[:, 1:], labels, targets, inside, outside, strict=True):
        wanted_label, wanted = want[tuple(box.flatten())]
        assert label.item() == wanted_label
        columns = np.zeros((classes, 4))
        if label.item():
            columns[1 if classes == 2 else int(label.item())] = 1
        np.testing.assert_array_equal(weights.reshape(classes, 4), columns)
        np.testing.assert_array_equal(outer.reshape(classes, 4), columns)
        scaled = columns * (np.array(wanted) / [0.1, 0.1, 0.2, 0.2])
        np.testing.assert_allclose(found.reshape(classes, 4), scaled, rtol=1e-6, atol=1e-9)


def test_some_boxes_are_picked_by_chance() -> None:
    keys = "{'num_classes': 21, 'BATCH_SIZE': 4, 'FG_FRACTION': 0.5}"
    layer, shapes = build("ProposalTargetLayer", keys, (6, 5), (3, 5))
    assert shapes[0] == (4, 5, 1, 1)
    drawn = [forward(layer, ROIS, TRUTH, seed=seed) for seed in range(8)]
    for rois, labels, *_ in drawn:
        assert [label > 0 for label in labels.flatten()] == [True, True, False, False]
        assert len({tuple(box) for box in rois[:, :, 0, 0]}) == 4
    assert len({str(rois) for rois, *_ in drawn}) > 1
    np.testing.assert_array_equal(drawn[3][0], forward(layer, ROIS, TRUTH, seed=3)[0])


def test_background_is_what_overlaps_little_but_not_too_little() -> None:
    keys = "{'num_classes': 21, 'BG_THRESH_LO': 0.1, 'BBOX_NORMALIZE_TARGETS_PRECOMPUTED': False}"
    layer, _ = build("ProposalTargetLayer", keys, (6, 5), (3, 5))
    rois, labels, targets, *_ = forward(layer, ROIS, TRUTH)
    background = rois[labels[:, 0, 0, 0] == 0][:, 1:, 0, 0]
    assert all(0.1 <= max(overlap(box, truth) for truth in TRUTH) < 0.5 for box in background)
    assert len(background) == 2
    for box, label, found in zip(rois[:, 1:, 0, 0], labels.flatten(), targets, strict=True):
        if label:
            nearest = max(TRUTH, key=lambda truth, box=box: overlap(box, truth))
            np.testing.assert_allclose(found.reshape(21, 4)[int(label)], target(box, nearest), rtol=1e-6, atol=1e-9)


def test_values_that_no_layer_can_take() -> None:
    layer, _ = build("ProposalTargetLayer", "'num_classes': 3", (6, 5), (3, 5))
    with pytest.raises(LayerError, match=r"must have a class from 0 to 2, got 3"):
        forward(layer, ROIS, TRUTH)
    with pytest.raises(LayerError, match="needs at least one box of the ground truth, got none"):
        forward(layer, ROIS, TRUTH[:0])
    with pytest.raises(LayerError, match=r"region 1 of its bottom must be in an image from 0 to 0, got \(1, "):
        forward(layer, ROIS + np.array([[0], [1], [0], [0], [0], [0]]), TRUTH[:1] * [1, 1, 1, 1, 0])


def test_spatial_dropout() -> None:
    layer, shapes = build("SpatialDropoutLayer", "{\\'phase\\': \\'TRAIN\\', \\'p\\': \\'0.25\\'}", (8, 100, 3, 2))
    x = np.random.default_rng(1).uniform(1, 2, (8, 100, 3, 2))
    (y,) = forward(layer, x)
    assert shapes == [y.shape]
    kept = (y != 0).all((2, 3))
    np.testing.assert_array_equal(kept, (y != 0).any((2, 3)))
    assert abs(kept.mean() - 0.75) < 0.05
    assert (kept.sum(1) > 60).all()
    np.testing.assert_allclose(y[kept], x[kept] / 0.75)
    given = torch.from_numpy(x).requires_grad_()
    layer.forward(run_at(), [given], [])[0].sum().backward()
    assert given.grad is not None
    np.testing.assert_allclose(given.grad.numpy(), np.broadcast_to(kept[..., None, None] / 0.75, x.shape))


def test_spatial_dropout_of_a_deploy_net_scales_as_enet_does_in_any_phase() -> None:
    for phase in (TRAIN, TEST):
        layer, _ = build("SpatialDropoutLayer", "{'phase': 'TEST', 'p': '0.1'}", (2, 3, 2, 2), phase=phase)
        np.testing.assert_allclose(forward(layer, np.ones((2, 3, 2, 2)))[0], 1 / 0.9)


@pytest.mark.parametrize(
    ("names", "keys", "shapes"),
    [
        (("data", "im_info", "gt_boxes"), "'num_classes': 21", [(1, 3, 608, 1024), (1, 3), (1, 5, 1, 1)]),
        (("data", "rois", "labels"), "'num_classes': 21", [(2, 3, 608, 1024), (1, 5, 1, 1), (1, 1, 1, 1)]),
        (
            ("data", "rois", "labels", "targets", "inside", "outside"),
            "{'num_classes': 3, 'IMS_PER_BATCH': 4, 'SCALES': 320, 'MAX_SIZE': 500, 'AGNOSTIC': False}",
            [(4, 3, 320, 512), (1, 5, 1, 1), (1, 1, 1, 1), *[(1, 12, 1, 1)] * 3],
        ),
        (
            ("data", "rois", "labels", "targets", "weights"),
            "'num_classes': 3",
            [(2, 3, 608, 1024), (1, 5, 1, 1), (1, 1, 1, 1), *[(1, 12, 1, 1)] * 2],
        ),
        (
            ("data", "rois", "labels", "targets", "inside", "outside"),
            "{'num_classes': 21, 'AGNOSTIC': True}",
            [(2, 3, 608, 1024), (1, 5, 1, 1), (1, 1, 1, 1), *[(1, 8, 1, 1)] * 3],
        ),
        (
            ("data", "rois", "labels", "targets", "inside", "outside"),
            "'num_classes': 21",
            [(2, 3, 608, 1024), (1, 5, 1, 1), (1, 1, 1, 1), *[None] * 3],
        ),
    ],
)
def test_shapes_of_data_that_are_not_there(names: tuple[str, ...], keys: str, shapes: list) -> None:
    text = param("RoIDataLayer", keys, 0, len(names))
    for at, name in enumerate(names):
        text = text.replace(f'"t{at}"', f'"{name}"')
    layer = make_layer(settings(text), TRAIN, nowhere, allow_python=False)
    layer.setup([])
    assert layer.shapes([]) == shapes
    with pytest.raises(
        DataError, match=r"its data cannot be read: roi_data_layer\.layer\.RoIDataLayer takes what scripts"
    ):
        layer.forward(run_at(), [], [])


# -- how their settings are written -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("'feat_stride': 16", {"feat_stride": 16}),
        ("feat_stride: 16", {"feat_stride": 16}),
        ("'feat_stride': 16 \n'scales': !!python/tuple [4, 8]", {"feat_stride": 16, "scales": [4, 8]}),
        ("{'scales': [4,8], 'ratios':[1,], 'border': 512}", {"scales": [4, 8], "ratios": [1], "border": 512}),
        ('{ "a": (1, 2), b: True }', {"a": (1, 2), "b": True}),
        ("a: true\nb: null", {"a": True, "b": None}),
        ("", {}),
    ],
)  # fmt: skip
def test_what_a_param_str_says(text: str, says: dict) -> None:
    assert parse(text) == says


@pytest.mark.parametrize(
    "text",
    [
        "16",
        "{'a': 1",
        "{'a': __import__('os').getcwd()}",
        "'a': open('x')",
        "{1: 2}",
        "{'a'}",
        "[" * 4000,
        "'a': " + "(" * 4000,
        "{" * 2000,
        "'a': " + "1" * 20_000,
    ],
)
def test_it_is_parsed_and_never_run(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(not a value: |not a key and a value: |it is too long|its keys must be)"):
        parse(text)


PREDICTED = [(1, 18, 5, 6), (1, 36, 5, 6), (1, 3)]


@pytest.mark.parametrize(
    ("kind", "keys", "bottoms", "told"),
    [
        ("ProposalLayer", "", PREDICTED, 'its param_str must give "feat_stride"'),
        ("ProposalLayer", "16", PREDICTED, "cannot read its param_str: not a key and a value: 16"),
        ("ProposalLayer", "'feat_stride': 4,8", PREDICTED, "feat_stride must be a number, got (4, 8)"),
        ("ProposalLayer", "'feat_stride': 1.5", PREDICTED, "feat_stride must be a whole number from 1 on, got 1.5"),
        (
            "ProposalLayer",
            "{'feat_stride': 16, 'scales': []}",
            PREDICTED,
            "scales must be some numbers above 0, got []",
        ),
        (
            "ProposalLayer",
            "'feat_stride': 16",
            [(1, 24, 5, 6), *PREDICTED[1:]],
            "needs the scores of one image for 9 anchors, 1×18×H×W, got shape (1, 24, 5, 6)",
        ),
        (
            "AnchorTargetLayer",
            "'feat_stride': 16",
            [(2, 18, 5, 6), (1, 5), (1, 3)],
            "needs a map of one image, 1×C×H×W, got shape (2, 18, 5, 6)",
        ),
        (
            "AnchorTargetLayer",
            "'feat_stride': 16",
            [(1, 18, 5, 6), (1, 4), (1, 3)],
            "needs boxes of the ground truth, G×5, each (x1, y1, x2, y2, class), got shape (1, 4)",
        ),
        (
            "AnchorTargetLayer",
            "'feat_stride': 16",
            [(1, 18, 5, 6), (1, 5), (1, 2)],
            "needs (height, width, scale) of the image, 1×3, got shape (1, 2)",
        ),
        (
            "ProposalTargetLayer",
            "'num_classes': 1",
            [(6, 5), (1, 5)],
            "num_classes must be a whole number from 2 on, got 1.0",
        ),
        ("SpatialDropoutLayer", "{'phase': 'TRAIN', 'p': '1'}", [(6, 5)], "p must be above 0 and below 1, got '1'"),
        ("SpatialDropoutLayer", "{'phase': 'LEARN', 'p': 0.5}", [(6, 5)], "phase must be TRAIN or TEST, got 'LEARN'"),
    ],
)
def test_faults(kind: str, keys: str, bottoms: list, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(kind, keys, *bottoms)
    assert raised.value.faults[0].message == told
    assert str(raised.value).startswith('layer "p" (Python): ')


# -- when they are taken ------------------------------------------------------------------------------------------

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "drop" type: "Python" bottom: "x" top: "y" python_param {
  module: "spatial_dropout" layer: "SpatialDropoutLayer" param_str: "{'phase': 'TEST', 'p': '0.5'}" } }
"""
OWN = """
import caffelite

class SpatialDropoutLayer(caffelite.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = -bottom[0].data

    def backward(self, top, propagate_down, bottom):
        pass
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "net.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("spatial_dropout", None)
    sys.path[:] = [folder for folder in sys.path if folder != str(tmp_path)]


def notes(net: Any) -> list[tuple[str, str | None]]:
    graph = build_graph(net, state_of(net.message, TEST))
    return [(fault.message, fault.help) for fault in graph.warnings if fault.severity == "note"]


TOLD = "caffelite's own layer takes the place of spatial_dropout.SpatialDropoutLayer, of TimoSaemann/ENet"


def test_where_code_may_not_run(place: Path) -> None:
    (place / "spatial_dropout.py").write_text("raise AssertionError('nobody may import this')")
    net = read_net("net.prototxt", allow_python=False)
    assert notes(net) == [(TOLD, "--allow-python runs the class itself")]


def test_where_the_class_is_not_there(place: Path) -> None:
    assert notes(read_net("net.prototxt")) == [(TOLD, 'there is no module "spatial_dropout"')]
    net = caffelite.Net("net.prototxt", TEST)
    net.blobs["x"].data[...] = 3
    assert (net.forward()["y"] == 6).all()
    assert net.layers[1].type == "Python"


def test_where_the_class_cannot_be_imported(place: Path) -> None:
    (place / "spatial_dropout.py").write_text("print 'Python 2'")
    ((told, why),) = notes(read_net("net.prototxt"))
    assert told == TOLD
    assert why is not None
    assert why.startswith("importing spatial_dropout raised SyntaxError")


def test_the_class_itself_comes_first(place: Path) -> None:
    (place / "spatial_dropout.py").write_text(OWN)
    assert notes(read_net("net.prototxt")) == []
    net = caffelite.Net("net.prototxt", TEST)
    net.blobs["x"].data[...] = 3
    assert (net.forward()["y"] == -3).all()


def test_a_note_is_no_error_in_a_strict_file(place: Path) -> None:
    assert len(notes(read_net("net.prototxt", allow_python=False, strict=True))) == 1


def test_a_setting_nobody_knows_is_warned_about(place: Path) -> None:
    (place / "net.prototxt").write_text(NET.replace("'p'", "'P': 1, 'p'"))
    net = read_net("net.prototxt", allow_python=False)
    warnings = [fault for fault in build_graph(net, state_of(net.message, TEST)).warnings if fault.severity != "note"]
    assert [fault.message for fault in warnings] == ['"P" in param_str has no effect: there is no such setting']


def test_another_class_of_that_name_is_not_taken(place: Path) -> None:
    text = param("ProposalLayer", "'feat_stride': 16", 11, 5)
    with pytest.raises(
        GraphError, match=r'would run Python code that the file names: "rpn\.proposal_layer\.ProposalLayer"'
    ):
        make_layer(settings(text), TEST, nowhere, allow_python=False)
    text = param("ProposalLayer", "'feat_stride': 16", 3).replace("rpn.proposal_layer", "mine")
    with pytest.raises(GraphError, match=r'would run Python code that the file names: "mine\.ProposalLayer"'):
        make_layer(settings(text), TEST, nowhere, allow_python=False)


def test_the_table_names_layers_that_there_are() -> None:
    assert dialects.python_class("rpn.proposal_layer.ProposalLayer") == "ProposalLayer"
    assert dialects.python_class("rpn.proposal_layer.ProposalLayer2") is None
    known = {dialects.python_class(name) for entry in dialects.table()["python"] for name in entry["names"]}
    built = {name.partition("@")[2] for name in layers if name.startswith("Python@")}
    assert known == built
    assert all(issubclass(layers[f"Python@{name}"], StandIn) for name in built)


def test_a_shape_that_is_given_comes_before_the_assumed_one(tmp_path: Path) -> None:
    text = param("RoIDataLayer", "'num_classes': 21", 0).replace('"t0"', '"data"')
    (tmp_path / "net.prototxt").write_text(f"layer {{ {text} }}")
    net = read_net(tmp_path / "net.prototxt", allow_python=False)
    graph = build_graph(net, state_of(net.message, TRAIN), given={"data": (1, 3, 320, 480)}, missing_data=True)
    assert graph.shape("data") == (1, 3, 320, 480)
    result = CliRunner().invoke(summary, [str(tmp_path / "net.prototxt"), "--input", "data=1x3x64x32"])
    assert result.exit_code == 0, result.output
    assert "1×3×64×32" in result.output or "1x3x64x32" in result.output
    assert "is not used" not in result.output


def test_a_net_with_such_data_can_be_made_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        f"layer {{ {param('RoIDataLayer', chr(39) + 'num_classes' + chr(39) + ': 21', 0)} }}"
    )
    net = caffelite.Net(tmp_path / "net.prototxt", TRAIN)
    with pytest.raises(CaffeliteError, match="its data cannot be read"):
        net.forward()


def test_shapes_that_only_the_data_could_tell(tmp_path: Path) -> None:
    roi_data = param("RoIDataLayer", "'num_classes': 21", 0, 6).replace('"t1"', '"rois"')
    loss = 'layer { type: "SmoothL1Loss" bottom: "boxes" bottom: "t3" top: "loss" name: "loss" }'
    boxes = 'layer { type: "Input" top: "boxes" name: "boxes" input_param { shape { dim: 1 dim: 8 } } }'
    (tmp_path / "net.prototxt").write_text(f"layer {{ {roi_data} }} {boxes} {loss}")
    net = read_net(tmp_path / "net.prototxt", allow_python=False)
    graph = build_graph(net, state_of(net.message, TRAIN), missing_data=True)
    assert [graph.shape(blob) for blob in ("rois", "t3", "loss")] == [(1, 5, 1, 1), None, None]
    given = {"t3": (4, 8, 1, 1), "boxes": (4, 8)}
    with pytest.raises(CaffeliteError, match=r"must have one shape, got \(1, 8\) and \(4, 8, 1, 1\)"):
        build_graph(net, state_of(net.message, TRAIN), given=given, missing_data=True)
    with pytest.raises(CaffeliteError, match='the shape of its top "t3" is not known without its data'):
        build_graph(net, state_of(net.message, TRAIN))


def test_code_of_a_source_need_not_run_where_all_its_shapes_are_given(tmp_path: Path) -> None:
    source = 'type: "Python" name: "d" top: "x" top: "l" python_param { module: "never_imported" layer: "Data" }'
    (tmp_path / "net.prototxt").write_text(f"layer {{ {source} }}")
    net = read_net(tmp_path / "net.prototxt", allow_python=False)
    for given in ({}, {"x": (2, 3)}):
        with pytest.raises(GraphError, match="would run Python code"):
            build_graph(net, state_of(net.message, TRAIN), given=given, missing_data=True)
    given = {"x": (2, 3), "l": (2,)}
    graph = build_graph(net, state_of(net.message, TRAIN), given=given, missing_data=True)
    assert (graph.shape("x"), graph.shape("l")) == ((2, 3), (2,))
    assert [fault.severity for fault in graph.warnings] == ["warning"]
    assert "would run Python code" in graph.warnings[0].message
    with pytest.raises(GraphError, match="would run Python code"):
        build_graph(net, state_of(net.message, TRAIN), given=given)
