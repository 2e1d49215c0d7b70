"""`caffe.io.Transformer`, against loops over values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import CaffeliteError, UsageError
from caffelite.pycaffe.io import ShapeError, Transformer, resize_image

HEIGHT, WIDTH = 3, 4


def transformer(channels: int = 3, **settings: Any) -> Transformer:
    made = Transformer({"data": (2, channels, HEIGHT, WIDTH)})
    made.set_transpose("data", (2, 0, 1))
    for name, value in settings.items():
        getattr(made, f"set_{name}")("data", value)
    return made


def image(channels: int = 3, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def by_hand(im: np.ndarray, swap: Any, raw_scale: float, mean: np.ndarray, input_scale: float) -> np.ndarray:
    result = np.zeros((im.shape[2], *im.shape[:2]))
    for channel in range(im.shape[2]):
        for row in range(im.shape[0]):
            for column in range(im.shape[1]):
                value = float(im[row, column, swap[channel]]) * raw_scale
                result[channel, row, column] = (value - mean[channel, row, column]) * input_scale
    return result


SETTINGS = {
    "swap": st.permutations([0, 1, 2]),
    "raw_scale": st.sampled_from([1.0, 255.0, 0.5]),
    "input_scale": st.sampled_from([1.0, 0.00390625, 3.0]),
    "seed": st.integers(0, 2**32),
    "means": st.sampled_from(["values", "image", "plane"]),
}


@given(**SETTINGS)
def test_the_steps_in_their_order_and_back(
    swap: list[int], raw_scale: float, input_scale: float, seed: int, means: str
) -> None:
    full = np.random.default_rng(seed + 1).normal(size=(3, HEIGHT, WIDTH)) * 50
    mean = {"values": full[:, 0, 0], "image": full, "plane": full[0]}[means]
    wide = {"values": np.tile(full[:, :1, :1], (1, HEIGHT, WIDTH)), "image": full, "plane": np.stack([full[0]] * 3)}
    made = transformer(channel_swap=swap, raw_scale=raw_scale, mean=mean, input_scale=input_scale)
    im = image(seed=seed)
    kept = im.copy()
    result = made.preprocess("data", im)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, by_hand(im, swap, raw_scale, wide[means], input_scale), rtol=1e-5, atol=1e-4)
    assert np.array_equal(im, kept)
    np.testing.assert_allclose(made.deprocess("data", result[np.newaxis]), im, atol=1e-4)


def test_nothing_set_is_nothing_done_but_the_size() -> None:
    made = Transformer({"data": (1, 3, 2, 2)})
    im = image(height=2, width=2)
    result = made.preprocess("data", im)
    assert np.array_equal(result, im)
    assert not np.shares_memory(result, im)
    assert np.array_equal(made.preprocess("data", image()), resize_image(image(), (2, 2)))
    assert made.deprocess("data", np.ones((1, 1, 2, 2), np.float32)).shape == (2, 2)


def test_integers_are_images_too() -> None:
    im = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    made = Transformer({"data": (1, 3, 2, 4)})
    made.set_transpose("data", (2, 0, 1))
    made.set_mean("data", np.array([1, 2, 3]))
    assert made.preprocess("data", im)[:, 0, 0].tolist() == [-1, -1, -1]
    assert made.deprocess("data", np.zeros((3, 2, 4), int))[0, 0].tolist() == [1, 2, 3]


def test_scales_of_double_precision_do_not_leave_single_precision() -> None:
    im = image()
    one = transformer(raw_scale=np.float64(0.1)).preprocess("data", im)
    assert np.array_equal(one, (im * np.float32(0.1)).transpose(2, 0, 1))


def test_a_scale_may_differ_by_channel() -> None:
    scale = np.array([1, 2, 3], np.float32).reshape(3, 1, 1)
    result = transformer(input_scale=scale).preprocess("data", np.ones((HEIGHT, WIDTH, 3)))
    assert result[:, 0, 0].tolist() == [1, 2, 3]


def test_setting_nothing_again_takes_a_step_out() -> None:
    made = transformer(raw_scale=255.0)
    made.set_raw_scale("data", None)
    assert np.array_equal(made.preprocess("data", image()), image().transpose(2, 0, 1))


def test_a_mean_of_another_size_is_resized() -> None:
    mean = np.random.default_rng(3).random((3, 6, 8)).astype(np.float32)
    made = transformer(mean=mean)
    wanted = resize_image(mean.transpose(1, 2, 0), (HEIGHT, WIDTH)).transpose(2, 0, 1)
    np.testing.assert_allclose(made.mean["data"], wanted, rtol=1e-6)
    made.set_mean("data", np.full((6, 8), 7.0))
    assert np.array_equal(made.mean["data"], np.full((1, HEIGHT, WIDTH), 7))
    made.set_mean("data", np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1))
    assert made.mean["data"].ravel().tolist() == [1, 2, 3]


def test_gray_goes_there_and_back() -> None:
    made = transformer(1, raw_scale=255.0, mean=np.array([3.0]), channel_swap=(0,))
    im = image(1)
    result = made.preprocess("data", im)
    assert result.shape == (1, HEIGHT, WIDTH)
    np.testing.assert_allclose(made.deprocess("data", result[np.newaxis]), im, atol=1e-5)
    np.testing.assert_allclose(made.deprocess("data", result), im, atol=1e-5)


def test_axes_may_be_counted_from_the_end() -> None:
    made = Transformer({"data": (1, 3, HEIGHT, WIDTH)})
    made.set_transpose("data", (-1, 0, 1))
    result = made.preprocess("data", image())
    assert np.array_equal(result, image().transpose(2, 0, 1))
    assert np.array_equal(made.deprocess("data", result), image())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("transpose", (2, 0), "transpose of 'data' takes an order of 3 axes"),
        ("transpose", (2, 0, 0), "takes an order of 3 axes"),
        ("channel_swap", (2, 1), "channel_swap of 'data' takes an order of its 3 channels"),
        ("channel_swap", (3, 1, 0), "takes an order of its 3 channels"),
        ("mean", np.ones(2), "the mean of 'data' must be 3 values or 3×H×W, got 2"),
        ("mean", np.ones(1), "must be 3 values"),
        ("mean", np.ones((2, 4, 4)), "got 2×4×4"),
        ("mean", np.ones((1, 3, 4, 4)), "got 1×3×4×4"),
        ("mean", np.float64(3), "got a scalar"),
    ],
)
def test_settings_that_do_not_fit(name: str, value: Any, message: str) -> None:
    with pytest.raises(CaffeliteError, match=message) as caught:
        transformer(**{name: value})
    assert isinstance(caught.value, ValueError) == (name == "mean")


def test_an_input_that_the_net_does_not_have() -> None:
    made = transformer()
    for call in (
        lambda: made.preprocess("date", image()),
        lambda: made.deprocess("date", image()),
        lambda: made.set_mean("date", np.ones(3)),
        lambda: made.set_raw_scale("date", 1),
        lambda: made.set_input_scale("date", 1),
        lambda: made.set_channel_swap("date", (0, 1, 2)),
        lambda: made.set_transpose("date", (2, 0, 1)),
    ):
        with pytest.raises(UsageError, match=r"'date' is not one of the net's inputs\n.*did you mean data"):
            call()
    with pytest.raises(UsageError, match="there are: data"):
        made.set_raw_scale("xyz", 1)


def test_images_and_samples_of_the_wrong_form() -> None:
    with pytest.raises(ShapeError, match="'data' takes 3 channels, the image has 1"):
        transformer(channel_swap=(2, 1, 0)).preprocess("data", image(1))
    with pytest.raises(ShapeError, match="the mean of 'data', 3×1×1, cannot be taken from an image of 1×3×4"):
        transformer(mean=np.ones(3)).preprocess("data", image(1))
    with pytest.raises(ShapeError, match="deprocess takes one sample of 'data'"):
        transformer().deprocess("data", np.ones((2, 3, HEIGHT, WIDTH)))
    with pytest.raises(ShapeError, match="deprocess takes one sample of 'data'"):
        transformer().deprocess("data", np.ones((HEIGHT, WIDTH)))
