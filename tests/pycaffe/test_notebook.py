"""How nets, NetSpecs and blobs show themselves."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import caffelite as caffe
from caffelite import layers as L


@pytest.fixture
def spec():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 4, 4]))
    n["a<b"] = L.Convolution(n.data, num_output=5, kernel_size=3)
    n.relu = L.ReLU(n["a<b"], in_place=True)
    return n


def pictures(html):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_a_net_prints_as_a_table(spec):
    net = caffe.Net(spec.to_proto(), caffe.TEST)
    lines = repr(net).splitlines()
    assert lines[0] == 'Net "", TEST'
    assert [line.split()[:3] for line in lines[4:7]] == [
        ["data", "Input", "2x3x4x4"], ["a<b", "Convolution", "2x5x2x2"], ["relu", "ReLU", "2x5x2x2"]
    ]  # fmt: skip
    assert lines[-1].split()[:3] == ["3", "layers", "140"]  # 5 * (3 * 3 * 3 + 1)


def test_a_net_in_a_notebook_is_a_picture_and_a_table(spec):
    html = caffe.Net(spec.to_proto(), caffe.TEST)._repr_html_()
    (picture,) = pictures(html)
    text = "".join(picture.itertext())
    assert "Convolution" in text
    assert "a<b" in text
    assert "<td style" in html
    assert "a&lt;b" in html
    assert "a<b" not in html


def test_a_netspec_in_a_notebook_is_a_picture(spec):
    (picture,) = pictures(spec._repr_html_())
    assert "Convolution" in "".join(picture.itertext())


def test_a_blob_prints_its_shape_and_range(spec):
    net = caffe.Net(spec.to_proto(), caffe.TEST)
    blob = net.blobs["data"]
    assert repr(blob) == "<Blob 2 x 3 x 4 x 4, 0 to 0>"
    blob.data[...] = np.linspace(-1, 2.5, blob.count).reshape(blob.shape)
    assert repr(blob) == "<Blob 2 x 3 x 4 x 4, -1 to 2.5>"
    blob.data[0, 0, 0, 0] = np.nan
    assert repr(blob) == "<Blob 2 x 3 x 4 x 4, nan to nan>"
    assert repr(net.params["a<b"][1]) == "<Blob 5, 0 to 0>"
    blob.reshape(0, 3)
    assert repr(blob) == "<Blob 0 x 3, empty>"
    blob.reshape()
    blob.data[...] = 1.5
    assert repr(blob) == "<Blob scalar, 1.5>"
