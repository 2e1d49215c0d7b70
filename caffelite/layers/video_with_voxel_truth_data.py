"""VideoWithVoxelTruthData: clips, and numbers for every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..layerkit import Shape, layer
from ..layerkit.voxels import Floats, VoxelTruths


@layer("VideoWithVoxelTruthData")
class VideoWithVoxelTruthData(VoxelTruths):
    """Reads the clips listed in the text file `source`, a path on each line, and begins anew at its end; `shuffle`
    takes them in a new order every epoch.

    Tops: clips, N×(C − T)×L×H×W, and T numbers for every voxel, N×T×L×H×W: the last `num_truth_channels` of the files.
    A file is five int32 (1, C, L, H, W), then C·L·H·W floats, or bytes with `use_byte_input`.  The settings are
    image_data_param's; its scale, mean_file, crop_size and mirror move to transform_param when a file is read, and
    change the clip.  The truth is cut and mirrored with it, with `is_flow` its first channel changes sign where it is
    mirrored, and then it is multiplied by `truth_scale`, or with `clip_min` brought from clip_min … clip_max to 0 … 1.

    In C3D v1.0, the only version that has it, it is `type: VIDEO_WITH_VOXEL_TRUTH_DATA`.

    Source: `src/caffe/layers/video_with_voxel_truth_data_layer.cpp` of facebook/C3D.  Unlike there, a file that cannot
    be read whole is an error, in TRAIN, too, and the truth is scaled without a crop_size, too.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or a clip is missing or damaged (its line is named), or does not fit the settings.
    """

    example = """
    layer {
      name: "clips" type: "VideoWithVoxelTruthData" top: "data" top: "truth"  # 2×2×4×8×8, 2×2×4×8×8
      transform_param { crop_size: 8 mirror: true }
      image_data_param {
        source: "voxels.txt" batch_size: 2 use_byte_input: true num_truth_channels: 2 is_flow: true
      }
    }
    """

    fork: ClassVar[str] = "facebook/C3D"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.param.image_data_param
        self.truth_channels, self.holds_bytes = int(given.num_truth_channels), bool(given.use_byte_input)
        self.require(self.truth_channels > 0, "image_data_param.num_truth_channels", "must be positive")
        order = "clip_min needs a clip_max above it"
        self.expect(
            not given.HasField("clip_min") or given.clip_max > given.clip_min, order, "image_data_param.clip_min"
        )
        super().setup(bottoms)

    def truth_of(self, truth: Floats, mirrored: bool) -> Floats:
        given = self.param.image_data_param
        if given.is_flow and mirrored:
            truth[0] *= -1
        if given.HasField("clip_min"):
            least, most = np.float32(given.clip_min), np.float32(given.clip_max)
            return ((truth - least) / (most - least)).clip(0, 1)
        return truth * np.float32(given.truth_scale)
