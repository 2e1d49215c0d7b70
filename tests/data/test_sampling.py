"""Windows, canvases and colours of annotated images: what `src/caffe/util/sampler.cpp` and `im_transforms.cpp` of
weiliu89/caffe (branch ssd) promise about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffelite.data import boxes, sampling
from caffelite.data.boxes import Boxes
from caffelite.proto import AnnotatedDataParameter, BatchSampler, DistortionParameter, TransformationParameter

OBJECTS = Boxes(np.array([[0.1, 0.1, 0.5, 0.6], [0.7, 0.5, 0.9, 0.95]], np.float32), np.ones((2, 3), np.float32))
IMAGE = np.random.default_rng(3).integers(0, 256, (3, 40, 60)).astype(np.uint8)


def sampler(text: str) -> Any:
    return text_format.Parse(text, BatchSampler())


def transform(text: str) -> Any:
    return text_format.Parse(text, TransformationParameter())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SCALES = "sampler { min_scale: 0.3 max_scale: 0.9 min_aspect_ratio: 0.5 max_aspect_ratio: 2 } max_trials: 400 "


def test_windows_have_the_scales_and_shapes_asked_for() -> None:
    windows = sampling.windows_of(sampler(SCALES), OBJECTS, rng())
    assert len(windows) == 400
    width, height = windows[:, 2] - windows[:, 0], windows[:, 3] - windows[:, 1]
    assert (windows >= -1e-6).all() and (windows <= 1 + 1e-6).all()
    scale = np.sqrt(width * height)
    assert scale.min() >= 0.3 - 1e-5 and scale.max() <= 0.9 + 1e-5
    # The ratio is cut to scale² … 1/scale², so that no side exceeds 1.
    assert (width / height).min() >= 0.5 - 1e-4 and (width / height).max() <= 2 + 1e-4
    assert scale.std() > 0.1 and windows[:, 0].std() > 0.05


def test_a_sampler_without_settings_takes_the_whole_image() -> None:
    np.testing.assert_array_equal(
        sampling.windows_of(sampler("max_sample: 1 max_trials: 1"), OBJECTS, rng()), [[0, 0, 1, 1]]
    )


LIMITS = [
    ("jaccard_overlap", lambda windows: boxes.overlaps(windows, OBJECTS.corners)),
    ("sample_coverage", lambda windows: boxes.coverage(windows, OBJECTS.corners)),
    ("object_coverage", lambda windows: boxes.coverage(OBJECTS.corners, windows).T),
]


@pytest.mark.parametrize(("kind", "measured"), LIMITS)
def test_constraints(kind: str, measured: Any) -> None:
    text = f"sample_constraint {{ min_{kind}: 0.2 max_{kind}: 0.6 }}"
    windows = sampling.windows_of(sampler(SCALES + text), OBJECTS, rng())
    assert 0 < len(windows) < 400
    values = measured(windows)
    assert (((values >= np.float32(0.2)) & (values <= np.float32(0.6))).any(1)).all()
    free = sampling.windows_of(sampler(SCALES), OBJECTS, rng())
    values = measured(free)
    kept = free[((values >= np.float32(0.2)) & (values <= np.float32(0.6))).any(1)]
    np.testing.assert_array_equal(windows, kept)
    np.testing.assert_array_equal(
        sampling.windows_of(sampler(SCALES + text + " max_sample: 2"), OBJECTS, rng()), kept[:2]
    )


def test_without_boxes_no_constraint_is_met() -> None:
    nothing = Boxes(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32))
    constrained = sampler(SCALES + "sample_constraint { max_jaccard_overlap: 1 }")
    assert not len(sampling.windows_of(constrained, nothing, rng()))


def test_of_several_limits_the_first_counts() -> None:
    both = sampler(SCALES + "sample_constraint { min_jaccard_overlap: 0.3 min_object_coverage: 1 }")
    one = sampler(SCALES + "sample_constraint { min_jaccard_overlap: 0.3 }")
    of_both, of_one = (sampling.windows_of(each, OBJECTS, rng()) for each in (both, one))
    np.testing.assert_array_equal(of_both, of_one)
    assert sampling.limits(both.sample_constraint) == ["jaccard_overlap", "object_coverage"]


def test_an_image_is_cut_where_its_boxes_are() -> None:
    """A window's pixels are the image's there, and a box stays around the same pixels."""
    samplers = [sampler(SCALES + "max_sample: 1 sample_constraint { min_object_coverage: 0.9 }")]
    for seed in range(20):
        image, objects = sampling.sampled(IMAGE, OBJECTS, transform(""), samplers, rng(seed))
        windows = sampling.windows_of(samplers[0], OBJECTS, rng(seed))
        if not len(windows):
            assert image is IMAGE and objects is OBJECTS
            continue
        left, above, right, below = windows[0] * np.array([60, 40, 60, 40], np.float32)
        expected = IMAGE[:, int(above) : int(above) + int(below - above), int(left) : int(left) + int(right - left)]
        np.testing.assert_array_equal(image, expected)
        seen = OBJECTS.seen_in(windows[0], None)
        np.testing.assert_array_equal(objects.corners, seen.corners)


def test_samplers_that_find_nothing_leave_the_image() -> None:
    never = sampler(SCALES + "sample_constraint { min_jaccard_overlap: 1.5 }")
    assert sampling.sampled(IMAGE, OBJECTS, transform(""), [never], rng())[0] is IMAGE


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("batch_sampler { use_original_image: true sampler { max_scale: 0.5 min_scale: 0.5 } }", True),
        ("batch_sampler { use_original_image: false sampler { max_scale: 0.5 min_scale: 0.5 } }", False),
    ],
)
def test_a_sampler_may_be_out_of_use(text: str, used: bool) -> None:
    samplers = text_format.Parse(text, AnnotatedDataParameter()).batch_sampler
    cut = sampling.sampled(IMAGE, OBJECTS, transform(""), samplers, rng())[0]
    assert (cut is IMAGE) != used


def test_a_larger_canvas() -> None:
    param = transform("mean_value: 10.4 mean_value: 20.6 mean_value: 300 expand_param { max_expand_ratio: 3 }")
    for seed in range(10):
        canvas, objects = sampling.expanded(IMAGE, OBJECTS, param, rng(seed))
        tall, wide = canvas.shape[1:]
        assert 40 <= tall <= 120 and 60 <= wide <= 180
        found = [
            (row, column)
            for row in range(tall - 39)
            for column in range(wide - 59)
            if (canvas[:, row : row + 40, column : column + 60] == IMAGE).all()
        ]
        assert found
        row, column = found[0]
        outside = np.ones((tall, wide), bool)
        outside[row : row + 40, column : column + 60] = False
        np.testing.assert_array_equal(canvas[:, outside], np.repeat([[10], [21], [255]], outside.sum(), axis=1))
        pixels = OBJECTS.corners * np.array([60, 40, 60, 40]) + np.array([column, row, column, row])
        np.testing.assert_allclose(objects.corners * np.array([wide, tall, wide, tall]), pixels, atol=1e-3)


def test_a_canvas_by_chance() -> None:
    param = transform("expand_param { prob: 0.3 max_expand_ratio: 3 }")
    grown = sum(sampling.expanded(IMAGE, OBJECTS, param, rng(seed))[0] is not IMAGE for seed in range(400))
    assert 80 < grown < 160


def distorted(text: str, seed: int = 0, image: np.ndarray = IMAGE) -> np.ndarray:
    return sampling.distorted(image, text_format.Parse(text, DistortionParameter()), rng(seed))


def test_brightness_and_contrast() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    shifts = set()
    for seed in range(50):
        got = distorted("brightness_prob: 1 brightness_delta: 32", seed, values)[0].reshape(-1).astype(int)
        shift = got[128] - 128
        np.testing.assert_array_equal(got, (np.arange(256) + shift).clip(0, 255))
        shifts.add(shift)
    assert min(shifts) < -20 and max(shifts) > 20 and abs(min(shifts)) <= 32 >= max(shifts)
    factors = [
        distorted("contrast_prob: 1 contrast_lower: 0.5 contrast_upper: 1.5", s, values)[0, 6, 4] / 100
        for s in range(50)
    ]
    assert 0.49 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.51


def test_saturation_and_hue_leave_gray() -> None:
    gray = np.repeat(np.arange(64, dtype=np.uint8).reshape(1, 8, 8) * 4, 3, axis=0)
    text = "saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 1.5 hue_prob: 1 hue_delta: 18"
    np.testing.assert_array_equal(distorted(text, image=gray), gray)
    coloured = np.zeros((3, 1, 1), np.uint8)
    coloured[2] = 200  # red
    weaker = distorted("saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 0.5", image=coloured)
    np.testing.assert_array_equal(weaker.ravel(), [100, 100, 200])
    assert len({tuple(distorted("hue_prob: 1 hue_delta: 18", seed, coloured).ravel()) for seed in range(20)}) > 5


def test_order_of_channels_and_nothing_at_all() -> None:
    orders = {tuple(distorted("random_order_prob: 1", seed)[:, 0, 0]) for seed in range(60)}
    assert len(orders) == 6 and all(sorted(order) == sorted(IMAGE[:, 0, 0]) for order in orders)
    np.testing.assert_array_equal(distorted(""), IMAGE)


def test_a_blur_of_probability_0_changes_nothing() -> None:
    colours = transform("distort_param { brightness_prob: 1 brightness_delta: 32 }")
    blurred = transform(
        "distort_param { brightness_prob: 1 brightness_delta: 32 "
        "gaussian_prob: 0 gaussian_size_min: 2 gaussian_size_max: 5 gaussian_sigma: 8 }"
    )
    assert not list(sampling.faults(blurred, []))
    one, other = (sampling.distorted(IMAGE, param.distort_param, rng()) for param in (colours, blurred))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, IMAGE)


@pytest.mark.parametrize(
    ("text", "samplers", "message"),
    [
        ("distort_param { gaussian_prob: 0.5 gaussian_size_max: 5 }", "", "gaussian_prob must be 0, got 0.5: nobody"),
        ("expand_param { }", "", "max_expand_ratio must be above 1, got 1"),
        ('mean_file: "x" expand_param { max_expand_ratio: 2 }', "", "expand_param needs mean_value"),
        ("distort_param { contrast_prob: 1 contrast_lower: 2 contrast_upper: 1 }", "", "contrast_lower must be from 0"),
        ("distort_param { hue_delta: -1 }", "", "hue_delta must not be negative"),
        ("distort_param { gaussian_prob: 0.5 }", "", "gaussian_prob must be 0, got 0.5"),
        ("", "sampler { min_scale: 0 }", "scales must be above 0 and at most 1, got 0 to 1"),
        ("", "sampler { max_scale: 2 }", "scales must be above 0 and at most 1, got 1 to 2"),
        ("", "sampler { min_aspect_ratio: 3 }", "aspect ratios must be positive, got 3 to 1"),
    ],
)
def test_faults(text: str, samplers: str, message: str) -> None:
    found = list(sampling.faults(transform(text), [sampler(samplers)]))
    assert [message in told for told, _ in found] == [True]
