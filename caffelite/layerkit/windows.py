"""Kernel, stride, pad and dilation: their spellings, and the sizes that follow from them.

Convolution spells them as repeated fields for any number of spatial axes, or as *_h and *_w for two; Pooling as one
number for both axes, or as *_h and *_w.  What the original takes for a contradiction is one here.  Sources:
src/caffe/layers/base_conv_layer.cpp, conv_layer.cpp, deconv_layer.cpp, pooling_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .base import Layer

WHOLE = {"kernel": "kernel_size", "stride": "stride", "pad": "pad", "dilation": "dilation"}
"""The field that speaks for every axis."""
UNSET = {"kernel": 1, "stride": 1, "pad": 0, "dilation": 1}
LEAST = {"kernel": 1, "stride": 1, "pad": 0, "dilation": 1}
SIDES = ("pad_t", "pad_l", "pad_b", "pad_r")
"""Padding of each side by itself, as forks spell it for Pooling."""

Sizes = tuple[int, ...]
"""A number per spatial axis."""


@dataclass(frozen=True, slots=True)
class Window:
    """How a window moves over the spatial axes."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes
    pad_behind: Sizes | None = None
    """Padding at the ends of the axes, where it is not that at their beginnings, `pad`."""

    @property
    def after(self) -> Sizes:
        """Padding at the ends of the axes."""
        return self.pad if self.pad_behind is None else self.pad_behind

    @property
    def reach(self) -> Sizes:
        """How many positions the window spans, holes included: dilation · (kernel − 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def convolved(sizes: Sequence[int], window: Window) -> Sizes:
    """(size + 2·pad − reach) / stride + 1 for every axis, the division rounding towards zero.

    Rounding towards zero means that a window may reach up to stride − 1 positions beyond the padded input; the
    original computes that one output as if the missing positions were zeros.
    """
    steps = [n + 2 * p - r for n, p, r in zip(sizes, window.pad, window.reach, strict=True)]
    return tuple((step // s if step > 0 else -(-step // s)) + 1 for step, s in zip(steps, window.stride, strict=True))


def deconvolved(sizes: Sequence[int], window: Window) -> Sizes:
    """stride · (size − 1) + reach − 2·pad for every axis: the size that a convolution with this window reduces to
    `sizes`."""
    moves = zip(sizes, window.stride, window.reach, window.pad, strict=True)
    return tuple(s * (n - 1) + r - 2 * p for n, s, r, p in moves)


def pooled(sizes: Sequence[int], window: Window, ceil: bool) -> Sizes:
    """(size + pad + pad − kernel) / stride + 1 for every axis, rounded up (`ceil`) or down.

    With padding on any axis a last window that would begin beyond the input and its leading padding is dropped;
    without, it stays, empty.
    """
    sides = zip(sizes, window.pad, window.after, window.kernel, strict=True)
    steps = [n + before + behind - k for n, before, behind, k in sides]
    counts = [(-(-step // s) if ceil else step // s) + 1 for step, s in zip(steps, window.stride, strict=True)]
    if any(window.pad) or any(window.after):
        edges = zip(counts, window.stride, sizes, window.pad, strict=True)
        counts = [count - ((count - 1) * s >= n + p) for count, s, n, p in edges]
    return tuple(counts)


def fitting(layer: Layer, sizes: Sequence[int], window: Window, counts: Sizes, field: str) -> Sizes:
    """`counts`, how many windows each axis of `sizes` has; notes a fault at `field` for an axis that has none."""
    for size, reach, pad, behind, count in zip(sizes, window.reach, window.pad, window.after, counts, strict=True):
        padded = f"pad {pad} on both sides" if pad == behind else f"pad {pad} before and {behind} behind it"
        larger = f"the kernel spans {reach}, more than the input of {size} with {padded}"
        layer.expect(count > 0, larger, field)
    return counts


# -- spellings ----------------------------------------------------------------------------------------------------


class _Spellings:
    """Reads one layer's settings.  A reading that notes a fault gives ones, so that the others can go on."""

    def __init__(self, layer: Layer, field: str, axes: int) -> None:
        self.layer = layer
        self.field = field
        self.settings = layer.settings(field)
        self.axes = axes
        self.ones = (1,) * axes

    def given(self, name: str) -> Sizes:
        """What the field holds: one number, or several, or none where it is not set, or the message has no such
        field."""
        value = getattr(self.settings, name, ())
        if isinstance(value, int):
            return (value,) if self.settings.HasField(name) else ()
        return tuple(value)

    def expect(self, ok: bool, message: str, name: str, help: str | None = None) -> bool:
        return self.layer.expect(ok, message, f"{self.field}.{name}" if name else self.field, help)

    def large_enough(self, what: str, value: int, spelling: str) -> bool:
        name = spelling.partition("[")[0]
        return self.expect(value >= LEAST[what], f"{what} must be positive, got {name}: {value}", spelling)

    def sizes(self, what: str, alone: bool = False) -> Sizes:
        """A setting in either spelling.  With `alone` one of *_h and *_w will do, and the other is zero."""
        whole = WHOLE[what]
        parts = [name for name in (f"{what}_h", f"{what}_w") if self.given(name)]
        if not parts:
            return self.spread(what)
        both = f"keep {whole} (every axis), or {what}_h and {what}_w (rows and columns), not both"
        if not self.expect(not self.given(whole), f"{whole} and {parts[0]} are both given", parts[0], both):
            return self.ones
        several = f"{parts[0]} is for 2 spatial axes, this input has {self.axes}"
        if not self.expect(self.axes == 2, several, parts[0], f"give {whole} once, or once for every spatial axis"):
            return self.ones
        return self.pair(what, alone)

    def pair(self, what: str, alone: bool) -> Sizes:
        """*_h and *_w."""
        names = (f"{what}_h", f"{what}_w")
        values = [self.given(name) for name in names]
        if not all(values) and not alone:
            there, missing = names if values[0] else names[::-1]
            self.expect(False, f"{there} is given without {missing}", there, f"give {names[0]} and {names[1]}")
            return self.ones
        pair = tuple(value[0] if value else 0 for value in values)
        fine = [self.large_enough(what, value, name) for value, name in zip(pair, names, strict=True)]
        return pair if all(fine) else self.ones

    def spread(self, what: str) -> Sizes:
        """A field that is not given, given once for every axis, or (repeated fields) once for each axis."""
        name = WHOLE[what]
        values = self.given(name)
        if not values:
            return (UNSET[what],) * self.axes
        counted = f"{name} is given {len(values)} times for {self.axes} spatial axes"
        if not self.expect(len(values) in (1, self.axes), counted, name, "give it once, or once for each of them"):
            return self.ones
        indexed = not isinstance(getattr(self.settings, name), int)
        spellings = [f"{name}[{at}]" if indexed else name for at in range(len(values))]
        fine = [self.large_enough(what, value, at) for value, at in zip(values, spellings, strict=True)]
        return (values if len(values) == self.axes else values * self.axes) if all(fine) else self.ones

    def dilation(self) -> Sizes:
        """`dilation`, or DeepLab's older words for it: `hole`, or `hole_h` and `hole_w`."""
        old = [name for name in ("hole", "hole_h", "hole_w") if self.given(name)]
        if not old:
            return self.spread("dilation")
        help = f"keep dilation; {old[0]} is DeepLab's older name of it"
        if not self.expect(not self.given("dilation"), f"dilation and {old[0]} are both given", old[0], help):
            return self.ones
        for name in old:
            value = self.given(name)[0]
            if not self.expect(value > 0, f"{name} must be positive, got {value}", name):
                return self.ones
        if old == ["hole"]:
            return self.given("hole") * self.axes
        both = old == ["hole_h", "hole_w"] and self.axes == 2
        help = "or hole: 2 for every axis"
        if not self.expect(both, "needs hole_h and hole_w, for 2 spatial axes", old[0], help):
            return self.ones
        return self.given("hole_h") + self.given("hole_w")

    def sides(self) -> tuple[Sizes, Sizes] | None:
        """Padding of each side by itself: above and left, below and right; None where no side has any."""
        pads = [sum(self.given(name)) for name in SIDES]
        if not any(pads):
            return None
        named = next(name for name, pad in zip(SIDES, pads, strict=True) if pad)
        for name in ("pad", "pad_h", "pad_w"):
            help = f"keep {name}, or {', '.join(SIDES)} (each side by itself), not both"
            self.expect(not self.given(name), f"{name} and {named} are both given", named, help)
        return tuple(pads[:2]), tuple(pads[2:])

    def kernel(self, help: str) -> Sizes:
        """The kernel, which has no default."""
        if not self.axes or any(self.given(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            return self.sizes("kernel")
        self.expect(False, "kernel_size is missing", "", help)
        return self.ones


def convolution_window(layer: Layer, axes: int, field: str = "convolution_param") -> Window:
    """The window of a ConvolutionParameter over `axes` spatial axes.

    Raises:
        LayerError: with all faults of the layer so far, these settings' included.
    """
    read = _Spellings(layer, field, axes)
    kernel = read.kernel("give kernel_size: 3, or kernel_h and kernel_w")
    window = Window(kernel, read.sizes("stride"), read.sizes("pad", alone=True), read.dilation())
    layer.raise_faults()
    return window


def spatial_window(layer: Layer, axes: int, field: str) -> Window | None:
    """The window of a PoolingNDParameter over `axes` spatial axes; None is global pooling, over all of them.

    Raises:
        LayerError: with all faults of the layer so far, these settings' included.
    """
    read = _Spellings(layer, field, axes)
    if read.settings.global_pooling:
        _only_plain(read)
        return None
    kernel = read.kernel("give kernel_size: 2, or one for every spatial axis, or global_pooling: true")
    window = Window(kernel, read.sizes("stride"), read.sizes("pad", alone=True), (1,) * axes)
    layer.raise_faults()
    for k, p in zip(window.kernel, window.pad, strict=True):
        read.expect(p < k, f"pad must be smaller than the kernel, {k}, got {p}", "pad")
    layer.raise_faults()
    return window


def pooling_window(layer: Layer, field: str = "pooling_param") -> Window | None:
    """The window of a PoolingParameter; None is global pooling, whose window is the whole image.

    Raises:
        LayerError: with all faults of the layer so far, these settings' included.
    """
    read = _Spellings(layer, field, 2)
    if read.settings.global_pooling:
        _only_plain(read)
        return None
    kernel = read.kernel("give kernel_size: 2, or kernel_h and kernel_w, or global_pooling: true")
    before, behind = read.sides() or (read.sizes("pad"), None)
    window = Window(kernel, read.sizes("stride"), before, (1, 1), behind)
    layer.raise_faults()
    pads = list(zip(("pad_h", "pad_w"), window.kernel, window.pad, strict=True))
    if behind is not None:
        pads = list(zip(SIDES, window.kernel * 2, (*before, *behind), strict=True))
    elif not read.given("pad_h"):
        pads = [("pad", min(window.kernel), window.pad[0])]
    for name, k, p in pads:
        read.expect(p < k, f"pad must be smaller than the kernel, {k}, got {name}: {p}", name)
    layer.raise_faults()
    return window


def _only_plain(read: _Spellings) -> None:
    """Global pooling takes no kernel, and no stride and pad but 1 and 0."""
    for name in ("kernel_size", "kernel_h", "kernel_w"):
        both = f"global_pooling: true and {name} are both given"
        read.expect(not read.given(name), both, name, "the window is the whole image: leave one of the two out")
    for what, sides in (("stride", ()), ("pad", SIDES)):
        for name in (what, f"{what}_h", f"{what}_w", *sides):
            value = read.given(name) or (UNSET[what],)
            rule = f"{what} must be {UNSET[what]} with global_pooling: true, got {name}: {value[0]}"
            read.expect(value[0] == UNSET[what], rule, name)
    read.sizes("stride")
    read.sizes("pad")
    read.layer.raise_faults()
