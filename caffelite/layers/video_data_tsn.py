"""VideoData as yjxiong/caffe means it: frames, or optical flow, of some parts of a video (temporal segment
networks)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..data.telling import folder_of
from ..data.videos import Videos, read_videos
from ..errors import Fault
from ..layerkit import Shape, exactly, layer
from ..layerkit.videos import FrameVideos, printf_fields
from ..proto import TRAIN, VideoDataParameter

_PATTERNS = {VideoDataParameter.RGB: "image_%04d.jpg", VideoDataParameter.FLOW: "flow_%c_%04d.jpg"}
_FIELDS = {VideoDataParameter.RGB: ["d"], VideoDataParameter.FLOW: ["c", "d"]}


@layer("VideoData", dialect="TSN")
class VideoDataTSN(FrameVideos):
    """Divides each video of the text file `source` into num_segments parts, takes new_length frames of each, and puts
    all of them into the channels of one image; at its end it begins anew, with `shuffle` in a new order every epoch.

    Tops: N×C×H×W, C being num_segments·new_length times 3 (RGB: B, G, R; 1 with `grayscale`) or 2 (FLOW: x, y); and
    labels, N×1×1×1.  A line of the list is a folder, how many frames it holds, and a label.  The frames of a part begin
    anywhere in it in TRAIN, and lie in its middle in TEST; at the beginning of the video where a part has less than
    new_length.  Their files are called by `name_pattern`.  `transform_param { mean_value }` may be given as often as
    divides C, and is repeated.

    Source: `src/caffe/layers/video_data_layer.cpp` and `src/caffe/util/io.cpp` of yjxiong/caffe.  Unlike there, a video
    that cannot be read whole is an error.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or a frame is missing or damaged (its line is named), or does not fit the settings.
    """

    example = """
    layer {
      name: "parts" type: "VideoData" top: "data" top: "label"  # 2×12×28×28, 2×1×1×1
      transform_param { crop_size: 28 mirror: true fix_crop: true multi_scale: true is_flow: true mean_value: 128 }
      video_data_param { source: "flow.txt" batch_size: 2 num_segments: 3 new_length: 2 modality: FLOW }
    }
    """

    fork: ClassVar[str] = "yjxiong/caffe"
    tops = exactly(2)
    source = "video_data_param.source"
    makes_equal = "give new_height and new_width"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.given
        self.require(given.batch_size > 0, "video_data_param.batch_size", "must be positive")
        self.require(bool(given.source), self.source, "must name a text file that lists videos")
        self.length = int(given.new_length) if given.HasField("new_length") else 1
        self.require(self.length > 0, "video_data_param.new_length", "must be positive")
        self.require(given.num_segments > 0, "video_data_param.num_segments", "must be positive")
        self.words = max(1, int(given.num_segments))
        self.check_both("video_data_param", "new_height", "new_width")
        self.pattern = str(given.name_pattern) or _PATTERNS[given.modality]
        wanted = "one %d" if given.modality == VideoDataParameter.RGB else "%c and, behind it, %d"
        fits = printf_fields(self.pattern) == _FIELDS[given.modality]
        self.require(fits, "video_data_param.name_pattern", f"must hold {wanted}", 'as in "img_%05d.jpg"')
        count = len(self.param.transform_param.mean_value)
        several = f"the mean_value given ({count}) must divide the channels ({self.channels})"
        self.expect(not count or self.channels % count == 0, several, "transform_param.mean_value")
        self.check_feed()
        self.check_transform()

    def warnings(self) -> list[Fault]:
        faults = self.without_effect("video_data_param.rand_skip", "reading begins at the first line")
        return faults + self.without_effect("video_data_param.encoded", "frames are image files")

    @property
    def channels(self) -> int:
        given = self.given
        each = 2 if given.modality == VideoDataParameter.FLOW else 1 if given.grayscale else 3
        return each * self.length * int(given.num_segments)

    def label_tail(self) -> Shape:
        return 1, 1, 1

    def means(self) -> list[float]:
        values = list(self.param.transform_param.mean_value)
        return values * (self.channels // len(values)) if values else values

    def frames(self, number: int, words: Sequence[int] | None) -> list[str]:
        given = self.given
        part, spare = number // given.num_segments, number // given.num_segments - self.length + 1
        names = []
        for segment in range(given.num_segments):
            begins = 0
            if spare > 0 and words is not None:
                within = words[segment] % spare if self.phase == TRAIN else spare // 2
                begins = within + segment * part
            for at in range(begins + 1, begins + 1 + self.length):
                flow = given.modality == VideoDataParameter.FLOW
                names += [self.pattern % ("x", at), self.pattern % ("y", at)] if flow else [self.pattern % at]
        return names

    def open_table(self) -> Videos:
        given = self.given
        listed = read_videos(str(given.source), "", folder_of(self, self.source))

        def frames(row: int) -> list[str]:
            return self.frames(int(listed.numbers[row]), None)

        gray = given.modality == VideoDataParameter.FLOW or given.grayscale
        return Videos(listed, frames, "gray" if gray else "colour", self.size, channels_first=False)
