"""`debug_info`: what is told about values and gradients as they pass, in the original's words.

Source: `Net::ForwardDebugInfo` and its siblings, src/caffe/net.cpp.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("caffelite")


def say(text: str, line: int, level: int = logging.INFO) -> None:
    """Log a line as the original's `line` of net.cpp does."""
    log.log(level, "    %s", text, extra={"source": f"net.cpp:{line}"})


def mean(tensor: Tensor | None) -> str:
    """The mean absolute value, as text."""
    if tensor is None or tensor.numel() == 0:
        return "0"
    return f"{float(tensor.detach().abs().sum() / tensor.numel()):.6g}"


def say_top(layer: str, blob: str, value: Tensor) -> None:
    """Tell what a forward gave."""
    say(f"[Forward] Layer {layer}, top blob {blob} data: {mean(value)}", 593)


def say_bottom(layer: str, blob: str, gradient: Tensor) -> None:
    """Tell what a backward gave."""
    say(f"[Backward] Layer {layer}, bottom blob {blob} diff: {mean(gradient)}", 621)
