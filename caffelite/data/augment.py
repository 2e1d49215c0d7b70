"""`transform_param { augmentation }`: chance changes to whole batches of images.

An image is warped (moved, turned, scaled, slanted, distorted) in one step that looks up every pixel of the result
where it comes from, then its values are changed; a square may be cut out of what the net will see.  The amounts are
drawn by :class:`Augmentation` on the host, from (seed, layer, position of the record) alone, and used wherever the
images are.  All arithmetic is element by element, so that neither threads nor the size of a batch change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..proto import AugmentationParameter
from ..runtime import seeds
from ..runtime.torch_later import torch
from .cache import Array, Images, arrays

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Drawn = dict[str, NDArray[np.floating[Any]]]

_AMOUNTS = ("rotation", "scaling", "shear", "brightness", "contrast", "saturation", "hue", "left", "above", "dx", "dy")
"""What is drawn for each image, in this order; a word each."""
_STEPS = 4
"""Steps of Philox's counter, of four 64-bit words each, that a record has to itself."""
_NOISE_PER_STEP = 16
"""Values of the noise of elastic distortion, of 16 bits each, in one step."""

_PADDINGS = {AugmentationParameter.EDGE: "border", AugmentationParameter.ZERO: "zeros"}
_PAD_MODES = {AugmentationParameter.EDGE: "edge", AugmentationParameter.ZERO: "constant"}

_LUMA_BGR = np.array([0.114, 0.587, 0.299])
_TO_YIQ = np.array([[0.114, 0.587, 0.299], [-0.321, -0.275, 0.596], [0.311, -0.523, 0.212]])
"""Luma and the two axes of colour (NTSC), from B, G, R."""

_FRACTIONS = ("scaling", "brightness", "contrast", "saturation")
_POSITIVE = ("rotation", "shear", "elastic_alpha", "hue")


def faults(param: Any) -> list[tuple[str, str]]:
    """What is wrong with an AugmentationParameter whatever the data: rules, and the fields they are about."""
    sound = [field for field in (*_POSITIVE, *_FRACTIONS) if math.isfinite(getattr(param, field))]
    found = [("must be a number", field) for field in (*_POSITIVE, *_FRACTIONS) if field not in sound]
    found += [("must not be negative", field) for field in _POSITIVE if field in sound and getattr(param, field) < 0]
    found += [
        ("must be from 0 to 1", field) for field in _FRACTIONS if field in sound and not 0 <= getattr(param, field) <= 1
    ]
    if param.scaling == 1:
        found.append(("must be below 1", "scaling"))
    if param.shear >= 90:
        found.append(("must be below 90 degrees", "shear"))
    if not param.elastic_sigma > 0:
        found.append(("must be positive", "elastic_sigma"))
    return found


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was drawn for a batch, an entry an image.

    Attributes:
        warp: 2×3, source (y, x) = warp · (y, x, 1) with coordinates from the image's centre; None: nothing is warped.
        noise: 2×H×W from −1 to 1 for the elastic distortion of an H×W result; None: there is none.
        moved: whole pixels down and right; None where the warp does it, or nothing.
        gain: C×C, and offset, C: values become gain · value + offset; None: they stay.
        holes: first row and column of the square cut out; None: there is none.
    """

    warp: Floats | None = None
    noise: Floats | None = None
    moved: NDArray[np.int64] | None = None
    gain: Floats | None = None
    offset: Floats | None = None
    holes: NDArray[np.int64] | None = None

    def of(self, here: slice) -> Amounts:
        """The amounts of some of the images."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Amounts(*(None if part is None else part[here] for part in parts))


class Augmentation:
    """The augmentation of a layer."""

    def __init__(self, param: Any) -> None:
        self.param = param
        self.shift = int(param.shift)
        self.cutout = int(param.cutout)
        self.colourful = bool(param.saturation or param.hue)
        self.elastic = bool(param.elastic_alpha)
        self.warps = bool(param.rotation or param.scaling or param.shear or param.elastic_alpha)
        self.tones = bool(param.brightness or param.contrast or self.colourful)

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return bool(self.shift or self.cutout or self.warps or self.tones)

    def misfits(self, channels: int, image: tuple[int, int], size: tuple[int, int]) -> list[tuple[str, str]]:
        """What of it does not fit images of these channels, height and width, of which `size` is seen: messages, and
        the fields they are about."""
        found = []
        if self.colourful and channels != 3:
            field = "saturation" if self.param.saturation else "hue"
            found.append((f"saturation and hue need 3 channels (B, G, R), the image has {channels}", field))
        if self.shift >= min(image):
            found.append((f"shift {self.shift} moves all of a {image[0]}×{image[1]} image away", "shift"))
        if self.cutout >= 2 * max(size):
            found.append((f"cutout {self.cutout} takes all of what is seen, {size[0]}×{size[1]}", "cutout"))
        return found

    # -- drawing --------------------------------------------------------------------------------------------------

    def draw(self, images: Sequence[Array], size: tuple[int, ...], seed: int, layer: str, position: int) -> Amounts:
        """Draw for the images at positions position … of the stream.

        Args:
            images: N×C×H×W, or C×H×W each; only what depends on their values is read (contrast).
            size: height and width of what the net will see.
        """
        drawn = self._drawn(len(images), seed, layer, position)
        moved = np.stack([_whole(drawn["dy"], self.shift), _whole(drawn["dx"], self.shift)], axis=1)
        gain, offset = self._tones(images, drawn) if self.tones else (None, None)
        return Amounts(
            self._warp(drawn, moved) if self.warps else None,
            self._noise(len(images), size, seed, layer, position) if self.elastic else None,
            moved if self.shift and not self.warps else None,
            gain,
            offset,
            self._holes(drawn, size) if self.cutout else None,
        )

    def _drawn(self, count: int, seed: int, layer: str, position: int) -> Drawn:
        """Numbers from [0, 1) by what they are for."""
        generator = np.random.Philox(key=seeds.derive(seed, layer, "augmentation"), counter=_STEPS * position)
        words = generator.random_raw(count * 4 * _STEPS).reshape(count, -1)
        numbers = (words >> np.uint64(11)) * 2.0**-53
        return {name: numbers[:, index] for index, name in enumerate(_AMOUNTS)}

    def _warp(self, drawn: Drawn, moved: NDArray[np.int64]) -> Floats:
        """Where a pixel comes from: the inverse of slanting, scaling, turning and moving, in this order."""
        angle = np.radians(_either_way(drawn["rotation"], self.param.rotation))
        slant = np.tan(np.radians(_either_way(drawn["shear"], self.param.shear)))
        factor = 1 + _either_way(drawn["scaling"], self.param.scaling)
        cos, sin = np.cos(angle), np.sin(angle)
        # Rows: y and x.  Turned back, made smaller again, slanted back.
        turned = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1) / factor[:, np.newaxis, np.newaxis]
        turned[:, 1] -= slant[:, np.newaxis] * turned[:, 0]
        shift = -(turned[:, :, 0] * moved[:, :1] + turned[:, :, 1] * moved[:, 1:])
        return np.concatenate([turned, shift[:, :, np.newaxis]], axis=2).astype(np.float32)

    def _noise(self, count: int, size: tuple[int, ...], seed: int, layer: str, position: int) -> Floats:
        steps = math.ceil(2 * size[0] * size[1] / _NOISE_PER_STEP)
        generator = np.random.Philox(key=seeds.derive(seed, layer, "elastic"), counter=steps * position)
        values = generator.random_raw(count * 4 * steps).view(np.uint16)
        noise = values.reshape(count, -1)[:, : 2 * size[0] * size[1]].reshape(count, 2, *size)
        return (noise.astype(np.float32) + np.float32(0.5)) * np.float32(2**-15) - np.float32(1)

    def _tones(self, images: Sequence[Array], drawn: Drawn) -> tuple[Floats, Floats]:
        bright = 1 + _either_way(drawn["brightness"], self.param.brightness)
        contrast = 1 + _either_way(drawn["contrast"], self.param.contrast)
        channels = len(images[0])
        same = np.broadcast_to(np.eye(channels), (len(images), channels, channels))
        gain = self._colours(drawn) if self.colourful else same
        means = np.array([image.mean(dtype=np.float64) for image in images]) if self.param.contrast else 0.0
        offset = bright * (1 - contrast) * means
        gain = (gain * (bright * contrast)[:, np.newaxis, np.newaxis]).astype(np.float32)
        return gain, np.repeat(offset[:, np.newaxis], channels, axis=1).astype(np.float32)

    def _colours(self, drawn: Drawn) -> NDArray[np.floating[Any]]:
        """3×3 an image: colours further from gray, then the colour wheel turned; gray stays what it is."""
        stretch = 1 + _either_way(drawn["saturation"], self.param.saturation)
        angle = np.radians(_either_way(drawn["hue"], self.param.hue))
        wheel = np.zeros((len(angle), 3, 3))
        wheel[:, 0, 0] = 1
        wheel[:, 1, 1] = wheel[:, 2, 2] = stretch * np.cos(angle)
        wheel[:, 2, 1] = stretch * np.sin(angle)
        wheel[:, 1, 2] = -wheel[:, 2, 1]
        return np.einsum("ij,njk,kl->nil", np.linalg.inv(_TO_YIQ), wheel, _TO_YIQ)

    def _holes(self, drawn: Drawn, size: tuple[int, ...]) -> NDArray[np.int64]:
        """The square's centre is a pixel of the result."""
        centres = np.stack([drawn["above"] * size[0], drawn["left"] * size[1]], axis=1).astype(np.int64)
        return centres - self.cutout // 2

    # -- changing -------------------------------------------------------------------------------------------------

    def padded(self, images: Images) -> Images:
        """Images, N×C×H×W or C×H×W each, with `shift` pixels more on every side."""
        if not isinstance(images, np.ndarray):
            return [self._padded(image) for image in arrays(images)]
        return self._padded(images)

    def _padded(self, images: Array) -> Array:
        sides = [(0, 0)] * (images.ndim - 2) + [(self.shift, self.shift)] * 2
        mode: Any = _PAD_MODES.get(self.param.border, "symmetric")
        padded: Array = np.pad(images, sides, mode)
        return padded

    def warped(
        self,
        images: Tensor,
        amounts: Amounts,
        windows: Sequence[tuple[int, int, bool]],
        size: tuple[int, ...],
    ) -> Tensor:
        """The pixels of the results' windows.

        Args:
            images: float32, N×C×H×W.
            windows: of each image, at which row and column that begins, and whether it is mirrored.
            size: of all of them.
        """
        assert amounts.warp is not None
        device, (height, width) = images.device, images.shape[2:]
        warp = on(amounts.warp, device)[:, :, :, None, None]
        centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
        first_y, first_x, turned = (on(np.array(part), device)[:, None] for part in zip(*windows, strict=True))
        across = torch.arange(size[1], device=device)
        y = (first_y + torch.arange(size[0], device=device) - centre_y)[:, :, None]
        x = (first_x + torch.where(turned, size[1] - 1 - across, across) - centre_x)[:, None, :]
        from_y = warp[:, 0, 0] * y + warp[:, 0, 1] * x + warp[:, 0, 2] + centre_y
        from_x = warp[:, 1, 0] * y + warp[:, 1, 1] * x + warp[:, 1, 2] + centre_x
        if amounts.noise is not None:
            moves = ops.smoothing.smoothed(on(amounts.noise, device), float(self.param.elastic_sigma))
            moves *= float(self.param.elastic_alpha)
            from_y, from_x = from_y + moves[:, 0], from_x + moves[:, 1]
        # The middle of the first pixel is −1 + 1 / size, that of the last 1 − 1 / size.
        grid = torch.stack([(2 * from_x + 1) / width - 1, (2 * from_y + 1) / height - 1], dim=3)
        padding = _PADDINGS.get(self.param.border, "reflection")
        return torch.nn.functional.grid_sample(images, grid, "bilinear", padding, align_corners=False)

    def toned(self, images: Tensor, amounts: Amounts, most: float | None) -> Tensor:
        """N×C×H×W images with their values changed, and kept from 0 to `most` if there is one."""
        assert amounts.gain is not None and amounts.offset is not None
        gain, offset = (on(part, images.device) for part in (amounts.gain, amounts.offset))
        channels = images.shape[1]
        result = torch.empty_like(images)
        for row in range(channels):
            total = offset[:, row, None, None]
            for column in range(channels) if self.colourful else (row,):
                total = total + gain[:, row, column, None, None] * images[:, column]
            result[:, row] = total
        return result if most is None else result.clamp_(0, most)

    def holed(self, images: Tensor, amounts: Amounts) -> Tensor:
        """N×C×H×W images with the square set to 0, in place."""
        assert amounts.holes is not None
        first = on(amounts.holes, images.device)
        inside = []
        for axis in range(2):
            away = torch.arange(images.shape[2 + axis], device=images.device) - first[:, axis, None]
            inside.append((away >= 0) & (away < self.cutout))
        return images.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)


def _either_way(numbers: NDArray[np.floating[Any]], most: float) -> NDArray[np.floating[Any]]:
    """From [0, 1) to [−most, most)."""
    return (2 * numbers - 1) * most


def _whole(numbers: NDArray[np.floating[Any]], most: int) -> NDArray[np.int64]:
    """From [0, 1) to −most … most."""
    return np.floor(numbers * (2 * most + 1)).astype(np.int64) - most


def on(array: Array, device: torch.device) -> Tensor:
    """An array on a device, which nobody waits for."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
