"""VideoSegmentationData: clips, and a class for every voxel."""

from __future__ import annotations

from typing import ClassVar

from ..layerkit import layer
from ..layerkit.voxels import VoxelTruths


@layer("VideoSegmentationData")
class VideoSegmentationData(VoxelTruths):
    """Reads the clips listed in the text file `source`, a path on each line, and begins anew at its end; `shuffle`
    takes them in a new order every epoch.

    Tops: clips, N×(C − 1)×L×H×W, and the class of every voxel, N×1×L×H×W: the last channel of the files.  A file is
    five int32 (1, C, L, H, W), then C·L·H·W bytes.  The settings are image_data_param's; its scale, mean_file,
    crop_size and mirror move to transform_param when a file is read, and change the clip; the truth is only cut and
    mirrored with it.

    In C3D v1.0, the only version that has it, it is `type: VIDEO_SEGMENTATION_DATA`.

    Source: `src/caffe/layers/video_segmentation_data_layer.cpp` of facebook/C3D.  Unlike there, a file that cannot be
    read whole is an error, in TRAIN, too.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or a clip is missing or damaged (its line is named), or does not fit the settings.
    """

    example = """
    layer {
      name: "clips" type: "VideoSegmentationData" top: "data" top: "truth"  # 2×3×4×8×8, 2×1×4×8×8
      transform_param { crop_size: 8 mirror: true }
      image_data_param { source: "voxels.txt" batch_size: 2 mean_value: 128 }
    }
    """

    fork: ClassVar[str] = "facebook/C3D"
