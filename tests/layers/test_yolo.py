"""The layers of YOLO nets against plain loops over numbers, written after the sources: `reorg_layer.hpp`,
`region_loss_layer.cpp`, `yolov3_layer.cpp`, `yolo_detection_output_layer.cpp`, `yolov3_detection_output_layer.cpp` of
eric612/MobileNet-YOLO, `region_loss_layer.cpp` and `eval_detection_layer.cpp` of intel/caffe; in float64.

An array is one list there, as in memory, and a box is a list of centre and size.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from caffelite import ops
from caffelite.errors import LayerError
from caffelite.layerkit import Layer
from caffelite.proto import Yolov3Parameter

from .alone import build, run_at

Box = list[float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def iou(a: Box, b: Box) -> float:
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    shared = 0 if w < 0 or h < 0 else w * h
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def softmaxed(values: list[float]) -> list[float]:
    e = [math.exp(value - max(values)) for value in values]
    return [one / sum(e) for one in e]


def rows_of_labels(images: list[list[Box]]) -> np.ndarray:
    """Boxes (class, x, y, w, h) of each image as N×1×300×5."""
    labels = np.zeros((len(images), 1, 300, 5))
    for image, boxes in enumerate(images):
        for row, box in enumerate(boxes):
            labels[image, 0, row] = box
    return labels


def annotations(images: list[list[Box]]) -> np.ndarray:
    """The same as 1×1×M×8, between rows of no image."""
    rows = [[-1.0] * 8]
    for image, boxes in enumerate(images):
        for kind, x, y, w, h in boxes:
            rows.append([image, kind + 1, 0, x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0])
    return np.array([*rows, [-1.0] * 8]).reshape(1, 1, -1, 8)


def ran(layer: Layer, x: np.ndarray, *others: np.ndarray) -> tuple[float, np.ndarray]:
    """A loss, and its gradient times 3 where that is what comes back."""
    bottom = torch.from_numpy(x).requires_grad_()
    (loss,) = layer.forward(run_at(), [bottom, *map(torch.from_numpy, others)], [])
    (3 * loss).backward()
    assert bottom.grad is not None
    return loss.item(), bottom.grad.numpy()


# -- reorg ------------------------------------------------------------------------------------------------------------


def reorg(
    x: list[float], count: int, channels: int, height: int, width: int, stride: int, forward: bool
) -> list[float]:
    out = [0.0] * len(x)
    planes = channels // stride**2
    for n in range(count):
        for c in range(channels):
            for h in range(height):
                for w in range(width):
                    small = w + width * (h + height * (c + channels * n))
                    quarter = c // planes
                    to_w, to_h = w * stride + quarter % stride, h * stride + quarter // stride
                    large = to_w + width * stride * (to_h + height * stride * (c % planes + planes * n))
                    if forward:
                        out[large] = x[small]
                    else:
                        out[small] = x[large]
    return out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "stride"), [((2, 8, 4, 6), 2), ((1, 18, 3, 6), 3), ((1, 4, 2, 2), 2), ((1, 2, 2, 2), 1)]
)
def test_reorg(shape: tuple[int, ...], stride: int, reverse: bool) -> None:
    settings = f"reorg_param {{ stride: {stride} reverse: {str(reverse).lower()} }}"
    layer, (top,) = build(f'type: "Reorg" bottom: "x" top: "y" {settings}', shape)
    count, channels, height, width = shape
    want = (count, channels * stride**2, height // stride, width // stride)
    assert top == ((count, channels // stride**2, height * stride, width * stride) if reverse else want)
    x = torch.arange(float(np.prod(shape))).reshape(shape).requires_grad_()
    (y,) = layer.forward(run_at(), [x], [])
    assert tuple(y.shape) == top
    assert y.flatten().tolist() == reorg(x.flatten().tolist(), *shape, stride, reverse)
    dy = torch.randn(top)
    y.backward(dy)
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx(reorg(dy.flatten().tolist(), *shape, stride, not reverse))


def test_reorg_faults() -> None:
    for settings, shape, told in (
        ("", (1, 4, 2, 2), "stride is missing, or 0"),
        ("reorg_param { stride: 2 }", (1, 6, 2, 2), r"channels must be a multiple of stride² \(4\), got 6"),
        ("reorg_param { stride: 2 }", (1, 4, 3, 2), r"height and width must be multiples of stride \(2\)"),
    ):
        with pytest.raises(LayerError, match=told):
            build(f'type: "Reorg" bottom: "x" top: "y" {settings}', shape)


# -- the loss of the second version -----------------------------------------------------------------------------------

ANCHORS = [1.0, 1.5, 2.5, 2.0, 0.75, 0.625]
IMAGES = [
    [[1, 0.3, 0.4, 0.3, 0.35], [0, 0.62, 0.55, 0.6, 0.5], [2, 0.31, 0.41, 0.2, 0.2]],
    [[2, 0.9, 0.1, 0.15, 0.12]],
    [],
]


class Region:
    """RegionLoss by loops.  `intel`: as intel/caffe does it."""

    def __init__(self, x: np.ndarray, images: list[list[Box]], intel: bool, **settings: float) -> None:
        self.classes, self.num, self.images, self.intel = 3, 3, images, intel
        self.side, self.length = x.shape[-1], 5 + self.classes
        self.raw, self.shape = x.flatten().tolist(), x.shape
        self.delta = [0.0] * len(self.raw)
        self.set = dict(object_scale=5, noobject_scale=1, class_scale=2, coord_scale=1.5, thresh=0.3) | settings
        for b in range(len(images)):
            self.nothing(b)
            self.something(b)

    def at(self, b: int, n: int, c: int, j: int, i: int) -> int:
        return (((b * self.num + n) * self.length + c) * self.side + j) * self.side + i

    def box(self, b: int, n: int, j: int, i: int) -> Box:
        x, y, w, h = (self.raw[self.at(b, n, c, j, i)] for c in range(4))
        sizes = math.exp(w) * ANCHORS[2 * n] / self.side, math.exp(h) * ANCHORS[2 * n + 1] / self.side
        return [(i + sigmoid(x)) / self.side, (j + sigmoid(y)) / self.side, *sizes]

    def nothing(self, b: int) -> None:
        for j in range(self.side):
            for i in range(self.side):
                for n in range(self.num):
                    best = max((iou(self.box(b, n, j, i), truth[1:]) for truth in self.images[b]), default=0)
                    at = self.at(b, n, 4, j, i)
                    o = sigmoid(self.raw[at])
                    self.delta[at] = 0.0 if best > self.set["thresh"] else self.set["noobject_scale"] * o * o * (1 - o)

    def something(self, b: int) -> None:
        for kind, *truth in self.images[b]:
            i, j = int(truth[0] * self.side), int(truth[1] * self.side)
            best, best_n = 0.0, 0
            for n in range(self.num):
                size = [ANCHORS[2 * n] / self.side, ANCHORS[2 * n + 1] / self.side]
                if not self.set.get("bias_match", 1):
                    size = self.box(b, n, j, i)[2:]
                fit = iou([0, 0, *size], [0, 0, *truth[2:]])
                if fit > best:
                    best, best_n = fit, n
            self.answer(b, best_n, j, i, int(kind), truth)

    def answer(self, b: int, n: int, j: int, i: int, kind: int, truth: Box) -> None:
        rescore, scale = self.set.get("rescore", 1), self.set["coord_scale"]
        if not rescore and not self.intel:
            scale *= 2 - truth[2] * truth[3]
        targets = [truth[0] * self.side - i, truth[1] * self.side - j]
        targets += [math.log(truth[2 + k] * self.side / ANCHORS[2 * n + k]) for k in range(2)]
        for c, target in enumerate(targets):
            at = self.at(b, n, c, j, i)
            value = sigmoid(self.raw[at]) if c < 2 else self.raw[at]
            off = target - value
            if self.intel:
                off = max(-1, min(1, off))
            self.delta[at] = -scale * off * (value * (1 - value) if c < 2 else 1)
        at = self.at(b, n, 4, j, i)
        o = sigmoid(self.raw[at])
        missing = iou(self.box(b, n, j, i), truth) - o if rescore else 1 - o
        if self.intel:
            missing = 2 * (1 - o) ** 3
        self.delta[at] = -self.set["object_scale"] * missing * o * (1 - o)
        places = [self.at(b, n, 5 + c, j, i) for c in range(self.classes)]
        for c, (place, p) in enumerate(zip(places, softmaxed([self.raw[at] for at in places]), strict=True)):
            self.delta[place] = -self.set["class_scale"] * ((c == kind) - p)


REGION = (
    "region_loss_param {{ side: 5 num: 3 num_class: 3 object_scale: 5 noobject_scale: 1 class_scale: 2 "
    "coord_scale: 1.5 thresh: 0.3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] {} }}"
)
SECOND_LOSS = 'name: "l" type: "RegionLoss" bottom: "x" bottom: "l" top: "y"'


@pytest.mark.parametrize("more", [{}, {"rescore": 0}, {"bias_match": 0}, {"thresh": 0.05}])
@pytest.mark.parametrize("intel", [False, True], ids=["eric612", "intel"])
def test_region_loss(intel: bool, more: dict[str, float]) -> None:
    settings = REGION.replace("thresh: 0.3", "") if "thresh" in more else REGION
    settings = settings.format(" ".join(f"{name}: {value}" for name, value in more.items()))
    labels = annotations(IMAGES) if intel else rows_of_labels(IMAGES)
    x = 1.5 * np.random.default_rng(2).standard_normal((3, 24, 5, 5))
    layer, tops = build(f"{SECOND_LOSS} {settings}", x.shape, labels.shape)
    assert tops == [()]
    loss, gradient = ran(layer, x, labels)
    want = Region(x, IMAGES, intel, **more)
    squares = sum(one * one for one in want.delta)
    assert loss == pytest.approx(squares / (1 if intel else 3), rel=1e-10)
    np.testing.assert_allclose(gradient.flatten(), 3 * np.array(want.delta) / 3, rtol=1e-8, atol=1e-12)


def test_region_loss_with_a_class_map(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("2\n0\n1\n")
    x = np.random.default_rng(2).standard_normal((3, 24, 5, 5))
    labels = annotations(IMAGES)
    named = REGION.format(f'class_map: "{tmp_path}/map.txt"')
    mapped, _ = build(f"{SECOND_LOSS} {named}", x.shape, labels.shape)
    plain, _ = build(f"{SECOND_LOSS} {REGION.format('')}", x.shape, labels.shape)
    moved = [[[[2, 0, 1][int(box[0])], *box[1:]] for box in boxes] for boxes in IMAGES]
    assert ran(mapped, x, labels)[0] == pytest.approx(ran(plain, x, annotations(moved))[0], rel=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        "region_loss_param { num: 3 num_class: 3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] softmax: 0 }",
        "region_loss_param { num: 3 num_class: 3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] jitter: 0.9 }",
        "region_loss_param { num: 3 num_class: 3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] absolute: 0 }",
        "region_loss_param { num: 3 num_class: 3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] random: 0 }",
        "region_loss_param { num: 3 num_class: 3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] coords: 4 side: 99 }",
    ],
)
def test_what_only_stands_in_files_of_the_second_version(settings: str) -> None:
    """No loss of either source reads these; the side is for intel's labels."""
    plain = "region_loss_param { num: 3 num_class: 3 biases: [1, 1.5, 2.5, 2, 0.75, 0.625] }"
    x, labels = np.random.default_rng(2).standard_normal((3, 24, 5, 5)), rows_of_labels(IMAGES)
    loss, gradient = ran(build(f"{SECOND_LOSS} {settings}", x.shape, labels.shape)[0], x, labels)
    want, slope = ran(build(f"{SECOND_LOSS} {plain}", x.shape, labels.shape)[0], x, labels)
    assert loss == want > 0
    np.testing.assert_array_equal(gradient, slope)


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ([3, 0.5, 0.5, 0.1, 0.1], "image 1 of the batch: the class of a box must be from 0 to 2, got 3"),
        ([0, 1.5, 0.5, 0.1, 0.1], "the centre of a box must be in the image, and its size positive, got x 1.5"),
        ([0, 0.5, 0.5, 0.1, -0.1], "its size positive, got x 0.5, y 0.5, w 0.1, h -0.1"),
    ],
)
def test_labels_that_cannot_be(box: Box, told: str) -> None:
    labels = rows_of_labels([[], [box]])
    for kind, settings in (("RegionLoss", REGION.format("")), ("Yolov3", THIRD.format(""))):
        layer, _ = build(f'type: "{kind}" bottom: "x" bottom: "l" top: "y" {settings}', (2, 24, 5, 5), labels.shape)
        with pytest.raises(LayerError) as raised:
            ran(layer, np.zeros((2, 24, 5, 5)), labels)
        assert told in str(raised.value)


# -- the loss of the third version ------------------------------------------------------------------------------------

SIZES = [12.0, 16.0, 30.0, 40.0, 60.0, 45.0, 90.0, 70.0]
MASK = [1, 2, 0]
SCALE = 20
THIRD = (
    "yolov3_param {{ num: 3 num_class: 3 thresh: 0.4 object_scale: 5 class_scale: 2 coord_scale: 1.5 anchors_scale: 20 "
    "biases: [12, 16, 30, 40, 60, 45, 90, 70] mask: [1, 2, 0] {} }}"
)


def around(a: Box, b: Box) -> tuple[float, float]:
    edges = [[box[k] + sign * box[2 + k] / 2 for box in (a, b)] for k in range(2) for sign in (-1, 1)]
    return max(edges[1]) - min(edges[0]), max(edges[3]) - min(edges[2])


def fit(a: Box, b: Box, kind: str) -> float:
    plain, (w, h) = iou(a, b), around(a, b)
    if kind == "GIOU":
        shared = plain * (a[2] * a[3] + b[2] * b[3]) / (1 + plain)
        union = a[2] * a[3] + b[2] * b[3] - shared
        return plain - (w * h - union) / (w * h)
    far = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / (w * w + h * h)
    if kind == "DIOU":
        return plain - far**0.6
    if kind == "CIOU":
        bend = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
        return plain - far - bend / (1 - plain + bend + 1e-6) * bend
    return plain


def slopes(pred: Box, truth: Box, kind: str) -> list[float]:
    """dx_box_iou of the source, name by name."""
    pt, pb, pl, pr = pred[1] - pred[3] / 2, pred[1] + pred[3] / 2, pred[0] - pred[2] / 2, pred[0] + pred[2] / 2
    tt, tb = truth[1] - truth[3] / 2, truth[1] + truth[3] / 2
    tl, tr = truth[0] - truth[2] / 2, truth[0] + truth[2] / 2
    area, area_hat = (pb - pt) * (pr - pl), (tb - tt) * (tr - tl)
    ih, iw = min(pb, tb) - max(pt, tt), min(pr, tr) - max(pl, tl)
    inter = iw * ih
    union = area + area_hat - inter
    s = (pred[0] - truth[0]) ** 2 + (pred[1] - truth[1]) ** 2
    gw, gh = max(pr, tr) - min(pl, tl), max(pb, tb) - min(pt, tt)
    g = gw * gh
    dx_t, dx_b, dx_l, dx_r = -(pr - pl), pr - pl, -(pb - pt), pb - pt
    di_t = -iw if pt > tt else 0
    di_b = iw if pb < tb else 0
    di_l = -ih if pl > tl else 0
    di_r = ih if pr < tr else 0
    du_t, du_b, du_l, du_r = dx_t - di_t, dx_b - di_b, dx_l - di_l, dx_r - di_r
    dc_t = -gw if pt < tt else 0
    dc_b = gw if pb > tb else 0
    dc_l = -gh if pl < tl else 0
    dc_r = gh if pr > tr else 0
    p_t = p_b = p_l = p_r = 0.0
    if union > 0:
        p_t = (union * di_t - inter * du_t) / union**2
        p_b = (union * di_b - inter * du_b) / union**2
        p_l = (union * di_l - inter * du_l) / union**2
        p_r = (union * di_r - inter * du_r) / union**2
    if kind == "GIOU":
        q_t, q_b = (g * du_t - union * dc_t) / g**2, (g * du_b - union * dc_b) / g**2
        q_l, q_r = (g * du_l - union * dc_l) / g**2, (g * du_r - union * dc_r) / g**2
        p_t, p_b, p_l, p_r = p_t + q_t, p_b + q_b, p_l + q_l, p_r + q_r
        if iw <= 0 or ih <= 0:
            p_t, p_b, p_l, p_r = q_t, q_b, q_l, q_r
    p_x, p_y, p_w, p_h = p_l + p_r, p_t + p_b, p_r - p_l, p_b - p_t
    if kind in ("DIOU", "CIOU"):
        c = gw * gw + gh * gh
        dcw_x, dch_y = (1 if pr > tr else 0) - (1 if pl < tl else 0), (1 if pb > tb else 0) - (1 if pt < tt else 0)
        dcw_w = (0.5 if pr > tr else 0) - (-0.5 if pl < tl else 0)
        dch_h = (0.5 if pb > tb else 0) - (-0.5 if pt < tt else 0)
        extra = [
            (2 * (truth[0] - pred[0]) * c - 2 * gw * dcw_x * s) / c**2,
            (2 * (truth[1] - pred[1]) * c - 2 * gh * dch_y * s) / c**2,
            2 * gw * dcw_w * s / c**2,
            2 * gh * dch_h * s / c**2,
        ]
        if kind == "CIOU":
            ar_gt, ar_pred = truth[2] / truth[3], pred[2] / pred[3]
            ar_loss = 4 / math.pi**2 * (math.atan(ar_gt) - math.atan(ar_pred)) ** 2
            alpha = ar_loss / (1 - inter / union + ar_loss + 0.000001)
            extra[2] += alpha * 8 / math.pi**2 * (math.atan(ar_gt) - math.atan(ar_pred)) * pred[3]
            extra[3] += alpha * -8 / math.pi**2 * (math.atan(ar_gt) - math.atan(ar_pred)) * pred[2]
        if iw <= 0 or ih <= 0:
            p_x = p_y = p_w = p_h = 0.0
        p_x, p_y, p_w, p_h = p_x + extra[0], p_y + extra[1], p_w + extra[2], p_h + extra[3]
    return [p_x, p_y, p_w, p_h]


class Third:
    """Yolov3 by loops."""

    def __init__(self, x: np.ndarray, images: list[list[Box]], **settings: object) -> None:
        self.height, self.width = x.shape[2:]
        self.set = dict(
            iou_loss="MSE", iou_normalizer=0.25, iou_thresh=0.5, max_delta=10, accumulate=True,
            label_smooth_eps=0.1, use_focal_loss=False, use_logic_gradient=False, thresh=0.4,
        ) | settings  # fmt: skip
        self.raw, self.images = x.flatten().tolist(), images
        plane = self.height * self.width
        self.swap = [v if at // plane % 8 in (2, 3) else sigmoid(v) for at, v in enumerate(self.raw)]
        self.delta = [0.0] * len(self.raw)
        self.lost, self.count = 0.0, 0
        for b in range(len(images)):
            self.nothing(b)
            for kind, *truth in images[b]:
                self.something(b, int(kind), truth)

    def at(self, b: int, n: int, c: int, j: int, i: int) -> int:
        return (((b * 3 + n) * 8 + c) * self.height + j) * self.width + i

    def box(self, b: int, n: int, j: int, i: int) -> Box:
        x, y, w, h = (self.swap[self.at(b, n, c, j, i)] for c in range(4))
        bias = 2 * MASK[n]
        w = math.exp(w) * SIZES[bias] / (self.width * SCALE)
        h = math.exp(h) * SIZES[bias + 1] / (self.height * SCALE)
        return [(i + x) / self.width, (j + y) / self.height, w, h]

    def nothing(self, b: int) -> None:
        for j in range(self.height):
            for i in range(self.width):
                for n in range(3):
                    best = 0.0
                    for truth in self.images[b]:
                        best = max(best, fit(self.box(b, n, j, i), truth[1:], self.set["iou_loss"]))
                    at = self.at(b, n, 4, j, i)
                    self.delta[at] = 0.0 if best > self.set["thresh"] else self.swap[at]

    def something(self, b: int, kind: int, truth: Box) -> None:
        i, j = int(truth[0] * self.width), int(truth[1] * self.height)
        best, best_n = 0.0, -1
        fits = []
        for n in range(len(SIZES) // 2):
            size = [SIZES[2 * n] / (self.width * SCALE), SIZES[2 * n + 1] / (self.height * SCALE)]
            fits.append(fit([0, 0, *size], [0, 0, *truth[2:]], self.set["iou_loss"]))
            if fits[-1] > best:
                best, best_n = fits[-1], n
        if best_n in MASK:
            best_n = MASK.index(best_n)
            self.answer(b, best_n, j, i, kind, truth)
        for n in range(len(SIZES) // 2):
            if n in MASK and n != best_n and self.set["iou_thresh"] < 1 and fits[n] > self.set["iou_thresh"]:
                self.answer(b, MASK.index(n), j, i, kind, truth)

    def answer(self, b: int, n: int, j: int, i: int, kind: int, truth: Box) -> None:
        places, pred = [self.at(b, n, c, j, i) for c in range(8)], self.box(b, n, j, i)
        loss = self.set["iou_loss"]
        if loss == "MSE":
            scale = 1.5 * (2 - truth[2] * truth[3])
            targets = [truth[0] * self.width - i, truth[1] * self.height - j]
            targets.append(math.log(truth[2] * self.width * SCALE / SIZES[2 * MASK[n]]))
            targets.append(math.log(truth[3] * self.height * SCALE / SIZES[2 * MASK[n] + 1]))
            for c, target in enumerate(targets):
                self.delta[places[c]] = -scale * (target - self.swap[places[c]])
        else:
            change = slopes(pred, truth, loss)
            for c in range(4):
                value = change[c] * (math.exp(self.swap[places[c]]) if c > 1 else 1) * self.set["iou_normalizer"]
                value = max(-self.set["max_delta"], min(self.set["max_delta"], value))
                self.delta[places[c]] = (self.delta[places[c]] if self.set["accumulate"] else 0) - value
            self.lost += 1 - fit(pred, truth, loss if loss in ("GIOU", "CIOU") else "DIOU")
        self.count += 1
        weight = 5 if self.set["use_logic_gradient"] else 1
        self.delta[places[4]] = -(1 - self.swap[places[4]]) * weight
        eps, p = self.set["label_smooth_eps"], [self.swap[at] for at in places[5:]]
        if self.delta[places[5 + kind]]:
            self.delta[places[5 + kind]] = -2 * (1 - eps + 0.5 * eps - p[kind])
            return
        for c in range(3):
            if self.set["use_focal_loss"]:
                pt = p[kind] + 1e-15
                grad = -(1 - pt) * (2 * pt * math.log(pt) + pt - 1)
                self.delta[places[5 + c]] = -2 * ((c == kind) - p[c]) * 0.5 * grad
            else:
                self.delta[places[5 + c]] = -2 * ((c == kind) * (1 - eps) + 0.5 * eps - p[c])

    def result(self) -> tuple[float, np.ndarray]:
        plane, mse = self.height * self.width, self.set["iou_loss"] == "MSE"
        loss = sum(d * d for at, d in enumerate(self.delta) if mse or at // plane % 8 > 3)
        if not mse and self.count:
            loss += self.set["iou_normalizer"] * self.lost / self.count
        gradient = list(self.delta)
        if self.set["use_logic_gradient"]:
            for at in range(len(gradient)):
                c = at // plane % 8
                value = self.raw[at] if c < 4 and not mse else self.swap[at]
                gradient[at] *= 1 if c in (2, 3) else (1 - value) * value
        return loss / len(self.images), np.array(gradient) / len(self.images)


THIRD_IMAGES = [
    [[1, 0.3, 0.4, 0.3, 0.35], [0, 0.62, 0.55, 0.6, 0.5], [2, 0.31, 0.41, 0.28, 0.4], [1, 0.32, 0.42, 0.3, 0.35]],
    [[2, 0.9, 0.1, 0.15, 0.22], [0, 0.05, 0.95, 0.9, 0.9]],
    [],
]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"iou_thresh": 1.0},
        {"iou_thresh": 0.2},
        {"use_logic_gradient": True},
        {"use_focal_loss": True},
        {"label_smooth_eps": 0.0},
        {"iou_loss": "IOU"},
        {"iou_loss": "GIOU", "iou_normalizer": 0.7},
        {"iou_loss": "DIOU", "accumulate": False},
        {"iou_loss": "CIOU", "max_delta": 0.05},
        {"iou_loss": "CIOU", "use_logic_gradient": True, "iou_thresh": 0.3},
    ],
    ids=str,
)
def test_yolov3(more: dict[str, object]) -> None:
    x = 1.2 * np.random.default_rng(4).standard_normal((3, 24, 5, 7))
    labels = rows_of_labels(THIRD_IMAGES)
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in more.items()}
    settings = THIRD.format(" ".join(f"{name}: {value}" for name, value in values.items()))
    layer, tops = build(f'type: "Yolov3" bottom: "x" bottom: "l" top: "y" {settings}', x.shape, labels.shape)
    assert tops == [()]
    loss, gradient = ran(layer, x, labels)
    want = Third(x, THIRD_IMAGES, **more)
    assert want.count >= 4
    total, slope = want.result()
    assert loss == pytest.approx(total, rel=1e-6 if more.get("iou_loss") == "DIOU" else 1e-9)
    np.testing.assert_allclose(gradient.flatten(), 3 * slope, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(
    "settings",
    [
        "yolov3_param { num: 1 num_class: 3 mask: 0 biases: [90, 70] side: 99 }",
        "yolov3_param { num: 1 num_class: 3 mask: 0 biases: [90, 70] noobject_scale: 7 }",
        "yolov3_param { num: 1 num_class: 3 mask: 0 biases: [90, 70] object_scale: 7 }",
    ],
)
def test_what_only_stands_in_files_of_the_third_version(settings: str) -> None:
    """The source reads object_scale with use_logic_gradient alone, and the others never."""
    plain, layer = "yolov3_param { num: 1 num_class: 3 mask: 0 biases: [90, 70] }", 'type: "Yolov3" top: "y"'
    x, labels = np.random.default_rng(4).standard_normal((3, 8, 5, 7)), rows_of_labels(THIRD_IMAGES)
    shapes = x.shape, labels.shape
    loss, gradient = ran(build(f'{layer} bottom: "x" bottom: "l" {settings}', *shapes)[0], x, labels)
    want, slope = ran(build(f'{layer} bottom: "x" bottom: "l" {plain}', *shapes)[0], x, labels)
    assert loss == want > 0
    np.testing.assert_array_equal(gradient, slope)


def test_the_numbers_of_overlaps_are_the_schemas() -> None:
    names = Yolov3Parameter.DESCRIPTOR.enum_types_by_name["IOU_LOSS"].values_by_name
    assert {name: value.number for name, value in names.items()} == {
        name: getattr(ops.yolo, name) for name in ("IOU", "GIOU", "MSE", "DIOU", "CIOU")
    }


def test_boxes_that_do_not_meet_still_pull() -> None:
    a, b = [0.2, 0.2, 0.1, 0.1], [0.7, 0.6, 0.2, 0.3]
    for kind in ("IOU", "GIOU", "DIOU", "CIOU"):
        number = getattr(ops.yolo, kind)
        found = ops.yolo.overlap_gradient(*torch.tensor([a, b], dtype=torch.double), number)
        assert found.tolist() == pytest.approx(slopes(a, b, kind), rel=1e-9)


# -- detections -------------------------------------------------------------------------------------------------------


def thinned(found: list[tuple[float, int, Box]], threshold: float) -> list[list[float]]:
    """Rows of the source's top: by falling confidence, without those that overlap a better one that is left."""
    found = sorted(found, key=lambda one: -one[0])
    gone: set[int] = set()
    for i in range(len(found)):
        if i not in gone:
            gone |= {j for j in range(i + 1, len(found)) if iou(found[i][2], found[j][2]) >= threshold}
    rows = []
    for i, (score, label, (x, y, w, h)) in enumerate(found):
        if i not in gone:
            rows.append([0, label + 1, score, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return rows


def test_detections_of_the_second_version() -> None:
    rng = np.random.default_rng(5)
    bottoms = [rng.standard_normal((2, 16, 4, 4)), rng.standard_normal((2, 16, 2, 2))]
    settings = """yolo_detection_output_param {
      num_classes: 3 num_box: 2 confidence_threshold: 0.25 nms_threshold: 0.3 biases: [1, 1.5, 2.5, 2]
      side: 99 coords: 4 label_map_file: "nowhere"
    }"""
    text = f'type: "YoloDetectionOutput" bottom: "a" bottom: "b" top: "y" {settings}'
    layer, tops = build(text, *(x.shape for x in bottoms))
    assert tops == [(1, 1, 2 * (16 + 4) * 2, 7)]
    assert [fault.message for fault in layer.warnings()] == [
        "label_map_file has no effect: it would only name classes in messages"
    ]
    found = []
    for x in bottoms:
        side = x.shape[-1]
        for b in range(2):
            for j in range(side):
                for i in range(side):
                    for n in range(2):
                        v = x[b, 8 * n : 8 * n + 8, j, i].tolist()
                        chances = softmaxed(v[5:])
                        score = sigmoid(v[4]) * max(chances)
                        size = [math.exp(v[2 + k]) * ANCHORS[2 * n + k] / side for k in range(2)]
                        if score >= 0.25:
                            place = [(i + sigmoid(v[0])) / side, (j + sigmoid(v[1])) / side]
                            found.append((score, chances.index(max(chances)), [*place, *size]))
    (y,) = layer.forward(run_at(), [torch.from_numpy(x) for x in bottoms], [])
    want = thinned(found, 0.3)
    assert 3 < len(want) < len(found)
    np.testing.assert_allclose(y[0, 0], want, rtol=1e-9)


def test_detections_of_the_third_version() -> None:
    rng = np.random.default_rng(6)
    bottoms = [rng.standard_normal((1, 16, 3, 4)), rng.standard_normal((1, 16, 6, 8))]
    scales, mask = [32, 16], [2, 3, 0, 1]
    settings = """yolov3_detection_output_param {
      num_classes: 3 num_box: 2 confidence_threshold: 0.4 nms_threshold: 0.3 mask_group_num: 2
      biases: [12, 16, 30, 40, 60, 45, 90, 70] mask: [2, 3, 0, 1] anchors_scale: [32, 16]
    }"""
    named = 'type: "Yolov3DetectionOutput" bottom: "a" bottom: "b" top: "y"'
    layer, tops = build(f"{named} {settings}", *(x.shape for x in bottoms))
    assert tops == [(1, 1, (12 + 48) * 2 * 3, 7)]
    found = []
    for t, x in enumerate(bottoms):
        height, width = x.shape[2:]
        for j in range(height):
            for i in range(width):
                for n in range(2):
                    v = x[0, 8 * n : 8 * n + 8, j, i].tolist()
                    bias = 2 * mask[2 * t + n]
                    w = math.exp(v[2]) * SIZES[bias] / (width * scales[t])
                    h = math.exp(v[3]) * SIZES[bias + 1] / (height * scales[t])
                    for c in range(3):
                        score = sigmoid(v[5 + c]) * sigmoid(v[4])
                        if score > 0.4:
                            found.append((score, c, [(i + sigmoid(v[0])) / width, (j + sigmoid(v[1])) / height, w, h]))
    (y,) = layer.forward(run_at(), [torch.from_numpy(x) for x in bottoms], [])
    want = thinned(found, 0.3)
    assert 3 < len(want) < len(found)
    np.testing.assert_allclose(y[0, 0], want, rtol=1e-9)


def test_where_nothing_is_found_there_is_a_row_for_each_image() -> None:
    biases = " ".join(f"biases: {one}" for one in ANCHORS[:4])
    settings = f"num_classes: 3 num_box: 2 confidence_threshold: 0.99 {biases}"
    text = f'type: "YoloDetectionOutput" bottom: "a" top: "y" yolo_detection_output_param {{ {settings} }}'
    layer, _ = build(text, (2, 16, 4, 4))
    (y,) = layer.forward(run_at(), [torch.zeros(2, 16, 4, 4)], [])
    assert y.tolist() == [[[[0, *[-1] * 6], [1, *[-1] * 6]]]]


@pytest.mark.parametrize("kind", ["OBJ", "PROB", "MULTIPLY"])
def test_judged_detections(kind: str) -> None:
    x = 1.5 * np.random.default_rng(8).standard_normal((2, 24, 4, 4))
    x[:, 2::8] -= 0.7
    images = [[[1, 0.3, 0.4, 0.3, 0.35], [1, 0.62, 0.55, 0.3, 0.3], [0, 0.2, 0.8, 0.2, 0.3]], [[2, 0.5, 0.5, 0.4, 0.4]]]
    biases = " ".join(f"biases: {one}" for one in ANCHORS)
    settings = f"side: 4 num_class: 3 num_object: 3 threshold: 0.2 nms: 0.5 score_type: {kind} {biases}"
    labels = annotations(images)
    text = f'type: "EvalDetection" bottom: "x" bottom: "l" bottom: "d" top: "y" eval_detection_param {{ {settings} }}'
    layer, tops = build(text, x.shape, labels.shape, (2, 3, 8, 8))
    assert tops == [(2, 3 + 16 * 3 * 4)]
    want, marks = np.zeros(tops[0]), set()
    for b, truths in enumerate(images):
        for truth in truths:
            want[b, int(truth[0])] += 1
        boxes = []
        for j in range(4):
            for i in range(4):
                for n in range(3):
                    v = x[b, 8 * n : 8 * n + 8, j, i].tolist()
                    chances = softmaxed(v[5:])
                    score = {"OBJ": sigmoid(v[4]), "PROB": max(chances)}.get(kind, sigmoid(v[4]) * max(chances))
                    size = [math.exp(v[2 + k]) * ANCHORS[2 * n + k] / 4 for k in range(2)]
                    place = [(i + sigmoid(v[0])) / 4, (j + sigmoid(v[1])) / 4]
                    boxes.append((score, chances.index(max(chances)), [*place, *size]))
        boxes.sort(key=lambda one: -one[0])
        kept: list[tuple[float, int, Box]] = []
        for one in boxes:
            if all(iou(one[2], better[2]) < 0.5 for better in kept):
                kept.append(one)
        at = 3
        for label in range(3):
            own, taken = [truth[1:] for truth in truths if truth[0] == label], set()
            for score, found, box in kept:
                if found != label or score < 0.005:
                    continue
                row = [label, score, 0, 0 if own else 1]
                overlaps = [iou(box, truth) for truth in own]
                if own and max(overlaps) >= 0.2:
                    best = overlaps.index(max(overlaps))
                    row[2 + (best in taken)] = 1
                    taken.add(best)
                marks.add((row[2], row[3]))
                want[b, at : at + 4] = row
                at += 4
    (y,) = layer.forward(run_at(), [torch.from_numpy(x), torch.from_numpy(labels), torch.zeros(2, 3, 8, 8)], [])
    np.testing.assert_allclose(y, want, rtol=1e-9)
    assert marks == {(1, 0), (0, 1), (0, 0)}


def test_without_thinning_nothing_is_judged() -> None:
    param = "eval_detection_param { side: 4 num_class: 3 num_object: 1 biases: 1 biases: 1.5 }"
    labels = annotations([[[1, 0.3, 0.4, 0.3, 0.35]]])
    layer, tops = build(f'type: "EvalDetection" bottom: "x" bottom: "l" top: "y" {param}', (1, 8, 4, 4), labels.shape)
    assert tops == [(1, 3 + 16 * 4)]
    (y,) = layer.forward(run_at(), [torch.zeros(1, 8, 4, 4), torch.from_numpy(labels)], [])
    assert y.nonzero().tolist() == [[0, 1]]


# -- faults -----------------------------------------------------------------------------------------------------------


ROWS = (2, 1, 300, 5)


@pytest.mark.parametrize(
    ("kind", "settings", "shapes", "told"),
    [
        ("RegionLoss", REGION.format(""), [(2, 20, 5, 5), ROWS], "needs predictions N×24×H×W"),
        ("RegionLoss", REGION.format(""), [(2, 24, 5, 5), (2, 1, 30, 5)], "needs labels 2×1×300×5"),
        (
            "RegionLoss",
            REGION.format(""),
            [(2, 24, 4, 4), (1, 1, 3, 8)],
            "side is 5, and the bottom has 4 cells across",
        ),
        ("RegionLoss", REGION.format('softmax_tree: "t"'), [(2, 24, 5, 5), ROWS], "classes in a tree are not built"),
        ("RegionLoss", REGION.format("coords: 5"), [(2, 24, 5, 5), ROWS], "coords must be 4: x, y, width, height"),
        ("RegionLoss", "region_loss_param { biases: 1 }", [(2, 125, 5, 5), ROWS], "each of 5 boxes: 10 biases, got 1"),
        ("Yolov3", THIRD.format("mask: 9"), [(2, 24, 5, 5), ROWS], "mask must be below 4, got [1, 2, 0, 9]"),
        (
            "Yolov3",
            THIRD.replace("num: 3", "num: 4").format(""),
            [(2, 32, 5, 5), ROWS],
            "needs 4 (num) numbers of boxes",
        ),
        (
            "Yolov3DetectionOutput",
            "yolov3_detection_output_param { gaussian_box: true }",
            [(2, 32, 5, 5)],
            "what the net is sure of are not built",
        ),
        (
            "Yolov3DetectionOutput",
            "yolov3_detection_output_param { num_classes: 3 mask_group_num: 3 }",
            [(2, 32, 5, 5)],
            "mask_group_num must be the number of bottoms, 1, got 3",
        ),
        (
            "YoloDetectionOutput",
            "yolo_detection_output_param { biases: 1 }",
            [(2, 32, 5, 5)],
            "num_classes is missing",
        ),
        (
            "YoloDetectionOutput",
            "yolo_detection_output_param { num_classes: 3 coords: 5 }",
            [(2, 32, 5, 5)],
            "coords must be 4: x, y, width, height",
        ),
    ],
)
def test_faults(kind: str, settings: str, shapes: list[tuple[int, ...]], told: str) -> None:
    bottoms = " ".join(f'bottom: "{name}"' for name in "xl"[: len(shapes)])
    with pytest.raises(LayerError) as raised:
        build(f'name: "l" type: "{kind}" {bottoms} top: "y" {settings}', *shapes)
    assert told in str(raised.value)
