"""What a layer is.

A layer type is one class in one file of `caffelite/layers/`.  It declares (arity, checks, shapes, weights) without
torch, and computes with torch, which it imports lazily:

    from caffelite.layerkit import Layer, exactly, layer, torch

    @layer("Power")
    class Power(Layer):
        bottoms, tops = exactly(1), exactly(1)

        def shapes(self, bottoms):
            return [bottoms[0]]

        def forward(self, run, bottoms, weights):
            settings = self.settings("power_param")
            ...
            return (y,)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..errors import Fault, LayerError, Places, Severity, nowhere
from ..registry import Registry
from ..runtime.torch_later import torch

if TYPE_CHECKING:
    from .kernels import Kernel
    from .run import Run

Shape = tuple[int, ...]
"""Sizes of the axes, outermost first; () is a scalar."""


@dataclass(frozen=True, slots=True)
class Arity:
    """How many bottoms or tops a layer type takes; `most` None is without limit."""

    least: int
    most: int | None

    def __contains__(self, count: int) -> bool:
        return self.least <= count and (self.most is None or count <= self.most)

    def __str__(self) -> str:
        if self.most is None:
            return f"at least {self.least}"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


def exactly(count: int) -> Arity:
    """An arity of just `count`."""
    return Arity(count, count)


def between(least: int, most: int) -> Arity:
    """An arity from `least` to `most`, both included."""
    return Arity(least, most)


def at_least(least: int) -> Arity:
    """An arity of `least` or more."""
    return Arity(least, None)


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A learnable array a layer declares.

    Attributes:
        filler: for its first values the FillerParameter, or a function of a NumPy generator (None: zeros).
        name: what it is called in a torch module's state_dict; dots divide names of modules.
        learned: whether it gets gradients; else it is what the layer collects by itself (BatchNorm's statistics).
    """

    shape: Shape
    filler: Any = None
    name: str = "weight"
    learned: bool = True


class Layer:
    """Base of all layer types: a plain class, no torch module (the net wraps it).

    A net calls, in this order: the constructor; `check` and `setup` once with the bottoms' shapes; `shapes` then and
    whenever the bottoms' shapes change; `forward` once per pass.  `bottoms`/`tops` given to these are in the order of
    the prototxt.

    Attributes:
        param: the layer's LayerParameter.
        name, phase: its name; TRAIN (0) or TEST (1).
        weights: what `setup` declared, one WeightSpec per weight.
        bottom_names: its bottoms as the prototxt names them (`param` may name tops of Splits instead).
    """

    type: ClassVar[str]
    dialect: ClassVar[str] = ""
    """The fork whose meaning of `type` this is, where that name has several."""
    fork: ClassVar[str] = ""
    """Where a type comes from that the original lacks: its owner and repository."""
    bottoms: ClassVar[Arity] = exactly(1)
    tops: ClassVar[Arity] = exactly(1)
    example: ClassVar[str] = ""
    """Prototxt of a small net that shows it, for docs/layers.md: the layer, and the Input layers it needs."""
    same_count: ClassVar[bool] = False
    """As many tops as bottoms (Caffe's EqualNumBottomTopBlobs)."""
    loss: ClassVar[bool] = False
    """A loss: its first top has loss_weight 1 unless told otherwise, and may be left out of the prototxt."""
    activation: ClassVar[str] = ""
    """The layer type whose work a loss does as well (SoftmaxWithLoss: Softmax), and which stands for it where a net is
    used."""
    sharing_bottoms: ClassVar[bool] = False
    """Its tops are its bottoms, unchanged (Split): the plan may pass the tensor on without a copy."""
    rereads: ClassVar[Literal["", "bottom", "top"]] = ""
    """What its backward reads anew, and so finds as later in-place layers left it: its top (Sigmoid, TanH, Softmax), or
    its bottom where it works in place (ReLU, BNLL)."""
    rounding: ClassVar[Literal["never", "rounds", "as it comes"]] = "never"
    """In a net of `precision: BF16`: whether it computes in bfloat16, or in the type of its bottom; else in float32."""
    ungraded: ClassVar[frozenset[int]] = frozenset()
    """Bottoms that never get a gradient (labels, targets): force_backward leaves them out, as Caffe's
    AllowForceBackward does, and a backward that needs one of them is refused."""
    passed_over: ClassVar[frozenset[int]] = frozenset()
    """Those of `ungraded` that are not refused: the original leaves their gradient alone without a word."""
    varies: ClassVar[bool] = False
    """The sizes of its tops depend on the values of its bottoms (Filter): `shapes` gives the largest, and the net tells
    the layers behind it the real ones in every pass."""
    assumes: ClassVar[bool] = False
    """The shapes it gives are those that its data usually have (a Python layer whose data are not at hand): other ones
    that somebody gives come first."""
    reshapes: ClassVar[bool] = False
    """Its `forward` finds the shapes of its tops by itself (Python): nobody need tell it those of its bottoms first."""
    remembers: ClassVar[tuple[str, ...]] = ()
    """The attributes that a forward leaves to the next one, so that passes can be repeated: their values are replaced,
    never changed in place."""

    opened: ClassVar[frozenset[str]] = frozenset()
    """The attributes that hold files and threads while these are open, and else None."""

    collects: ClassVar[bool] = False
    """Its forward writes to those of its weights that are not learned (BatchNorm's statistics)."""

    capturable: ClassVar[bool] = False
    """Its forward calls the same operators with the same numbers in all passes of the same shapes: it decides nothing
    by values, draws nothing, and counts no passes.  (Labels that are no classes may be an error of torch's.)"""

    def __init__(self, param: Any, phase: int = 0, places: Places = nowhere) -> None:
        self.param = param
        self.phase = phase
        self.places = places
        self.weights: list[WeightSpec] = []
        self.bottom_names: Sequence[str] = list(param.bottom)
        self._faults: list[Fault] = []

    @property
    def name(self) -> str:
        return str(self.param.name)

    @classmethod
    def code(cls, param: Any) -> str | None:
        """What it would run, "module.class", for a type that runs code its LayerParameter names; else None."""
        return None

    # -- settings and their checks ------------------------------------------------------------------------------

    def settings(self, field: str) -> Any:
        """The layer's sub-message `field` (e.g. "pooling_param")."""
        return getattr(self.param, field)

    def fault(
        self,
        message: str,
        field: str = "",
        help: str | None = None,
        severity: Severity = "error",
        code: str | None = None,
    ) -> Fault:
        """A fault of this layer, placed at the field it is about; `code` is better than the one for all of its kind."""
        code = code or ("CL302" if severity == "error" else "CL305")
        return Fault(message, self.places(field), help, self.name, self.type, severity, code)

    def without_effect(self, field: str, why: str, help: str = "leave it out") -> list[Fault]:
        """A warning if the setting at the dotted path `field` ("pooling_param.p") is given, for `warnings`."""
        *holders, name = field.split(".")
        holder = self.param
        for part in holders:
            holder = getattr(holder, part)
        if not holder.HasField(name):
            return []
        return [self.fault(f"{name} has no effect: {why}", field, help, "warning", "CL304")]

    def require(self, ok: bool, field: str, rule: str, help: str | None = None) -> bool:
        """Note a fault unless `ok`.  The message reads the field's value itself: "<field> <rule>, got <value>".

        `field` is the dotted path inside the LayerParameter.  The faults noted in `setup` or `shapes` are raised
        together when it returns.
        """
        if not ok:
            value = self.param
            for part in field.split("."):
                value = getattr(value, part)
            if isinstance(value, str):
                value = f'"{value}"'
            elif hasattr(value, "__len__"):
                value = list(value)
            message = f"{field.rsplit('.')[-1]} {rule}, got {value}"
            self._faults.append(self.fault(message, field, help, code="CL301"))
        return ok

    def expect(self, ok: bool, message: str, field: str = "", help: str | None = None, code: str | None = None) -> bool:
        """Note a fault with a message of its own unless `ok` (for rules about shapes, or between fields)."""
        if not ok:
            if field.startswith(("bottom", "top")):
                code = code or "CL303"
            self._faults.append(self.fault(message, field, help, code=code))
        return ok

    def raise_faults(self) -> None:
        """Raise what `require` and `expect` noted, if anything.

        Raises:
            LayerError: with every fault noted since the last call.
        """
        if self._faults:
            faults, self._faults = self._faults, []
            raise LayerError(faults)

    def axis(self, value: int, axes: int, field: str) -> int:
        """A possibly negative axis as an index into `axes` axes.

        Raises:
            LayerError: it is outside [-axes, axes).
        """
        if not self.require(-axes <= value < axes, field, f"must be an axis of a {axes}-d blob"):
            self.raise_faults()
        return value % axes if axes else 0

    # -- what a type defines ------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        """Validate the settings and declare `self.weights`.  Called once, before `shapes`."""

    def warnings(self) -> Sequence[Fault]:
        """What is odd but harmless about the settings.  Asked once, when the net is built: after `setup` and `shapes`,
        and not at all where these found faults, or could not be called."""
        return ()

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """The tops' shapes for these bottoms.  May be called again with other shapes; must not change `weights`."""
        raise NotImplementedError(f"{type(self).__name__} does not say its top shapes")

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor | None]:
        """The tops' values; None for one that the net holds.  Differentiable through autograd wherever Caffe has a
        gradient; a top that may equal a bottom must be returned as a new tensor (or the same one), never computed into
        the bottom's memory."""
        raise NotImplementedError(f"{type(self).__name__} does not compute")

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        """What computes `forward` and the gradients in training (see :class:`.kernels.Kernel`); None where autograd
        does.  Asked when a plan is made, and again when shapes have changed.

        Args:
            run: of the net; its device counts.
            wants, learns: whether the gradient of each bottom, and of each weight, is wanted.
        """
        return None

    def held(self, run: Run) -> Mapping[int, torch.Tensor]:
        """The first values of tops, by position, that the net holds like those of Input layers: they are filled once,
        and change only where somebody writes to their blob.  `forward` gives None for them."""
        return {}

    def enter_phase(self, phase: int) -> None:
        """Compute as in TRAIN (0) or TEST (1) from now on."""
        self.phase = phase

    def close(self) -> None:
        """Release files and threads.  May be called twice."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Layer:
        """A layer of its own that goes on from where this one stands, and opens anew what this one has open."""
        twin = memo[id(self)] = copy(self)
        copied = {name: None if name in self.opened else deepcopy(value, memo) for name, value in vars(self).items()}
        vars(twin).update(copied)
        return twin

    def scratch(self, bottoms: Sequence[torch.Tensor], gradient: torch.Tensor) -> torch.Tensor | None:
        """What the original leaves in the `diff` of a first bottom that needs no gradient, `gradient` being that of the
        first top; None where it leaves that memory alone."""
        return None

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds of one forward pass, for `summary` (only matrix work is counted)."""
        return 0


layers: Registry[type[Layer]] = Registry("layer type", "caffelite.layers")


def layer(name: str, dialect: str = "") -> Any:
    """Class decorator: the layer type called `name` in a prototxt; or what a fork of the original means by that name
    (`dialect`; see :mod:`caffelite.dialects`), in a file called after both: "BN" of "SegNet" is in `bn_segnet.py`."""

    def enter(cls: type[Layer]) -> type[Layer]:
        cls.type, cls.dialect = name, dialect
        return layers.register(f"{name}@{dialect}" if dialect else name)(cls)

    return enter


def kind_of(param: Any) -> type[Layer] | None:
    """The layer type a LayerParameter asks for, by its `type` and, if it has one, its `dialect`."""
    dialect = param.dialect if layers.get(param.type) is None else ""
    return layers.get(f"{param.type}@{dialect}" if dialect else param.type)
