"""VideoData as facebook/C3D means it: clips of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ..data.telling import folder_of
from ..data.transform_param import Floats
from ..data.videos import Videos, read_clip_mean, read_videos
from ..errors import Fault
from ..layerkit import Shape, between, layer
from ..layerkit.videos import FrameVideos
from ..proto import TRAIN

_COLOURS = 3


@layer("VideoData", dialect="C3D")
class VideoDataC3D(FrameVideos):
    """Reads clips of new_length frames of videos that the text file `source` lists, each line a folder, the number of
    the first frame and a label, and begins anew at its end; with `shuffle`, in a new order every epoch.

    Tops: clips, N×3×new_length×H×W, the channels in the order B, G, R; and labels, N (C3D v1.0: N×1×1×1×1), or N×K ones
    and zeros with `use_multiple_label`.  The frames of a folder are 000001.jpg and so on, `new_height` and `new_width`
    resize them, and transform_param crops, mirrors and changes all frames of a clip alike.  `use_temporal_jitter`: the
    number of a line is how many frames the folder has, and a clip begins with one drawn by chance in TRAIN, with
    000000.jpg in TEST (as there).

    The settings are video_data_param's (C3D v1.1) or, in image_data_param, those of C3D v1.0.  Video files
    (`use_image: false`) are not read: there is no decoder for them here.

    Source: `src/caffe/layers/video_data_layer.cpp` and `src/caffe/util/image_io.cpp` of facebook/C3D.  Unlike there, a
    clip that cannot be read whole is an error, in TRAIN, too.

    Raises:
        LayerError: settings that are wrong whatever the data; video files.
        DataError: the list or a frame is missing or damaged (its line is named), or does not fit the settings.
    """

    example = """
    layer {
      name: "clips" type: "VideoData" top: "data" top: "label"
      transform_param { crop_size: 28 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
      video_data_param {
        source: "clips.txt" use_image: true batch_size: 2 new_length: 4 new_height: 32 new_width: 40
      }
    }
    """

    fork: ClassVar[str] = "facebook/C3D"
    tops = between(1, 2)
    makes_equal = "give new_height and new_width"
    words = 2

    @property
    def holder(self) -> str:
        old = self.param.HasField("image_data_param") and not self.param.HasField("video_data_param")
        return "image_data_param" if old else "video_data_param"

    @property
    def source(self) -> str:  # type: ignore[override]
        return f"{self.holder}.source"

    @property
    def batch_size(self) -> int:
        return int(self.given.batch_size) if self.given.HasField("batch_size") or self._old else 1

    @property
    def _old(self) -> bool:
        """Whether they are C3D v1.0's."""
        return self.holder == "image_data_param"

    @property
    def most_skipped(self) -> int:
        return int(self.given.rand_skip)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given, holder = self.given, self.holder
        self.expect(self.batch_size > 0, "batch_size must be positive, got 0", f"{holder}.batch_size")
        self.require(bool(given.source), self.source, "must name a text file that lists videos")
        self.require(given.new_length > 0, f"{holder}.new_length", "must be positive")
        self.require(given.sampling_rate > 0, f"{holder}.sampling_rate", "must be positive")
        self.check_both(holder, "new_height", "new_width")
        count = len(self.param.transform_param.mean_value)
        several = f"expected one mean_value, or as many as channels ({_COLOURS}), got {count}"
        self.expect(count in (0, 1, _COLOURS), several, "transform_param.mean_value")
        if not self._old and given.use_multiple_label:
            missing = "use_multiple_label needs num_of_labels, how many classes there are"
            self.expect(given.HasField("num_of_labels") and given.num_of_labels > 0, missing, f"{holder}.num_of_labels")
        self.check_feed()
        self.check_transform()

    def warnings(self) -> list[Fault]:
        if self._old:
            return self.without_effect("image_data_param.use_label", "a second top says whether there are labels")
        return self.without_effect("video_data_param.is_color", "frames are always read in colour")

    @property
    def channels(self) -> int:
        return _COLOURS * int(self.given.new_length)

    def tail(self, height: int, width: int) -> Shape:
        return _COLOURS, int(self.given.new_length), height, width

    def label_tail(self) -> Shape:
        if self._old:
            return 1, 1, 1, 1
        return (int(self.given.num_of_labels),) if self.given.use_multiple_label else ()

    def means(self) -> list[float]:
        values = list(self.param.transform_param.mean_value)
        if self._old and not values and self.given.HasField("mean_value"):
            values = [self.given.mean_value]
        return [value for value in values for _ in range(self.given.new_length)] if len(values) > 1 else values

    def mean_in(self, path: Path) -> Floats:
        return read_clip_mean(path)

    def frames(self, number: int, words: Sequence[int] | None) -> list[str]:
        given, begins, rate = self.given, number, int(self.given.sampling_rate)
        if words is not None and not self._old and given.use_sampling_rate_jitter:
            rate = words[1] % max(1, given.max_sampling_rate) + 1
        if given.use_temporal_jitter:
            spare = number - given.new_length * rate + 1
            begins = 1 if words is None else words[0] % max(1, spare) + 1 if self.phase == TRAIN else 0
        return [f"{begins + at * rate:06d}.jpg" for at in range(given.new_length)]

    def open_table(self) -> Videos:
        given = self.given
        if not given.use_image:
            message = "video files cannot be read: there is no decoder for them"
            help = "take the videos apart into folders of frames (000001.jpg …), and say use_image: true"
            self.expect(False, message, f"{self.holder}.use_image", help)
            self.raise_faults()
        classes = 0 if self._old or not given.use_multiple_label else int(given.num_of_labels)
        root = "" if self._old else str(given.root_folder)
        listed = read_videos(str(given.source), root, folder_of(self, self.source), classes)
        rule = f"must not exceed the number of videos ({len(listed.labels)})"
        self.require(given.rand_skip <= len(listed.labels), f"{self.holder}.rand_skip", rule)
        self.raise_faults()

        def frames(row: int) -> list[str]:
            return self.frames(int(listed.numbers[row]), None)

        return Videos(listed, frames, "colour", self.size, channels_first=True)
