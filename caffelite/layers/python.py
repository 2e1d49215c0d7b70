"""Python: a layer that its user writes in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Fault, LayerError
from ..layerkit import Layer, Run, Shape, at_least, layer
from ..layerkit import python_layer as by_blobs
from ..layerkit.user_code import blamed, class_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.torch_layer import ByTorch


@layer("Python")
class Python(Layer):
    """The class `layer` of the module `module`, which is imported by name from Python's path; where it is not there,
    from the working directory or from beside the prototxt.

    The class derives from `caffelite.Layer`, which is the original's protocol (setup, reshape, forward and backward on
    blobs of NumPy arrays), or from `caffelite.TorchLayer`, a torch module that autograd differentiates; see their
    documentation.  Tops may have another shape in every forward.  May work in place.

    What else a layer of either kind remembers from one forward to the next (a data layer: its place in the data), a
    snapshot keeps where the class has `get_extra_state()`, which returns numbers, NumPy arrays, tensors, or lists and
    dictionaries of these, and `set_extra_state(state)`.

    The Python API runs such a layer; the command line only with --allow-python, without which nothing is imported.

    Source: `include/caffe/layers/python_layer.hpp`.
    """

    example = """
    layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 64 dim: 10 } } }
    layer {
      name: "loss" type: "Python" bottom: "a" bottom: "b" top: "loss" loss_weight: 1
      python_param { module: "losses" layer: "AbsoluteLoss" }  # class AbsoluteLoss in losses.py
    }
    """

    bottoms, tops = at_least(0), at_least(0)
    varies = reshapes = collects = True
    remembers = ("extra_state",)

    @classmethod
    def code(cls, param: Any) -> str:
        return f"{param.python_param.module}.{param.python_param.layer}"

    def warnings(self) -> list[Fault]:
        return self.without_effect("python_param.share_in_parallel", "there is one of each layer in a process")

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("python_param")
        self.called = self._called(class_of(self, settings.module, settings.layer))
        self.called.setup(bottoms)
        self.weights = self.called.weights

    def _called(self, cls: type) -> by_blobs.ByBlobs | ByTorch:
        if issubclass(cls, by_blobs.Layer):
            return by_blobs.ByBlobs(self, cls)
        from ..layerkit.torch_layer import ByTorch, TorchLayer

        if issubclass(cls, TorchLayer):
            return ByTorch(self, cls)
        name, help = f"{cls.__module__}.{cls.__qualname__}", "class …(caffelite.Layer), or (caffelite.TorchLayer)"
        message = f"{name} must derive from caffelite.Layer or caffelite.TorchLayer"
        raise LayerError(self.fault(message, "python_param.layer", help, code="CL308"))

    def enter_phase(self, phase: int) -> None:
        super().enter_phase(phase)
        self.called.enter_phase(phase)

    @property
    def rereads(self) -> Literal["", "top"]:  # type: ignore[override]
        """What the user's backward reads anew."""
        return self.called.rereads

    @property
    def user(self) -> Any:
        """The instance of the user's class."""
        return self.called.user

    @property
    def extra_state(self) -> Any:
        """A copy of what the user's class says by `get_extra_state`; None where it has no such method."""
        function = _of_user(self.user, "get_extra_state")
        if function is None:
            return None
        with blamed(self, f"{self.called.name}.get_extra_state"):
            return deepcopy(function())

    @extra_state.setter
    def extra_state(self, value: Any) -> None:
        function = _of_user(self.user, "set_extra_state")
        if function is not None and value is not None:
            with blamed(self, f"{self.called.name}.set_extra_state"):
                function(deepcopy(value))

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        tops = self.called.shapes(bottoms)
        self.weights = self.called.weights  # the original lets the first reshape add blobs, too
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return self.called.forward(run, bottoms, weights)


def _of_user(user: Any, name: str) -> Callable[..., Any] | None:
    """A method of a user's instance, unless it has it from torch."""
    function = getattr(user, name, None)
    return None if getattr(function, "__module__", "").startswith("torch.") else function
