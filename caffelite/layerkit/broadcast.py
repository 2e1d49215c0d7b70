"""A smaller blob lined up with some axes of a larger one, and repeated along the others (Scale, Bias).

Sources: src/caffe/layers/scale_layer.cpp, bias_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence

from .base import Layer, Shape


def covered(layer: Layer, bottom: Shape, field: str) -> Shape:
    """The shape of a learned blob: `num_axes` axes of `bottom` (-1: all) from `axis` on, two settings of `field`.

    Notes a fault where there are not that many.

    Raises:
        LayerError: `axis` is no axis of `bottom`.
    """
    settings = layer.settings(field)
    first, count = layer.axis(settings.axis, len(bottom), f"{field}.axis"), settings.num_axes
    within = -1 <= count <= len(bottom) - first
    rule = f"must be at most {len(bottom) - first} from axis {first} of {bottom} on, or -1 for all"
    layer.require(within, f"{field}.num_axes", rule if count > 0 else "must not be negative, but for -1: all axes")
    return bottom[first:] if count < 0 else bottom[first : first + count]


def aligned(layer: Layer, bottoms: Sequence[Shape], field: str) -> Shape:
    """The second bottom's shape, or the first weight's, with ones behind it, so that it broadcasts over the first.

    Its first axis lines up with the setting `axis` of `field`; a scalar fits everywhere, whatever `axis` says.  Notes
    a fault unless the sizes agree.

    Raises:
        LayerError: `axis` is no axis of the first bottom.
    """
    given = len(bottoms) > 1
    larger, smaller = bottoms[0], bottoms[1] if given else layer.weights[0].shape
    if not smaller:
        return ()
    first = layer.axis(layer.settings(field).axis, len(larger), f"{field}.axis")
    fitting = [at for at in range(len(larger)) if larger[at : at + len(smaller)] == smaller]
    layer.expect(
        first in fitting,
        f"its {'second bottom' if given else 'weight'} of shape {smaller} does not fit its bottom of shape {larger} "
        f"from axis {first} on",
        "bottom[1]" if given else "bottom",
        help=f"with axis: {fitting[0]} it would" if fitting and given else None,
    )
    return smaller + (1,) * (len(larger) - first - len(smaller))
