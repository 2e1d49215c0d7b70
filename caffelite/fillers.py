"""First values of weights: the seven fillers of the original (include/caffe/filler.hpp), and some of its forks'.

A filler's fans are counted as the original counts them, whatever the layer means by its axes: fan-in is
count / shape[0] and fan-out is count / shape[1] (the whole count for a vector).  A transposed InnerProduct and a
Deconvolution therefore get each other's fans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import dialects
from .errors import Fault, LayerError, did_you_mean
from .registry import Registry

Shape = tuple[int, ...]
Draw: TypeAlias = "Callable[[Any, Shape, np.random.Generator], NDArray[np.float32]]"  # asked for, numpy.random loads
Rule = Callable[[Any, Shape], "tuple[str, str] | None"]
"""Looks at a FillerParameter and the shape to fill; what is wrong as (field, message), or None."""


@dataclass(frozen=True, slots=True)
class Filler:
    """How a type of filler draws its values, and what it asks of its settings.

    Attributes:
        once: whether what is filled again and again (DummyData's tops) keeps its first values.
    """

    draw: Draw
    rules: tuple[Rule, ...]
    once: bool = False


fillers: Registry[Filler] = Registry("filler")


def filler(name: str, *rules: Rule) -> Callable[[Draw], Draw]:
    """Decorator: the function draws the values of the filler called `name` in a prototxt."""

    def enter(draw: Draw) -> Draw:
        fillers.register(name)(Filler(draw, (_not_empty, *rules), once=name == "constant"))
        return draw

    return enter


def faults(settings: Any, shape: Shape) -> Iterator[Fault]:
    """What is wrong with a FillerParameter (None: not given) that is to fill `shape`.

    A message begins with the field it is about; the faults carry no place and no layer.
    """
    if settings is None:
        return
    entry = fillers.get(settings.type)
    if entry is None:
        foreign = dialects.value("FillerParameter.type", settings.type)
        if foreign is not None:
            what = f'type "{settings.type}" is not built here; it comes from {foreign}'
            yield Fault(what, help=foreign.instead, code="CL307")
            return
        known = fillers.names()
        help = did_you_mean(settings.type, known) or fillers.known()
        yield Fault(f'type names no filler, got "{settings.type}"', help=help, code="CL307")
        return
    for rule in entry.rules:
        wrong = rule(settings, shape)
        if wrong is not None:
            field, message = wrong
            yield Fault(f"{field} {message}", code="CL307")


def fill(settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """The first values of a weight.

    Args:
        settings: a FillerParameter, a function of the generator, or None for zeros.  A FillerParameter without a type
            is `constant`, as in the original.
        shape: of the weight.
        generator: drawn from by the random fillers only.

    Raises:
        LayerError: an unknown type, or settings the type cannot serve; see `faults`.
    """
    if settings is None:
        return np.zeros(shape, np.float32)
    if callable(settings):
        return np.asarray(settings(generator), np.float32)
    wrong = list(faults(settings, shape))
    if wrong:
        raise LayerError(wrong)
    return fillers[settings.type].draw(settings, shape, generator)


# -- rules --------------------------------------------------------------------------------------------------------


def _not_empty(_settings: Any, shape: Shape) -> tuple[str, str] | None:
    return None if math.prod(shape) else ("type", f"cannot fill a shape without elements, got {shape}")


def _dense(settings: Any, _shape: Shape) -> tuple[str, str] | None:
    if settings.sparse == -1:
        return None
    return "sparse", f'is for the gaussian filler only, got {settings.sparse} with type "{settings.type}"'


def _has_axes(settings: Any, shape: Shape) -> tuple[str, str] | None:
    return None if shape else ("type", f'"{settings.type}" needs a weight with at least one axis, this one is a scalar')


def _sparse(settings: Any, shape: Shape) -> tuple[str, str] | None:
    if settings.sparse == -1:
        return None
    if not shape:
        return "sparse", f"is for weights with at least one axis, this one is a scalar, got {settings.sparse}"
    if 0 <= settings.sparse <= shape[0]:
        return None
    return "sparse", f"must be from 0 to the weight's first axis, {shape[0]}, or -1 for dense, got {settings.sparse}"


def _ordered(settings: Any, _shape: Shape) -> tuple[str, str] | None:
    if settings.min <= settings.max:
        return None
    return "min", f"must not be above max, got {settings.min:g} above {settings.max:g}"


def _spread(settings: Any, _shape: Shape) -> tuple[str, str] | None:
    return None if settings.std > 0 else ("std", f"must be positive, got {settings.std:g}")


def _squared(_settings: Any, shape: Shape) -> tuple[str, str] | None:
    if len(shape) >= 2 and shape[0] == shape[1] and set(shape[2:]) <= {1}:
        return None
    return "type", f'"identity" fills square weights, with kernels of 1 if any, this weight is {shape}'


def _has_planes(_settings: Any, shape: Shape) -> tuple[str, str] | None:
    return None if len(shape) >= 2 else ("type", f'"diagonal" needs a weight with at least two axes, got {shape}')


def _square_planes(_settings: Any, shape: Shape) -> tuple[str, str] | None:
    if len(shape) == 4 and shape[2] == shape[3]:
        return None
    return "type", f'"bilinear" fills square kernels of 4-d weights, this weight is {shape}'


# -- types --------------------------------------------------------------------------------------------------------


def fan(settings: Any, shape: Shape) -> float:
    """The fan `variance_norm` asks for: FAN_IN, FAN_OUT, or the AVERAGE of both."""
    count = math.prod(shape)
    fan_in = count // shape[0]
    fan_out = count // shape[1] if len(shape) > 1 else count
    norms = type(settings)
    if settings.variance_norm == norms.FAN_OUT:
        return fan_out
    return (fan_in + fan_out) / 2 if settings.variance_norm == norms.AVERAGE else fan_in


def _uniform(low: float, high: float, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    values = generator.random(shape, np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


def _normal(mean: float, std: float, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    values = generator.standard_normal(shape, np.float32)
    values *= np.float32(std)
    values += np.float32(mean)
    return values


@filler("constant", _dense)
def constant(settings: Any, shape: Shape, _generator: np.random.Generator) -> NDArray[np.float32]:
    """`value` everywhere."""
    return np.full(shape, settings.value, np.float32)


@filler("uniform", _dense, _ordered)
def uniform(settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """U(`min`, `max`)."""
    return _uniform(settings.min, settings.max, shape, generator)


@filler("gaussian", _spread, _sparse)
def gaussian(settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """N(`mean`, `std`²); with `sparse` each weight is kept with probability sparse / shape[0], else it is zero."""
    values = _normal(settings.mean, settings.std, shape, generator)
    if settings.sparse >= 0:
        values *= generator.random(shape) < settings.sparse / shape[0]
    return values


@filler("positive_unitball", _dense, _has_axes)
def positive_unitball(_settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """U(0, 1), each slice along the first axis divided by its sum."""
    values = generator.random(shape, np.float32)
    values /= values.sum(axis=tuple(range(1, len(shape))), keepdims=True)
    return values


@filler("xavier", _dense, _has_axes)
def xavier(settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """U(−a, a), a = √(3 / fan).  Glorot and Bengio, 2010."""
    bound = math.sqrt(3 / fan(settings, shape))
    return _uniform(-bound, bound, shape, generator)


@filler("msra", _dense, _has_axes)
def msra(settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """N(0, 2 / fan).  He, Zhang, Ren and Sun, 2015.

    Forks: the variance is divided by 1 + a², a being the leak that `alpha` (happynear/caffe-windows) or
    `negative_slope` (ChenglongChen/caffe-windows) tells, and the deviation multiplied by `scale` (intel/caffe).
    """
    leak = settings.alpha or settings.negative_slope
    deviation = settings.scale * math.sqrt(2 / fan(settings, shape) / (1 + leak * leak))
    return _normal(0, deviation, shape, generator)


@filler("bilinear", _dense, _square_planes)
def bilinear(_settings: Any, shape: Shape, _generator: np.random.Generator) -> NDArray[np.float32]:
    """The same tent in every plane: what a Deconvolution needs to enlarge images by bilinear interpolation.

    With f = ⌈k/2⌉ and c = (k − 1) / 2f the tap i of a side is 1 − |i/f − c|.
    """
    side = shape[-1]
    factor = math.ceil(side / 2)
    tent = 1 - np.abs(np.arange(side) / factor - (side - 1) / (2 * factor))
    return np.ascontiguousarray(np.broadcast_to(np.outer(tent, tent), shape), np.float32)


@filler("identity", _dense, _squared)
def identity(_settings: Any, shape: Shape, _generator: np.random.Generator) -> NDArray[np.float32]:
    """1 from each input to the output of the same number, else 0.  Of happynear/caffe-windows."""
    return np.eye(shape[0], dtype=np.float32).reshape(shape)


@filler("gaussian_unitball", _dense, _has_axes)
def gaussian_unitball(_settings: Any, shape: Shape, generator: np.random.Generator) -> NDArray[np.float32]:
    """N(0, 1), each slice along the first axis then brought to length 1.  Of happynear/caffe-windows."""
    values = generator.standard_normal(shape, np.float32)
    values /= np.sqrt((values * values).sum(axis=tuple(range(1, len(shape))), keepdims=True) + np.float32(1e-12))
    return values


@filler("diagonal", _dense, _has_planes)
def diagonal(settings: Any, shape: Shape, _generator: np.random.Generator) -> NDArray[np.float32]:
    """The kernel from each channel to the output of the same number sums to diag_val of that number, or to 1 where
    none is given, all its values alike; all others are 0.  Of lmb-freiburg/flownet2."""
    values, area = np.zeros(shape, np.float32), math.prod(shape[2:])
    for number in range(min(shape[:2])):
        given = settings.diag_val[number] if number < len(settings.diag_val) else 1
        values[number, number] = given / area
    return values


for _name in ("gaussian", "positive_unitball", "uniform", "xavier", "msra", "bilinear"):
    # NVIDIA/caffe's draw the same, and keep it where the others draw anew.
    fillers.register(f"{_name}static")(Filler(fillers[_name].draw, fillers[_name].rules, once=True))
