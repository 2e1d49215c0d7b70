"""Boxes in pixels, against TestOutputBBox of the source's `src/caffe/test/test_bbox_util.cpp` (weiliu89/caffe, branch
ssd): a box of an image, of height 300 and width 500 unless told otherwise."""

from __future__ import annotations

import pytest
import torch

from caffelite.layerkit.detections import ImageSize, to_pixels
from caffelite.proto import ResizeParameter

BOX = torch.tensor([-0.1, 0.3, 0.3, 0.5])


@pytest.mark.parametrize(
    ("resize", "image", "want"),
    [
        (None, (300, 500), [0, 90, 150, 150]),
        ({"resize_mode": "WARP"}, (300, 500), [0, 90, 150, 150]),
        ({"resize_mode": "FIT_SMALL_SIZE"}, (300, 500), [0, 90, 150, 150]),
        ({"resize_mode": "FIT_SMALL_SIZE", "height_scale": 300, "width_scale": 300}, (300, 500), [0, 90, 90, 150]),
        ({"resize_mode": "FIT_LARGE_SIZE_AND_PAD"}, (300, 500), [0, 50, 150, 150]),
        ({"resize_mode": "FIT_LARGE_SIZE_AND_PAD"}, (500, 300), [0, 150, 50, 250]),
    ],
)
def test_boxes_in_pixels(resize: dict | None, image: tuple[int, int], want: list[float]) -> None:
    given = None if resize is None else ResizeParameter(height=300, width=300, **resize)
    torch.testing.assert_close(
        to_pixels(BOX, ImageSize("a", *image), given), torch.tensor(want), rtol=1e-5, atol=1e-4, check_dtype=False
    )


def test_a_box_in_the_padding_stays_as_it_is() -> None:
    """The source projects only what meets the image."""
    resize = ResizeParameter(height=300, width=300, resize_mode="FIT_LARGE_SIZE_AND_PAD")
    found = to_pixels(torch.tensor([0.2, 0.0, 0.4, 0.1]), ImageSize("a", 100, 500), resize)
    torch.testing.assert_close(found, torch.tensor([100.0, 0, 200, 10]))
