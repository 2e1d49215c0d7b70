"""Boxes of cut, resized and mirrored images: plain scalar loops over `src/caffe/util/bbox_util.cpp`,
`im_transforms.cpp` and TransformAnnotation of `src/caffe/data_transformer.cpp` (weiliu89/caffe, branch ssd)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffelite.data import boxes
from caffelite.data.boxes import Boxes
from caffelite.proto import AnnotatedDatum, EmitConstraint, ResizeParameter, TransformationParameter


def some(count: int = 40, seed: int = 0) -> Boxes:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-0.1, 0.9, (count, 2))
    corners = np.concatenate([low, low + rng.uniform(0.01, 0.6, (count, 2))], axis=1).astype(np.float32)
    return Boxes(corners, rng.integers(0, 3, (count, 3)).astype(np.float32))


def area(box: Any) -> float:
    return 0.0 if box[2] < box[0] or box[3] < box[1] else (box[2] - box[0]) * (box[3] - box[1])


def common(a: Any, b: Any) -> float:
    if b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]:
        return 0.0
    return area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])


def emitted(box: Any, window: Any, emit: Any) -> bool:
    if emit.emit_type == EmitConstraint.CENTER:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return bool(window[0] <= x <= window[2] and window[1] <= y <= window[3])
    shared = common(box, window)
    return bool((shared / area(box) if shared > 0 else 0) > emit.emit_overlap)


def projected(box: Any, window: Any) -> list[float] | None:
    if box[0] >= window[2] or box[2] <= window[0] or box[1] >= window[3] or box[3] <= window[1]:
        return None
    wide, tall = window[2] - window[0], window[3] - window[1]
    moved = [(box[k] - window[k % 2]) / (wide, tall)[k % 2] for k in range(4)]
    clipped = [max(min(value, 1.0), 0.0) for value in moved]
    return clipped if area(clipped) > 0 else None


WINDOWS = [[0, 0, 1, 1], [0.2, 0.1, 0.7, 0.9], [-0.5, -1, 1.5, 2]]
EMITS = ["", "emit_constraint { emit_type: CENTER }", "emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 0.4 }"]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("emit", EMITS)
def test_what_is_seen_in_a_window(window: list[float], emit: str) -> None:
    objects, where = some(), np.array(window, np.float32)
    param = text_format.Parse(emit, TransformationParameter()).emit_constraint if emit else None
    wanted = []
    for corners, labels in zip(objects.corners, objects.labels, strict=True):
        if param is not None and not emitted(corners, where, param):
            continue
        box = projected(corners, where)
        if box is not None:
            wanted.append([*box, *labels])
    got = objects.seen_in(where, param)
    found = np.concatenate([got.corners, got.labels], axis=1)
    np.testing.assert_allclose(found, np.array(wanted), rtol=1e-5, atol=1e-6)
    assert got.corners.dtype == np.float32


def resized(box: Any, param: Any, height: int, width: int) -> list[float]:
    new_h, new_w, aspect = float(param.height), float(param.width), width / height
    x, y = [box[0] * width, box[2] * width], [box[1] * height, box[3] * height]
    pad_x = pad_y = 0.0
    if param.resize_mode == ResizeParameter.FIT_SMALL_SIZE:
        if aspect < new_w / new_h:
            new_h = new_w / aspect
        else:
            new_w = aspect * new_h
    elif param.resize_mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
        if aspect > new_w / new_h:
            pad_y = (new_h - new_w / aspect) / 2
        else:
            pad_x = (new_w - aspect * new_h) / 2
    x = [value * (new_w - 2 * pad_x) / width for value in x]
    y = [value * (new_h - 2 * pad_y) / height for value in y]
    x = [pad_x + max(0.0, x[0]), pad_x + min(new_w, x[1])]
    y = [pad_y + max(0.0, y[0]), pad_y + min(new_h, y[1])]
    return [x[0] / new_w, y[0] / new_h, x[1] / new_w, y[1] / new_h]


@pytest.mark.parametrize("mode", ["WARP", "FIT_SMALL_SIZE", "FIT_LARGE_SIZE_AND_PAD"])
@pytest.mark.parametrize("image", [(30, 50), (50, 30), (40, 40)])
@pytest.mark.parametrize("size", [(20, 30), (60, 10)])
def test_resizing(mode: str, image: tuple[int, int], size: tuple[int, int]) -> None:
    param = ResizeParameter(height=size[0], width=size[1], resize_mode=ResizeParameter.Resize_mode.Value(mode))
    objects = some()
    wanted = [resized(box, param, *image) for box in objects.corners]
    np.testing.assert_allclose(objects.resized(param, image).corners, wanted, rtol=1e-5, atol=1e-6)


def test_scales_of_fit_small_size() -> None:
    """By hand: 20×40 becomes 30×60; the window is its left half, 30×30, in units of 15 and 10 pixels."""
    text = "resize_param { resize_mode: FIT_SMALL_SIZE height: 30 width: 30 height_scale: 15 width_scale: 10 }"
    (param,) = text_format.Parse(text, TransformationParameter()).resize_param
    one = Boxes(np.array([[0.1, 0.2, 0.5, 0.6]], np.float32), np.zeros((1, 3), np.float32))
    got = one.extrapolated(param, (20, 40), np.array([0, 0, 0.5, 1], np.float32)).corners
    np.testing.assert_allclose(got, [[0.1 * 3, 0.2 * 2, 0.5 * 3, 0.6 * 2]], rtol=1e-6)
    param.ClearField("width_scale")
    assert one.extrapolated(param, (20, 40), boxes.WHOLE) is one


def test_mirrored() -> None:
    one = Boxes(np.array([[0.1, 0.2, 0.5, 0.6]], np.float32), np.ones((1, 3), np.float32)).mirrored()
    np.testing.assert_allclose(one.corners, [[0.5, 0.2, 0.9, 0.6]], rtol=1e-6)


def test_overlaps_and_coverage() -> None:
    a, b = some(20).corners, some(30, seed=1).corners
    shared = np.array([[common(x, y) for y in b] for x in a])
    of_a, of_b = (np.array([area(box) for box in part]) for part in (a, b))
    np.testing.assert_allclose(boxes.overlaps(a, b), shared / (of_a[:, None] + of_b - shared), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(boxes.coverage(a, b), shared / of_a[:, None], rtol=1e-4, atol=1e-6)


def test_rows_of_a_record() -> None:
    record = text_format.Parse(
        """
        annotation_group {
          group_label: 7
          annotation { instance_id: 0 bbox { xmin: 0.1 ymin: 0.2 xmax: 0.3 ymax: 0.4 } }
          annotation { instance_id: 1 bbox { xmin: 0 ymin: 0 xmax: 1 ymax: 0.5 difficult: true } }
        }
        annotation_group { group_label: 2 annotation { bbox { xmax: 1 ymax: 1 } } }
        """,
        AnnotatedDatum(),
    )
    wanted = [[3, 7, 0, 0.1, 0.2, 0.3, 0.4, 0], [3, 7, 1, 0, 0, 1, 0.5, 1], [3, 2, 0, 0, 0, 1, 1, 0]]
    np.testing.assert_array_equal(Boxes.of(record).rows(3), np.array(wanted, np.float32))
    assert Boxes.of(AnnotatedDatum()).rows(0).shape == (0, 8)
