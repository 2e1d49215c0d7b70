"""Deploy nets whose scores are known: the mean of each channel that goes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import caffelite

TEXT = """
name: "means"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {batch} dim: {channels} dim: {height} dim: {width} }} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param {{ num_output: {channels} weight_filler {{ type: "constant" value: 0.25 }} }} }}
"""  # noqa: E501
SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'


def write_net(
    folder: Path, channels: int = 3, height: int = 4, width: int = 4, batch: int = 2, more: str = ""
) -> tuple[str, str]:
    """A net and its weights; `more` stands behind its layers.  Its input is N×channels×height×width, its scores "fc"
    are the mean of each channel."""
    folder.mkdir(exist_ok=True)
    model, weights = folder / "deploy.prototxt", folder / "means.caffemodel"
    model.write_text(TEXT.format(channels=channels, height=height, width=width, batch=batch) + more)
    net = caffelite.Net(model, caffelite.TEST)
    net.params["fc"][0].data[...] = np.eye(channels)
    net.save(weights)
    return str(model), str(weights)


def write_image(path: Path, pixels: np.ndarray) -> str:
    """A picture, H×W×3 in the order R, G, B, or H×W."""
    Image.fromarray(pixels).save(path)
    return str(path)
