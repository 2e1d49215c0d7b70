"""VideoData as SSD's fork means it: a camera, or a video file.  Known, not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import LayerError
from ..layerkit import Run, Shape, between, layer
from ..layerkit.source import SourceLayer
from ..proto import VideoDataParameter

if TYPE_CHECKING:
    from torch import Tensor


def _first_size(resizes: Sequence[Any]) -> tuple[int, int]:
    return (int(resizes[0].height), int(resizes[0].width)) if resizes else (0, 0)


@layer("VideoData", dialect="SSD")
class VideoDataSSD(SourceLayer):
    """Frames of a camera (`video_type: WEBCAM`) or of a video file, one after the other.  There is no decoder for them
    here, so a net with this layer can be looked at, and trained weights loaded into it, but it does not run: put an
    Input layer in its place.

    Tops: images, N×3×H×W, N being data_param's batch_size, and H and W crop_size, or else what `transform_param
    { resize_param }` says; and, if there are two, labels, N.

    Source: `src/caffe/layers/video_data_layer.cpp` of weiliu89/caffe, branch ssd.

    Raises:
        LayerError: settings that do not say how large images are; always, where it is to run.
    """

    example = """
    layer {
      name: "camera" type: "VideoData" top: "data"  # 1×3×300×300
      transform_param { resize_param { resize_mode: WARP height: 300 width: 300 } }
      data_param { batch_size: 1 }
      video_data_param { video_type: WEBCAM device_id: 0 }
    }
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    tops = between(1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.param.video_data_param
        self.require(self.param.data_param.batch_size > 0, "data_param.batch_size", "must be positive")
        file = given.video_type != VideoDataParameter.VIDEO or bool(given.video_file)
        self.expect(file, "video_type: VIDEO needs a video_file", "video_data_param.video_file")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        transform = self.param.transform_param
        crop, resizes = int(transform.crop_size), transform.resize_param
        size = (crop, crop) if crop else _first_size(resizes)
        unknown = "how large its images are would be known only from the camera or the file"
        help = "give crop_size, or resize_param { height: … width: … }, in transform_param"
        self.expect(min(size) > 0, unknown, "transform_param", help)
        batch = int(self.param.data_param.batch_size)
        return [(batch, 3, *size), (batch,)][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        what = "a camera" if self.param.video_data_param.video_type == VideoDataParameter.WEBCAM else "a video file"
        help = "write an Input layer in its place and give the net frames, or ImageData over the frames as files"
        raise LayerError(self.fault(f"{what} cannot be read: there is no decoder for it", "video_data_param", help))
