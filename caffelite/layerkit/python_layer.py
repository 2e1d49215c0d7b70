"""Layers in Python by the original's protocol: the base that users derive from, and how a net calls what they write.

Sources: `include/caffe/layers/python_layer.hpp`, `Layer::Forward` in `include/caffe/layer.hpp`,
`python/caffe/_caffe.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .. import ops
from ..errors import LayerError
from .base import Layer as Declared
from .base import Shape, WeightSpec, torch
from .blob import Blob
from .user_code import blamed

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


class Blobs(list[Blob]):
    """The learned blobs of a layer."""

    def add_blob(self, *shape: int) -> None:
        """Add a blob of this shape.  It begins as zeros; write other first values to its `data`."""
        blob = Blob((), torch.device("cpu"))
        blob.reshape(*shape)
        self.append(blob)


class Layer:
    """Base of layers written in Python (`caffelite.Layer`), used as

        layer { name: "loss" type: "Python" bottom: "a" bottom: "b" top: "loss" loss_weight: 1
          python_param { module: "losses" layer: "AbsoluteLoss" } }

        class AbsoluteLoss(caffelite.Layer):
            def reshape(self, bottom, top):
                top[0].reshape()

            def forward(self, bottom, top):
                self.difference = bottom[0].data - bottom[1].data
                top[0].data[...] = abs(self.difference).sum() / bottom[0].num

            def backward(self, top, propagate_down, bottom):
                for blob, sign, wanted in zip(bottom, (1, -1), propagate_down):
                    if wanted:
                        blob.diff[...] = sign * top[0].diff * numpy.sign(self.difference) / blob.num

    `setup` is called once, `reshape` then and before every forward, to give each of `top` its shape.  `bottom` and
    `top` are lists of blobs: `data` and `diff` are NumPy arrays, written in place; `reshape(…)`, `shape`, `count`,
    `num`, `channels`, `height`, `width`.  `backward` writes the `diff` of every bottom for which `propagate_down` says
    so, and of `self.blobs`, from the `diff` of `top` (for a loss, its loss_weight is in there).  Values of `top` stay
    from one forward to the next; a blob that is bottom and top is one and the same.

    Gradients of `self.blobs` are added up over iter_size, whether `backward` adds or assigns; in the original, where
    it assigned, only those of the last batch were left.

    Attributes:
        param_str: the text of `python_param { param_str }`.
        phase: `caffelite.TRAIN` or `caffelite.TEST`.
        blobs: what the layer learns; add to it in `setup`, with `self.blobs.add_blob(…)`.
    """

    type = "Python"
    param_str: str = ""
    phase: int = 0

    def __init__(self, param: Any = None) -> None:
        self.blobs = Blobs()

    @property
    def param_str_(self) -> str:
        """What `param_str` was called before the original's release 1.0."""
        return self.param_str

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Look at the settings, and add blobs."""


class ByBlobs:
    """Calls a user's layer as a net wants its layers called.

    Attributes:
        user: the instance of the user's class.
        bottoms, tops: the blobs it is handed.
        given: bottoms and weights of the last forward.
    """

    def __init__(self, layer: Declared, cls: type[Layer]) -> None:
        self.layer, self.name = layer, f"{cls.__module__}.{cls.__qualname__}"
        blobs = {name: Blob((), torch.device("cpu")) for name in (*layer.param.bottom, *layer.param.top)}
        self.bottoms = [blobs[name] for name in layer.param.bottom]
        self.tops = [blobs[name] for name in layer.param.top]
        with blamed(layer, self.name):
            self.user = cls(layer.param)
        self.user.param_str, self.user.phase = str(layer.settings("python_param").param_str), layer.phase
        self.given: Sequence[Tensor] = ()

    def enter_phase(self, phase: int) -> None:
        """Let the user's layer compute as in this phase."""
        self.user.phase = phase

    @property
    def rereads(self) -> Literal["", "top"]:
        """Its backward is handed its first top as later in-place layers left it."""
        return "top" if self.tops else ""

    @property
    def weights(self) -> list[WeightSpec]:
        """Its blobs, which begin with the values it gave them."""
        return [WeightSpec(blob.shape, _values(blob), str(slot)) for slot, blob in enumerate(self.user.blobs)]

    def _call(self, method: str, *arguments: Any) -> None:
        function = getattr(self.user, method, None)
        if function is None:
            missing = f"{self.name} has no method {method}({_SIGNATURES[method]})"
            raise LayerError(self.layer.fault(missing, "python_param.layer"))
        with blamed(self.layer, f"{self.name}.{method}"):
            function(*arguments)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        """Have it set up, and its tops shaped once."""
        self._shape(bottoms)
        self._call("setup", list(self.bottoms), list(self.tops))

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """Its tops' shapes."""
        self._shape(bottoms)
        self._call("reshape", list(self.bottoms), list(self.tops))
        return [top.shape for top in self.tops]

    def _shape(self, bottoms: Sequence[Shape]) -> None:
        for blob, shape in zip(self.bottoms, bottoms, strict=True):
            blob.reshape(*shape)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Its tops, with a backward that is its own."""
        if len(weights) != len(self.user.blobs):
            message = f"{self.name} has {len(self.user.blobs)} blobs, and had {len(weights)} when the net was made"
            raise LayerError(self.layer.fault(message, "python_param.layer", "add_blob belongs into setup"))
        self.device = run.device
        self.given = given = [tensor.detach() for tensor in (*bottoms, *weights)]
        if self.tops:
            backward = partial(self._backward, given)
            return ops.by_hand.differentiable(self._forward, backward, [*bottoms, *weights])
        self._forward(*given)
        return ()

    def _forward(self, *tensors: Tensor) -> list[Tensor]:
        for blob, tensor in zip(self.bottoms, tensors, strict=False):
            blob.reshape(*tensor.shape)
            blob.data_mirror.set(tensor.detach().clone() if blob in self.tops else tensor.detach())
        for blob, tensor in zip(self.user.blobs, tensors[len(self.bottoms) :], strict=True):
            blob.data_mirror.fixed = True
            blob.data_mirror.set(tensor.detach())
        for blob in self.tops:  # the memory it has is somebody else's since the last forward
            if blob not in self.bottoms:
                blob.data_mirror.set(blob.data_mirror.tensor().clone())
        self._call("reshape", list(self.bottoms), list(self.tops))
        self._call("forward", list(self.bottoms), list(self.tops))
        for blob in (*self.bottoms, *self.user.blobs):
            blob.data_mirror.tensor()  # takes in what was written
        return [self._handed_over(top) for top in self.tops]

    def _handed_over(self, blob: Blob) -> Tensor:
        value = blob.data_mirror.tensor()
        blob.data_mirror.value = value.detach()  # a tensor of its own: the other becomes part of the net's graph
        return value.to(self.device)

    def _backward(
        self, given: Sequence[Tensor], first: Tensor, gradients: Sequence[Tensor], needed: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        if self.given is not given:  # another forward came between: blobs and instance are to be as after this one
            self.given = given
            self._forward(*given)
        self.tops[0].data_mirror.set(first.detach())
        for blob, gradient in zip(self.tops, gradients, strict=True):
            blob.diff_mirror.set(gradient.clone())
        for blob in self.user.blobs:
            blob.diff_mirror.set(None)
        self._call("backward", list(self.tops), list(needed[: len(self.bottoms)]), list(self.bottoms))
        found = [blob.diff_mirror.tensor() for blob in (*self.bottoms, *self.user.blobs)]
        return [
            gradient.to(self.device).clone() if need else None for gradient, need in zip(found, needed, strict=True)
        ]


_SIGNATURES = {"reshape": "bottom, top", "forward": "bottom, top", "backward": "top, propagate_down, bottom"}


def _values(blob: Blob) -> Any:
    """First values: what was written to the blob while the net was built."""
    return lambda _generator: blob.data.copy()
