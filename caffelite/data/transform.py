"""`transform_param`: resize, augment, crop, subtract the mean, scale, mirror; of a whole batch at once.

The arithmetic is that of the original's `src/caffe/data_transformer.cpp`: every value becomes (x − mean) · scale in
float32, the mean file being read at the crop's place in the full image; mirroring happens in either phase and turns
the result, so a mirrored image has the mean of where its pixels came from subtracted.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault, Places, nowhere
from ..proto import TRAIN
from ..runtime import seeds
from ..runtime.torch_later import torch
from .augment import Amounts, Augmentation
from .cache import Array, Images, arrays, together
from .image import Picture, pixels_of
from .mean import Mean
from .patches import Patches
from .reshaping import Reshaping
from .room import Room
from .transform_param import Floats, by, crop_of

if TYPE_CHECKING:
    from torch import Tensor

Window = tuple[int, int, bool]
"""The first row and column of a crop, and whether it is mirrored."""

_AT_ONCE = 1 << 15
"""Values that are computed with at a time on the host: they stay in the processor's own cache, and torch computes so
few in one thread, which is faster than waking up others."""
_WORDS = 4
"""Random 64-bit words a record has to itself: one step of Philox's counter.  Used: mirror, row and column of the crop,
its size."""

_ACROSS = 2
"""The channel of a flow image that holds how far things move to the right."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What chance, and the phase, chose for a batch, an entry an image.

    Attributes:
        corners: random words for the row and the column at which its crop begins; None: at its centre.
        turned: whether it is mirrored.
        amounts: of its augmentation; None: there is none.
        bytes: the images are bytes, so augmented values stay from 0 to 255.
    """

    corners: NDArray[np.uint64] | None
    turned: NDArray[np.bool_]
    amounts: Amounts | None = None
    bytes: bool = False

    def of(self, here: slice) -> Choices:
        """The choices for some of the images."""
        amounts = None if self.amounts is None else self.amounts.of(here)
        corners = None if self.corners is None else self.corners[here]
        return Choices(corners, self.turned[here], amounts, self.bytes)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Images with what was chosen for them; nothing is done to them yet."""

    images: Images
    choices: Choices

    def of(self, here: slice) -> Chosen:
        """Some of them."""
        return Chosen(self.images[here], self.choices.of(here))


@dataclass(frozen=True, slots=True)
class Staged:
    """Windows of bytes or floats, N×C×H×W, or whole images to be warped (one by one if they may differ in size), on
    their way to a GPU."""

    images: list[Tensor]
    choices: Choices
    windows: list[Window]


class Transform:
    """A layer's transformation.  What is random in it depends on (seed, layer, position of the record) alone.

    First comes :meth:`choose`, on the host.  There, :meth:`finish` does all the rest, an image after the other; for a
    GPU, :meth:`stage` takes bytes, not floats, to memory that a GPU copies from by itself, and
    :meth:`finish_on` computes there.
    """

    def __init__(self, param: Any, phase: int, mean: Floats | None = None, places: Places = nowhere) -> None:
        self.crop = crop_of(param)
        self.scale = np.float32(param.scale)
        self.mirror = bool(param.mirror)
        self.random_crop = bool(self.crop) and phase == TRAIN
        self.augmentation = Augmentation(param.augmentation)
        self.augments = self.augmentation.active and phase == TRAIN
        self.patches = Patches(param, phase)
        self.reshaping = Reshaping(param, self.crop)
        self.flow = bool(param.flow and param.mirror)
        self._mean = Mean(mean, param.mean_value, self.crop, self.reshaping)
        self._only_scales = not (self.crop or self.mirror or self.augments or self._mean.given)
        self._places = places
        self._room = Room()

    def shape(self, image: tuple[int, ...], policy: int = 0) -> tuple[int, int, int]:
        """The transformed shape of a C×H×W image; `policy`: by which of several resize_param.

        Raises:
            DataError: crop, mean file or mean values do not fit it; every fault found.
        """
        faults = [self._fault(field, message) for message, field in self.reshaping.misfits(image[0])]
        image = self.reshaping.shape(image, policy)
        channels, height, width = image
        faults += self._crop_faults(height, width)
        for message, field, help, code in self._mean.misfits(image):
            faults.append(self._fault(field, message, help, code))
        if self.augments:
            size = self.crop or (height, width)
            misfits = self.augmentation.misfits(channels, (height, width), size)
            faults += [self._fault(f"augmentation.{field}", message) for message, field in misfits]
        if faults:
            raise DataError(faults)
        return (channels, *(self.crop or (height, width)))

    def _crop_faults(self, height: int, width: int) -> list[Fault]:
        if self.crop is None or (self.crop[0] <= height and self.crop[1] <= width):
            return []
        square = self.crop[0] == self.crop[1]
        what = f"crop_size {self.crop[0]}" if square else f"a crop of {by(self.crop)}"
        return [self._fault("crop_size" if square else "crop_h", f"{what} is larger than the {height}×{width} image")]

    def _fault(self, field: str, message: str, help: str | None = None, code: str = "CL406") -> Fault:
        return Fault(message, self._places(f"transform_param.{field}"), help, code=code)

    def __call__(self, images: Images, seed: int, layer: str, position: int) -> Floats:
        """All of it, on the host: float32, N×C×crop×crop, or N×C×H×W without a crop; a new array."""
        return self.finish(self.choose(images, seed, layer, position)).numpy()  # type: ignore[no-any-return]

    # -- choosing -------------------------------------------------------------------------------------------------

    def choose(self, images: Images, seed: int, layer: str, position: int) -> Chosen:
        """Choose for the images at positions position … of the stream.

        Args:
            images: uint8 or float32, N×C×H×W; or C×H×W each, which with crop_size and no mean file may differ in
                height and width.
            seed, layer, position: name the random draws.
        """
        count = len(images)
        if self.reshaping.active:
            images = self._reshaped(images, seed, layer, position)
        images = together(arrays(images)) if self.augments else images
        draws = np.zeros((count, _WORDS), np.uint64)
        if self.mirror or self.random_crop:
            generator = np.random.Philox(key=seeds.derive(seed, layer, "transform"), counter=position)
            draws = generator.random_raw(count * _WORDS).reshape(count, _WORDS)
        corners = draws[:, 1:3] if self.random_crop else None
        turned = (draws[:, 0] & np.uint64(self.mirror)).astype(bool)
        if self.patches.active:
            images, patched = self.patches.cut(images, draws, turned)
            corners = patched if self.random_crop else None
        amounts = None
        if self.augments:
            amounts = self.augmentation.draw(arrays(images), self._size(images), seed, layer, position)
        return Chosen(images, Choices(corners, turned, amounts, images[0].dtype == np.uint8))

    def _reshaped(self, images: Images, seed: int, layer: str, position: int) -> Images:
        """The images in the sizes that they are cropped from.

        Raises:
            DataError: one becomes too small for the crop, or of another size than the first.
        """
        policy = self.reshaping.policy(seed, layer, position, len(images))
        wanted = None if self.crop else self.reshaping.shape(images[0].shape, policy)
        results = []
        for index, image in enumerate(images):
            generator = seeds.generator(seed, layer, "reshaping", position + index)
            result = self.reshaping(pixels_of(image), generator, policy)
            faults = self._crop_faults(*result.shape[1:])
            if wanted is not None and result.shape != wanted:
                message = f"an image is {by(result.shape)} now, the first {by(wanted)}"
                faults.append(self._fault("resize_param", message))
            if faults:
                raise DataError(faults)
            results.append(result)
        return together(results)

    def windows(self, chosen: Chosen) -> list[Window]:
        """Where each image is cut out, and whether it is mirrored."""
        choices, count = chosen.choices, len(chosen.images)
        turned = choices.turned.tolist()
        if not self.crop:
            return [(0, 0, mirrored) for mirrored in turned]
        sizes = [image.shape[1:] for image in chosen.images]
        spare = [(height - self.crop[0], width - self.crop[1]) for height, width in sizes]
        if choices.corners is None:
            corners = [(rows // 2, columns // 2) for rows, columns in spare]
        else:
            words = choices.corners.tolist()
            corners = [(words[i][0] % (spare[i][0] + 1), words[i][1] % (spare[i][1] + 1)) for i in range(count)]
        return [(row, column, mirrored) for (row, column), mirrored in zip(corners, turned, strict=True)]

    # -- on the host ----------------------------------------------------------------------------------------------

    def finish(self, chosen: Chosen) -> Tensor:
        """The values the net sees: float32, N×C×crop×crop, or N×C×H×W without a crop; a new tensor."""
        result = self._room_for(chosen)
        if self._only_scales and isinstance(chosen.images, np.ndarray):
            return result.copy_(as_tensor(chosen.images)).mul_(float(self.scale))
        # A few images at a time, which stay in the processor's cache; one, where they may differ in size.
        alike = isinstance(chosen.images, np.ndarray)
        some = max(1, _AT_ONCE // max(1, result[0].numel())) if alike else 1
        for start in range(0, len(result), some):
            part = chosen.of(slice(start, start + some))
            windows = self.windows(part)
            self._compute(self._cut(part, windows), part.choices, windows, result[start : start + some])
        return result

    def _size(self, images: Images | Tensor) -> tuple[int, ...]:
        """Height and width of what the net sees."""
        return self.crop or tuple(images[0].shape[1:])

    def _room_for(self, chosen: Chosen) -> Tensor:
        first = chosen.images[0]
        shape = (len(chosen.images), first.shape[0], *self._size(chosen.images))
        return torch.from_numpy(self._room.array(shape, np.float32, isinstance(first, Picture) and shape[1] > 1))

    def _cut(self, chosen: Chosen, windows: list[Window]) -> Tensor:
        """The windows of some images, mirrored and, where they are shifted, moved; or, to be warped, all of them.

        Not to be written to: they may be the images themselves.
        """
        images, amounts = chosen.images, chosen.choices.amounts
        if amounts is not None and amounts.warp is not None:
            return as_tensor(images if isinstance(images, np.ndarray) else arrays(images)[0][np.newaxis])
        size = self._size(images)
        if amounts is not None and amounts.moved is not None:
            by = self.augmentation.shift
            images = self.augmentation.padded(images)
            windows = [
                (row + by - down, column + by - right, turned)
                for (row, column, turned), (down, right) in zip(windows, amounts.moved.tolist(), strict=True)
            ]
        elif isinstance(images, np.ndarray) and not self.mirror and images.shape[2:] == size:
            return as_tensor(images)
        parts = [_window(image, *window, *size) for image, window in zip(images, windows, strict=True)]
        return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)

    # -- on a GPU -------------------------------------------------------------------------------------------------

    def stage(self, chosen: Chosen) -> Staged:
        """The windows of all images, or whole images to be warped, in pinned memory."""
        alike = isinstance(chosen.images, np.ndarray)
        parts = [chosen] if alike else [chosen.of(slice(one, one + 1)) for one in range(len(chosen.images))]
        windows: list[Window] = []
        images: list[Tensor] = []
        for part in parts:
            here = self.windows(part)
            images.append(self._cut(part, here).contiguous())
            windows += here
        if chosen.choices.amounts is None or chosen.choices.amounts.warp is None:
            images = [torch.cat(images)]
        return Staged([image.pin_memory() for image in images], chosen.choices, windows)

    def finish_on(self, device: torch.device, staged: Staged) -> Tensor:
        """As :meth:`finish`, on this device, whose computing nobody waits for."""
        results, start = [], 0
        for part in staged.images:
            images, here = part.to(device, non_blocking=True), slice(start, start + len(part))
            shape = (*images.shape[:2], *self._size(images))
            results.append(torch.empty(shape, dtype=torch.float32, device=device))
            self._compute(images, staged.choices.of(here), staged.windows[here], results[-1])
            start += len(part)
        return results[0] if len(results) == 1 else torch.cat(results)

    # -- wherever the images are ----------------------------------------------------------------------------------

    def _compute(self, images: Tensor, choices: Choices, windows: list[Window], result: Tensor) -> None:
        """Put into `result` what the net sees of windows, or of whole images to be warped."""
        if choices.amounts is not None:
            images = self._augmented(images, choices, windows, tuple(result.shape[2:]))
        result.copy_(images)
        if self.flow and result.shape[1] > _ACROSS:
            for image, (_, _, turned) in zip(result, windows, strict=True):
                if turned:
                    image[_ACROSS] = 255 - image[_ACROSS]
        self._mean.take_off(result, windows)
        if self.scale != 1:
            result *= float(self.scale)
        if choices.amounts is not None and choices.amounts.holes is not None:
            self.augmentation.holed(result, choices.amounts)

    def _augmented(self, images: Tensor, choices: Choices, windows: list[Window], size: tuple[int, ...]) -> Tensor:
        assert choices.amounts is not None
        if choices.amounts.warp is not None:
            images = self.augmentation.warped(images.float(), choices.amounts, windows, size)
        if choices.amounts.gain is not None:
            images = self.augmentation.toned(images.float(), choices.amounts, 255.0 if choices.bytes else None)
        return images


def _window(image: Array | Picture, row: int, column: int, turned: bool, height: int, width: int) -> Tensor:
    """Part of an image, C×height×width, mirrored where `turned`.  Not to be written to."""
    if isinstance(image, Picture):
        return as_tensor(image.window(row, column, height, width, turned))
    part = as_tensor(image[:, row : row + height, column : column + width])
    return part.flip(2) if turned else part


def as_tensor(array: Array) -> Tensor:
    """The tensor in this memory, which nobody is going to write to."""
    if not array.flags.writeable:
        _hush()
    return torch.from_numpy(array)


@cache
def _hush() -> None:
    """Have torch say now, unheard, what it says once a process about memory that must not be written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.from_numpy(np.frombuffer(b"\0", np.uint8))
