"""MultiBoxLoss against plain loops over what `src/caffe/util/bbox_util.cpp` and `multibox_loss_layer.cpp` of
weiliu89/caffe (branch ssd) do, on the boxes of that fork's own test (`test_multibox_loss_layer.cpp`)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

CLASSES = 3
TRUTH = np.array(
    [
        [0, 1, 0, 0.1, 0.1, 0.3, 0.3, 0],
        [2, 1, 0, 0.1, 0.1, 0.3, 0.3, 0],
        [2, 2, 0, 0.2, 0.2, 0.4, 0.4, 0],
        [2, 2, 1, 0.6, 0.6, 0.8, 0.9, 1],
    ],
    np.float32,
)
"""The true boxes of the fork's test."""


def prior_boxes() -> np.ndarray:
    """Its prior boxes: on a 20×20 image with cells of 10, of sizes 5, √50, and 5 with the ratios 3 and 1/3."""
    rows = []
    for y, x in itertools.product((5, 15), (5, 15)):
        for w, h in ((5, 5), (50**0.5, 50**0.5), (5 * 3**0.5, 5 / 3**0.5), (5 / 3**0.5, 5 * 3**0.5)):
            rows.append([(x - w / 2) / 20, (y - h / 2) / 20, (x + w / 2) / 20, (y + h / 2) / 20])
    # One that reaches out of the image, for ignore_cross_boundary_bbox and bp_inside.
    rows.append([-0.05, 0.1, 0.25, 0.35])
    corners = np.array(rows, np.float32)
    variances = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (len(rows), 1))
    return np.stack([corners.ravel(), variances.ravel()])[None]


PRIORS = prior_boxes()
COUNT = PRIORS.shape[2] // 4


def predictions(slots: int = 1, images: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    loc = rng.normal(0, 0.7, (images, COUNT * slots * 4)).astype(np.float32)
    return loc, rng.normal(0, 2, (images, COUNT * CLASSES)).astype(np.float32)


# -- the reference ----------------------------------------------------------------------------------------------------


def area(box: Any) -> float:
    return 0.0 if box[2] < box[0] or box[3] < box[1] else float((box[2] - box[0]) * (box[3] - box[1]))


def jaccard(a: Any, b: Any) -> float:
    if b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]:
        return 0.0
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = float(width * height) if width > 0 and height > 0 else 0.0
    return shared / (area(a) + area(b) - shared) if shared else 0.0


def encode(prior: Any, var: Any, box: Any, code: str, late: bool) -> list[float]:
    if late:
        var = [1, 1, 1, 1]
    pw, ph = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return [(box[k] - prior[k]) / var[k] for k in range(4)]
    if code == "CORNER_SIZE":
        return [(box[k] - prior[k]) / (pw, ph)[k % 2] / var[k] for k in range(4)]
    return [
        ((box[0] + box[2]) / 2 - (prior[0] + prior[2]) / 2) / pw / var[0],
        ((box[1] + box[3]) / 2 - (prior[1] + prior[3]) / 2) / ph / var[1],
        math.log((box[2] - box[0]) / pw) / var[2],
        math.log((box[3] - box[1]) / ph) / var[3],
    ]


def decode(prior: Any, var: Any, code_: Any, code: str, late: bool) -> list[float]:
    value = [code_[k] * (1 if late else var[k]) for k in range(4)]
    pw, ph = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return [prior[k] + value[k] for k in range(4)]
    if code == "CORNER_SIZE":
        return [prior[k] + value[k] * (pw, ph)[k % 2] for k in range(4)]
    x, y = value[0] * pw + (prior[0] + prior[2]) / 2, value[1] * ph + (prior[1] + prior[3]) / 2
    w, h = math.exp(value[2]) * pw, math.exp(value[3]) * ph
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def match_boxes(truth: list[Any], boxes: list[Any], label: int, s: dict[str, Any]) -> tuple[list[int], list[float]]:
    indices, most = [-1] * len(boxes), [0.0] * len(boxes)
    chosen = [g for g, row in enumerate(truth) if label in (-1, int(row[1]))]
    if not chosen:
        return indices, most
    shared: dict[tuple[int, int], float] = {}
    for i, box in enumerate(boxes):
        if s["ignore_cross_boundary_bbox"] and any(v < 0 or v > 1 for v in box):
            indices[i] = -2
            continue
        for j, g in enumerate(chosen):
            value = jaccard(box, truth[g][3:7])
            if value > 1e-6:
                most[i] = max(most[i], value)
                shared[i, j] = value
    pool = list(range(len(chosen)))
    while pool:
        best: tuple[float, int, int] | None = None
        for (i, j), value in sorted(shared.items()):
            if indices[i] == -1 and j in pool and (best is None or value > best[0]):
                best = value, i, j
        if best is None:
            break
        value, i, j = best
        indices[i], most[i] = chosen[j], value
        pool.remove(j)
    if s["match_type"] == "PER_PREDICTION":
        for i in range(len(boxes)):
            if indices[i] != -1:
                continue
            best_value = -1.0
            for j, g in enumerate(chosen):
                value = shared.get((i, j), -1.0)
                if value >= s["overlap_threshold"] and value > best_value:
                    indices[i], most[i], best_value = g, value, value
    return indices, most


def conf_cost(scores: Any, label: int | None, kind: str) -> float:
    scores = np.asarray(scores, np.float64)
    if kind == "SOFTMAX":
        assert label is not None
        exponentials = np.exp(scores - scores.max())
        return -math.log(max(exponentials[label] / exponentials.sum(), np.finfo(np.float32).tiny))
    return sum(math.log1p(math.exp(-x)) if c == label else math.log1p(math.exp(x)) for c, x in enumerate(scores))


def loc_cost(difference: float, kind: str) -> float:
    return difference**2 / 2 if kind == "L2" or abs(difference) < 1 else abs(difference) - 0.5


DEFAULTS: dict[str, Any] = {
    "share_location": True, "match_type": "PER_PREDICTION", "overlap_threshold": 0.5, "use_prior_for_matching": True,
    "use_difficult_gt": True, "mining_type": "MAX_NEGATIVE", "neg_pos_ratio": 3.0, "neg_overlap": 0.5,
    "code_type": "CORNER", "encode_variance_in_target": False, "ignore_cross_boundary_bbox": False, "bp_inside": False,
    "sample_size": 64, "loc_loss_type": "SMOOTH_L1", "conf_loss_type": "SOFTMAX", "loc_weight": 1.0,
}  # fmt: skip


def reference(
    loc: np.ndarray, conf: np.ndarray, truth: np.ndarray, normalization: str = "VALID", **given: Any
) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss, and its gradients with respect to locations and confidences; background is class 0."""
    s = DEFAULTS | given
    images, slots = len(loc), 1 if s["share_location"] else CLASSES
    loc, conf = loc.reshape(images, COUNT, slots, 4), conf.reshape(images, COUNT, CLASSES)
    priors, variances = PRIORS[0].reshape(2, COUNT, 4)
    late, code = s["encode_variance_in_target"], s["code_type"]
    rows = [row for row in truth if row[0] != -1 and (s["use_difficult_gt"] or not row[7])]
    total_loc, total_conf, matches = 0.0, 0.0, 0
    d_loc, d_conf = np.zeros(loc.shape), np.zeros(conf.shape)

    def add_conf(n: int, p: int, labels: set[int], background: bool) -> float:
        """Adds the gradient of a prediction; what it costs."""
        if s["conf_loss_type"] == "SOFTMAX":
            (label,) = labels or {0}
            exponentials = np.exp(conf[n, p].astype(np.float64) - conf[n, p].max())
            d_conf[n, p] = exponentials / exponentials.sum() - (np.arange(CLASSES) == label)
            return conf_cost(conf[n, p], label, "SOFTMAX")
        targets = labels or ({0} if background else set())
        cost = 0.0
        for c in range(CLASSES):
            x = float(conf[n, p, c])
            d_conf[n, p, c] = 1 / (1 + math.exp(-x)) - (c in targets)
            cost += math.log1p(math.exp(-x)) if c in targets else math.log1p(math.exp(x))
        return cost

    def compared(n: int, p: int, slot: int, row: Any, boxes: Any) -> list[float]:
        wanted = encode(priors[p], variances[p], row[3:7], code, late)
        result = []
        for k in range(4):
            difference = float(loc[n, p, slot, k]) - wanted[k]
            if s["bp_inside"] and (boxes[k] < 0 or boxes[k] > 1):
                difference = 0.0
            result.append(difference / (float(variances[p, k]) if late else 1.0))
        return result

    for n in range(images):
        mine = [row for row in rows if row[0] == n]
        found: dict[int, tuple[list[int], list[float], list[Any]]] = {}
        if mine:
            for slot in range(slots):
                label = -1 if s["share_location"] else slot
                if label == 0:
                    continue
                decoded = [decode(priors[p], variances[p], loc[n, p, slot], code, late) for p in range(COUNT)]
                if s["use_prior_for_matching"]:
                    indices, most = match_boxes(mine, list(priors), -1, s)
                    if not s["share_location"]:
                        indices = [g if g >= 0 and int(mine[g][1]) == slot else -1 for g in indices]
                    found[slot] = indices, most, list(priors)
                else:
                    indices, most = match_boxes(mine, decoded, label, s)
                    found[slot] = indices, most, decoded
        negatives: list[int] = []
        mines = s["mining_type"] != "NONE"
        if mines and mine:
            indices, most, boxes = found[0]
            costs = []
            for p in range(COUNT):
                label = int(mine[indices[p]][1]) if indices[p] >= 0 else 0
                cost = conf_cost(conf[n, p], label, s["conf_loss_type"])
                if s["mining_type"] == "HARD_EXAMPLE" and indices[p] >= 0:
                    cost += sum(loc_cost(d, s["loc_loss_type"]) for d in compared(n, p, 0, mine[indices[p]], boxes[p]))
                costs.append(cost)
            if s["mining_type"] == "MAX_NEGATIVE":
                eligible = [p for p in range(COUNT) if indices[p] == -1 and most[p] < s["neg_overlap"]]
                count = min(int(sum(i > -1 for i in indices) * s["neg_pos_ratio"]), len(eligible))
            else:
                eligible, count = list(range(COUNT)), min(s["sample_size"], COUNT)
            chosen = set(sorted(eligible, key=lambda p: -costs[p])[:count])
            for p in range(COUNT):
                if indices[p] > -1:
                    if s["mining_type"] == "HARD_EXAMPLE" and p not in chosen:
                        indices[p] = -1
                elif indices[p] == -1 and p in chosen:
                    negatives.append(p)
        labels: list[set[int]] = [set() for _ in range(COUNT)]
        for slot, (indices, _, boxes) in found.items():
            for p, g in enumerate(indices):
                if g < 0:
                    continue
                matches += 1
                if s["conf_loss_type"] == "SOFTMAX":
                    labels[p] = {int(mine[g][1])}
                else:
                    labels[p].add(int(mine[g][1]))
                differences = compared(n, p, slot, mine[g], boxes[p])
                total_loc += sum(loc_cost(d, s["loc_loss_type"]) for d in differences)
                clipped = differences if s["loc_loss_type"] == "L2" else np.clip(differences, -1, 1)
                d_loc[n, p, slot] = np.array(clipped) * s["loc_weight"]
        for p in range(COUNT):
            if not mines or labels[p] or p in negatives:
                total_conf += add_conf(n, p, labels[p], mines)
    divisors = {"FULL": images * COUNT, "VALID": matches, "BATCH_SIZE": images, "NONE": 1}
    by = max(1, divisors[normalization])
    loss = s["loc_weight"] * total_loc / by + total_conf / by
    return loss, d_loc.reshape(images, -1) / by, d_conf.reshape(images, -1) / by


# -- the tests --------------------------------------------------------------------------------------------------------


def text(normalization: str = "VALID", extra: str = "", **given: Any) -> str:
    fields = " ".join(
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()
    )
    return (
        'name: "loss" type: "MultiBoxLoss" bottom: "l" bottom: "c" bottom: "p" bottom: "t" top: "o" '
        f"loss_param {{ normalization: {normalization} }} "
        f"multibox_loss_param {{ num_classes: {CLASSES} {fields} }} {extra}"
    )


def computed(
    prototxt: str, loc: np.ndarray, conf: np.ndarray, truth: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    bottoms = [torch.from_numpy(part) for part in (loc, conf, PRIORS, truth[None, None])]
    layer, tops = build(prototxt, *(tuple(bottom.shape) for bottom in bottoms))
    assert tops == [()]
    bottoms[0].requires_grad_()
    bottoms[1].requires_grad_()
    (loss,) = layer.forward(run_at(), bottoms, [])
    assert loss is not None
    loss.backward()
    grads = [np.zeros_like(b.detach().numpy()) if b.grad is None else b.grad.numpy() for b in bottoms[:2]]
    return float(loss.detach()), grads[0], grads[1]


def assert_as_the_reference(normalization: str = "VALID", truth: np.ndarray = TRUTH, **given: Any) -> None:
    loc, conf = predictions(1 if given.get("share_location", True) else CLASSES)
    wanted = reference(loc, conf, truth, normalization, **given)
    got = computed(text(normalization, **given), loc, conf, truth)
    assert got[0] == pytest.approx(wanted[0], rel=1e-5)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got[2], wanted[2], rtol=1e-4, atol=1e-6)


SHARING = [(True, mining) for mining in ("NONE", "MAX_NEGATIVE", "HARD_EXAMPLE")] + [(False, "NONE")]


@pytest.mark.parametrize(("share", "mining"), SHARING)
@pytest.mark.parametrize("use_prior", [True, False])
@pytest.mark.parametrize("match_type", ["BIPARTITE", "PER_PREDICTION"])
def test_matching_and_mining(share: bool, mining: str, use_prior: bool, match_type: str) -> None:
    for conf_loss, loc_loss in itertools.product(("SOFTMAX", "LOGISTIC"), ("L2", "SMOOTH_L1")):
        assert_as_the_reference(
            share_location=share,
            mining_type=mining,
            use_prior_for_matching=use_prior,
            match_type=match_type,
            overlap_threshold=0.3,
            conf_loss_type=conf_loss,
            loc_loss_type=loc_loss,
            loc_weight=2.0,
            sample_size=5,
            neg_pos_ratio=2,
        )


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("bp_inside", [True, False])
def test_codes(code: str, late: bool, bp_inside: bool) -> None:
    for use_prior in (True, False):
        assert_as_the_reference(
            code_type=code,
            encode_variance_in_target=late,
            bp_inside=bp_inside,
            use_prior_for_matching=use_prior,
            overlap_threshold=0.2,
        )


@pytest.mark.parametrize("normalization", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("difficult", [True, False])
def test_normalization_and_difficult_boxes(normalization: str, difficult: bool) -> None:
    assert_as_the_reference(normalization, use_difficult_gt=difficult, overlap_threshold=0.2)


@pytest.mark.parametrize("mining", ["NONE", "MAX_NEGATIVE", "HARD_EXAMPLE"])
def test_prior_boxes_that_reach_out_of_the_image(mining: str) -> None:
    given: dict[str, Any] = {"mining_type": mining, "overlap_threshold": 0.1, "neg_overlap": 0.9}
    assert_as_the_reference(ignore_cross_boundary_bbox=True, **given)
    loc, conf = predictions()
    ignoring, not_ignoring = (
        reference(loc, conf, TRUTH, ignore_cross_boundary_bbox=ignore, **given)[0] for ignore in (True, False)
    )
    assert ignoring != not_ignoring


@pytest.mark.parametrize("mining", ["NONE", "MAX_NEGATIVE", "HARD_EXAMPLE"])
def test_no_true_box_at_all(mining: str) -> None:
    nothing = np.full((1, 8), -1, np.float32)
    assert_as_the_reference(truth=nothing, mining_type=mining)
    loc, conf = predictions()
    assert computed(text(mining_type="MAX_NEGATIVE"), loc, conf, nothing)[0] == 0


def test_neg_overlap_leaves_out_what_nearly_matches() -> None:
    given: dict[str, Any] = {"match_type": "BIPARTITE", "neg_pos_ratio": 20}
    for neg_overlap in (0.1, 0.35, 1.0):
        assert_as_the_reference(neg_overlap=neg_overlap, **given)


def test_objects_as_one_class() -> None:
    loc, conf = predictions()
    conf = conf[:, : COUNT * 2]
    truth = TRUTH.copy()
    truth[:, 1] = [7, 7, 20, 20]
    ones = TRUTH.copy()
    ones[:, 1] = 1
    prototxt = text(mining_type="NONE").replace("num_classes: 3", "num_classes: 2")
    agnostic = prototxt.replace("num_classes: 2", "num_classes: 2 map_object_to_agnostic: true")
    assert computed(agnostic, loc, conf, truth)[0] == computed(prototxt, loc, conf, ones)[0]


def test_a_summand_that_gets_no_gradient_is_left_out() -> None:
    loc, conf = predictions()
    whole = computed(text(), loc, conf, TRUTH)
    flags = "propagate_down: {} propagate_down: {} propagate_down: false propagate_down: false"
    of_loc = computed(text(extra=flags.format("true", "false")), loc, conf, TRUTH)
    of_conf = computed(text(extra=flags.format("false", "true")), loc, conf, TRUTH)
    assert of_loc[0] + of_conf[0] == pytest.approx(whole[0])
    np.testing.assert_array_equal(of_loc[1], whole[1])
    np.testing.assert_array_equal(of_conf[2], whole[2])
    assert not of_loc[2].any() and not of_conf[1].any()


def test_mining_thins_out_boxes_that_overlap() -> None:
    """By hand: of prior boxes at one place (IoU above 0.3) the hardest alone stays."""
    loc, conf = predictions(images=1)
    truth = TRUTH[:1]
    settings = "nms_param {{ nms_threshold: {} top_k: 100 }} use_prior_for_nms: true"
    all_of_them = text(neg_pos_ratio=100).replace("num_classes: 3", "num_classes: 3 " + settings.format(1.0))
    thinned = text(neg_pos_ratio=100).replace("num_classes: 3", "num_classes: 3 " + settings.format(0.3))
    assert computed(all_of_them, loc, conf, truth)[0] == computed(text(neg_pos_ratio=100), loc, conf, truth)[0]
    counted = np.asarray(computed(thinned, loc, conf, truth)[2].reshape(COUNT, CLASSES).any(1))
    boxes = PRIORS[0, 0].reshape(COUNT, 4)
    matched = match_boxes([truth[0]], list(boxes), -1, DEFAULTS)[0]
    stay = [p for p in range(COUNT) if counted[p] and matched[p] < 0]
    assert stay and all(jaccard(boxes[a], boxes[b]) <= 0.3 for a, b in itertools.combinations(stay, 2))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("conf_loss", ["SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("loc_loss", ["L2", "SMOOTH_L1"])
def test_gradients_numerically(share: bool, conf_loss: str, loc_loss: str) -> None:
    loc, conf = (torch.from_numpy(part).double() for part in predictions(1 if share else CLASSES))
    rest = torch.from_numpy(PRIORS), torch.from_numpy(TRUTH[None, None])
    mining = "MAX_NEGATIVE" if share else "NONE"
    prototxt = text(share_location=share, conf_loss_type=conf_loss, loc_loss_type=loc_loss, mining_type=mining)
    layer, _ = build(prototxt, *(tuple(part.shape) for part in (loc, conf, *rest)))
    inputs = (loc.requires_grad_(), conf.requires_grad_())

    def loss(*pair: torch.Tensor) -> torch.Tensor:
        (value,) = layer.forward(run_at(), (*pair, *rest), [])
        assert value is not None
        return value

    assert torch.autograd.gradcheck(loss, inputs)


def refused(prototxt: str, truth: np.ndarray = TRUTH, **shapes: tuple[int, ...]) -> str:
    loc, conf = predictions()
    with pytest.raises(LayerError) as caught:
        computed(prototxt, loc, conf, truth)
    return str(caught.value)


@pytest.mark.parametrize(
    ("prototxt", "message"),
    [
        (text().replace("num_classes: 3", ""), "num_classes must be given"),
        (text(background_label_id=3), "background_label_id must be a class from 0 to 2, got 3"),
        (text(share_location=False), "mining_type must be NONE without share_location"),
        (text(do_neg_mining=False), "do_neg_mining contradicts mining_type"),
        (text(map_object_to_agnostic=True), "num_classes must be 2 with map_object_to_agnostic"),
        (text(mining_type="HARD_EXAMPLE", sample_size=0), "sample_size must be positive"),
        (text(share_location=False, mining_type="NONE"), "needs 12 locations for each of 17 prior boxes"),
        (text().replace("num_classes: 3", "num_classes: 4"), "needs 4 classes for each of 17 prior boxes"),
    ],
)
def test_settings_that_cannot_be(prototxt: str, message: str) -> None:
    assert message in refused(prototxt)


@pytest.mark.parametrize(("label", "message"), [(0, "is of the background, class 0"), (3, "class from 0 to 2, got 3")])
def test_true_boxes_of_no_class(label: int, message: str) -> None:
    truth = TRUTH.copy()
    truth[2, 1] = label
    told = refused(text(), truth)
    assert "true box 2" in told and message in told


def test_what_stands_behind_the_rows_of_boxes_is_not_read() -> None:
    """The fork takes as many rows of 8 as the fourth bottom is high: nets with dummy data have other shapes."""
    loc, conf = predictions()
    longer = np.concatenate([TRUTH.ravel(), np.full(96, 7, np.float32)]).reshape(2, 4, 16)
    bottoms = [torch.from_numpy(part) for part in (loc, conf, PRIORS, longer.reshape(1, 2, 4, 16))]
    layer, _ = build(text(), *(tuple(bottom.shape) for bottom in bottoms))
    assert float(layer.forward(run_at(), bottoms, [])[0]) == computed(text(), loc, conf, TRUTH)[0]  # type: ignore[arg-type]
    with pytest.raises(LayerError, match="needs true boxes of shape 1×1×G×8"):
        build(text(), *(tuple(bottom.shape) for bottom in bottoms[:3]), (1, 1, 4, 7))


def test_variances_must_be_positive() -> None:
    layer: Layer
    loc, conf = predictions()
    priors = PRIORS.copy()
    priors[0, 1, 5] = 0
    bottoms = [torch.from_numpy(part) for part in (loc, conf, priors, TRUTH[None, None])]
    layer, _ = build(text(), *(tuple(bottom.shape) for bottom in bottoms))
    with pytest.raises(LayerError, match="variances of prior boxes must be positive, got 0"):
        layer.forward(run_at(), bottoms, [])


def test_nms_without_top_k_is_told() -> None:
    layer, _ = build(
        text().replace("num_classes: 3", "num_classes: 3 nms_param { }"),
        *((3, COUNT * 4), (3, COUNT * 3), PRIORS.shape, (1, 1, 4, 8)),
    )
    (fault,) = layer.warnings()
    assert "nms_param without top_k" in fault.message and fault.severity == "warning"


@pytest.mark.parametrize(
    ("param", "loss", "by_loc", "by_conf"),
    [
        (
            "code_type: CENTER_SIZE neg_pos_ratio: 1.5 loc_weight: 2",
            7.1067914962768555,
            [-0.33333334, 0.33333334, 0.33333334, -0.12448126, 0.33333334, -0.08942653, 0.055552326, 0.09393384],
            [-0.16110222, 0.067983195, 0.093119025, -0.16274485, 0.14058286, 0.02216199],
        ),
        (
            "code_type: CORNER_SIZE encode_variance_in_target: true mining_type: HARD_EXAMPLE sample_size: 4 "
            "loc_loss_type: L2 nms_param { nms_threshold: 0.5 top_k: 5 }",
            21.94192123413086,
            [-0.9566064, 0.66847295, 0.3148501, -0.20703644, -0.2312176, 0.50524783, 0.2579285, -0.4074596],
            [0, 0, 0, -0.16274485, 0.14058286, 0.02216199],
        ),
        (
            "conf_loss_type: LOGISTIC match_type: BIPARTITE use_difficult_gt: false use_prior_for_matching: false",
            10.006524085998535,
            [0, 0, 0, 0, 0.07280412, -0.01799805, 0.13888568, -0.16298383],
            [-0.28789482, 0.21950077, 0.2417892, -0.29184687, 0.27864918, 0.14848606],
        ),
    ],
)
def test_losses_and_gradients_of_the_fork(param: str, loss: float, by_loc: list[float], by_conf: list[float]) -> None:
    """Recorded output of the fork: the loss, and gradients of the second image: of its last two locations, and of the
    scores of its second and third boxes."""
    corners = [
        [0.1, 0.1, 0.5, 0.5], [0.2, 0.1, 0.6, 0.5], [0.4, 0.4, 0.9, 0.8],
        [0.5, 0.5, 0.8, 0.95], [0, 0.6, 0.4, 1], [0.6, 0.05, 0.95, 0.4],
    ]  # fmt: skip
    priors = np.array([np.ravel(corners), np.tile([0.1, 0.1, 0.2, 0.2], 6)], np.float32)[None]
    true = [
        [0, 1, 0, 0.12, 0.1, 0.5, 0.55, 0], [0, 2, 0, 0.45, 0.4, 0.85, 0.85, 0],
        [1, 1, 0, 0.05, 0.55, 0.4, 0.95, 1], [1, 2, 0, 0.55, 0.1, 0.9, 0.4, 0],
    ]  # fmt: skip
    loc = torch.from_numpy(np.sin(np.arange(48) * 1.7).astype(np.float32).reshape(2, 24) / 2).requires_grad_()
    conf = torch.from_numpy(np.sin(np.arange(36) * 2.3).astype(np.float32).reshape(2, 18) * 2).requires_grad_()
    bottoms = [loc, conf, torch.from_numpy(priors), torch.tensor([[true]], dtype=torch.float32)]
    lead = 'name: "m" type: "MultiBoxLoss" bottom: "l" bottom: "c" bottom: "p" bottom: "t" top: "y"'
    layer, _ = build(
        f"{lead} multibox_loss_param {{ num_classes: 3 {param} }}", *(tuple(bottom.shape) for bottom in bottoms)
    )
    (found,) = layer.forward(run_at(), bottoms, [])
    found.backward()
    np.testing.assert_allclose(float(found.detach()), loss, rtol=1e-5)
    np.testing.assert_allclose(loc.grad[1, 16:], by_loc, rtol=1e-5, atol=1e-6)  # type: ignore[index]
    np.testing.assert_allclose(conf.grad[1, 3:9], by_conf, rtol=1e-5, atol=1e-6)  # type: ignore[index]
