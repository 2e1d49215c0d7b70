"""Nets written in Python instead of prototxt.

    from caffelite import NetSpec, layers as L, params as P

    n = NetSpec()
    n.data, n.label = L.Data(source="mnist_train_lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2)
    n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    text = str(n.to_proto())

A layer is a call: the positional arguments are its bottoms, the keywords its settings.  A keyword that ends in `param`
is a field of LayerParameter (`param=[dict(lr_mult=1)]`, `transform_param=dict(scale=1/256)`); any other one is a field
of the message that the layer type reads, or else one of LayerParameter (`loss_weight`, `phase`, `include`).  `ntop` is
the number of tops; `in_place=True` writes the bottoms.  Tops that no NetSpec names are called after their type:
"Convolution1", "Convolution2".  What is misspelt or does not fit is told by the call itself.

`layers` here takes any type; `caffelite.layers` takes those there are, and tells what is none.

Source: `python/caffe/net_spec.py`.
"""

from __future__ import annotations

from .assign import assign_proto
from .constants import params
from .errors import NotATop, SettingError, UnknownName
from .keywords import param_name_dict
from .spec import Function, NetSpec, Top, layers, to_proto

__all__ = [
    "Function",
    "NetSpec",
    "NotATop",
    "SettingError",
    "Top",
    "UnknownName",
    "assign_proto",
    "layers",
    "param_name_dict",
    "params",
    "to_proto",
]
