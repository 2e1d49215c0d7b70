"""Values put back to places of a larger image (Unpooling, and SegNet's Upsample)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import LayerError
from .base import Layer, Shape, torch

if TYPE_CHECKING:
    from torch import Tensor


def placed(layer: Layer, x: Tensor, at: Tensor, size: Shape, field: str) -> Tensor:
    """N×C×H×W values at their places, h·W′ + w, of an image of H′×W′ zeros.

    Each place sends its gradient to every value that belongs there; of several values one is there.

    Args:
        at: the places, N×C×H×W or H×W, as floats or integers; the second bottom, for messages.
        field: what to blame for a place outside the image.

    Raises:
        LayerError: a place is outside (on the CPU; elsewhere a check would have to wait for the device, and the first
            place is NaN instead).
    """
    places, most = at.detach().long().expand(x.shape).flatten(2), math.prod(size)
    values = x.flatten(2)
    sound = (places >= 0) & (places < most)
    if x.device.type == "cpu":
        if not bool(sound.all()):
            _refuse(layer, places, sound, size, field)
    else:
        values = torch.where(sound, values, math.nan)
        places = torch.where(sound, places, 0)
    y: Tensor = x.new_zeros((*x.shape[:2], most)).scatter(2, places, values)
    return y.reshape(*x.shape[:2], *size)


def _refuse(layer: Layer, places: Tensor, sound: Tensor, size: Shape, field: str) -> None:
    sample, channel, position = (~sound).nonzero()[0].tolist()
    place = int(places[sample, channel, position])
    message = (
        f"place {place} of sample {sample}, channel {channel}, is outside the top of {size[0]}×{size[1]}, whose places "
        f"go from 0 to {math.prod(size) - 1}"
    )
    help = "the top must be as large as the bottom of the Pooling that the second bottom comes from"
    raise LayerError(layer.fault(message, field, help))
