"""WindowData: batches of windows cut out of images, some that show objects and some that show background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.image import pixels_of
from ..data.resize import resize
from ..data.telling import folder_of, told_by
from ..data.windows import WindowFile, Windows, cut_of, lies_inside, read_windows
from ..errors import DataError, Fault
from ..layerkit import Shape, exactly, layer
from ..layerkit.fed import Batch, FedLayer, Floats
from ..runtime import seeds

_CHANNELS = 3
_WORDS = 4
"""Random 64-bit words a window has to itself: one step of Philox's counter.  Used: which window, mirror."""
_MODES = ("warp", "square")
_WITHOUT_EFFECT = {
    "scale": "window_data_param { scale } is the one that counts",
    "force_color": "windows are always read in colour",
    "force_gray": "windows are always read in colour",
    "augmentation": "windows are drawn by chance already; mirror turns them",
}
"""Fields of transform_param that WindowData does not read, in the original either where it has them."""


@layer("WindowData")
class WindowData(FedLayer):
    """Draws windows at random from the window file `source`: in each batch background first, then, for `fg_fraction` of
    it, objects; each is resized to crop_size × crop_size, with `context_pad` pixels of what is around it.

    Tops: images, N×3×crop_size×crop_size float32, in the order B, G, R, and labels, N, 0 for background.  Values are
    (x − mean) · scale, `scale` being window_data_param's; what lies outside the image is 0.  A mean file is read at
    its centre.  `mirror` turns every other window, by chance.

    Source: `src/caffe/layers/window_data_layer.cpp`.  Unlike there, a kind of window that no batch holds may be
    missing from the file, and a window outside its image is an error with a name.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the window file, an image or the mean file is missing, damaged, or does not fit.
    """

    example = """
    layer {
      name: "windows" type: "WindowData" top: "data" top: "label"
      transform_param { crop_size: 227 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
      window_data_param { source: "windows.txt" batch_size: 4 fg_fraction: 0.25 context_pad: 16 }
    }
    """

    tops = exactly(2)
    opened = frozenset({"_feed", "_windows"})
    source = "window_data_param.source"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._windows: WindowFile | None = None
        self._mean: Floats | None = None
        self._contents: dict[int, bytes] = {}

    @property
    def batch_size(self) -> int:
        return int(self.param.window_data_param.batch_size)

    @property
    def _objects(self) -> int:
        """How many windows of a batch show objects."""
        return int(np.float32(self.batch_size) * np.float32(self.param.window_data_param.fg_fraction))

    # -- settings -----------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, crop = self.param.window_data_param, int(self.param.transform_param.crop_size)
        self.require(settings.batch_size > 0, "window_data_param.batch_size", "must be positive")
        self.require(bool(settings.source), self.source, "must name a window file")
        self.require(0 <= settings.fg_fraction <= 1, "window_data_param.fg_fraction", "must be from 0 to 1")
        modes = " or ".join(_MODES)
        self.require(settings.crop_mode in _MODES, "window_data_param.crop_mode", f"must be {modes}")
        if self.require(crop > 0, "transform_param.crop_size", "must be positive: the size windows are resized to"):
            rule = f"must be below half of crop_size ({crop})"
            self.require(2 * settings.context_pad < crop, "window_data_param.context_pad", rule)
        means = len(self.param.transform_param.mean_value)
        rule = f"needs one mean_value, or one for each of {_CHANNELS} channels, got {means}"
        self.expect(means in (0, 1, _CHANNELS), rule, "transform_param.mean_value")
        self.check_feed()
        self.check_transform()

    def warnings(self) -> list[Fault]:
        fields = _WITHOUT_EFFECT.items()
        return [fault for name, why in fields for fault in self.without_effect(f"transform_param.{name}", why)]

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with told_by(self, self.source):
            self._open()
        crop = int(self.param.transform_param.crop_size)
        return [(self.batch_size, _CHANNELS, crop, crop), (self.batch_size,)]

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self) -> WindowFile:
        if self._windows is None:
            settings = self.param.window_data_param
            source, root, beside = str(settings.source), str(settings.root_folder), folder_of(self, self.source)
            windows = read_windows(source, root, beside, settings.fg_threshold, settings.bg_threshold)
            for kind, found, wanted in (
                ("shows an object (overlap of at least fg_threshold)", windows.foreground, self._objects),
                ("shows background (overlap below bg_threshold)", windows.background, self.batch_size - self._objects),
            ):
                if wanted and not len(found):
                    raise DataError(f'no window of "{source}" {kind}, but {wanted} of every batch must')
            self._mean = self._mean_square()
            self._windows = windows
        return self._windows

    def _mean_square(self) -> Floats:
        """The mean of every pixel of the square, broadcastable; the original takes the same offset down as across."""
        crop, mean = int(self.param.transform_param.crop_size), self.read_mean_file()
        if mean is None:
            values = list(self.param.transform_param.mean_value) or [0.0]
            return np.broadcast_to(np.array(values, np.float32).reshape(-1, 1, 1), (_CHANNELS, crop, crop))
        channels, height, width = mean.shape
        offset = (width - crop) // 2
        if channels != _CHANNELS or offset < 0 or offset + crop > height:
            shape = f"{channels}×{height}×{width}"
            message = f"the mean file is {shape}, too small for {_CHANNELS}×{crop}×{crop}"
            raise DataError(self.fault(message, "transform_param.mean_file"))
        return mean[:, offset : offset + crop, offset : offset + crop]

    # -- batches ------------------------------------------------------------------------------------------------

    def load(self, seed: int, position: int) -> Batch:
        windows, count, crop = self._open(), self.batch_size, int(self.param.transform_param.crop_size)
        generator = np.random.Philox(key=seeds.derive(seed, self.name, "windows"), counter=position)
        draws = generator.random_raw(count * _WORDS).reshape(count, _WORDS)
        images = np.zeros((count, _CHANNELS, crop, crop), np.float32)
        labels = np.empty(count, np.float32)
        for item, (which, mirror) in enumerate(draws[:, :2].tolist()):
            kind = windows.background if item < count - self._objects else windows.foreground
            row = which % len(kind)
            labels[item] = kind.labels[row]
            self._fill(images[item], kind, row, bool(self.param.transform_param.mirror and mirror & 1))
        return Batch((images, labels))

    def _fill(self, square: Floats, windows: Windows, row: int, mirrored: bool) -> None:
        """Put a window into its square of zeros."""
        settings, index = self.param.window_data_param, int(windows.images[row])
        image, box = self._image(index), windows.boxes[row].tolist()
        size = image.shape[1:]
        wide = settings.crop_mode == "square"
        cut = cut_of(tuple(box), size, square.shape[1], int(settings.context_pad), wide, mirrored)
        if not lies_inside(cut, size):
            message = f"is {size[0]}×{size[1]} (height×width); its window {box} does not lie inside"
            raise DataError(self._open().files.fault(index, message))
        pixels = resize(image[:, cut.y1 : cut.y2 + 1, cut.x1 : cut.x2 + 1], cut.height, cut.width)
        pixels = pixels[..., ::-1] if mirrored else pixels
        place = np.s_[:, cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
        assert self._mean is not None
        square[place] = (pixels - self._mean[place]) * np.float32(settings.scale)

    def _image(self, index: int) -> NDArray[np.uint8]:
        files, data = self._open().files, self._contents.get(index)
        if data is None:
            data = files.bytes_of(index)
            if self.param.window_data_param.cache_images:
                self._contents[index] = data
        return pixels_of(files.decode(index, data, "colour"))

    def close(self) -> None:
        super().close()
        self._windows = None
        self._contents.clear()
