"""Curves of a run: loss, test outputs and rate, against iterations or seconds, from either form of log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DataError, Fault
from ..logs.parse import Timed, read
from ..logs.records import Displayed, LastLoss, Solving, Tested

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Against = Literal["iterations", "seconds"]


@dataclass(slots=True)
class Curve:
    """Points of one curve."""

    xs: list[float] = field(default_factory=list)
    ys: list[float] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """One point more."""
        self.xs.append(x)
        self.ys.append(y)


@dataclass(slots=True)
class Curves:
    """The curves of one log.

    Attributes:
        loss: the smoothed train loss; rate: the learning rate.
        tests: by output name, "#1" appended for further test nets; `losses` names those that are losses.
    """

    name: str
    loss: Curve = field(default_factory=Curve)
    rate: Curve = field(default_factory=Curve)
    tests: dict[str, Curve] = field(default_factory=dict)
    losses: set[str] = field(default_factory=set)


def _followed(log: Iterable[Timed]) -> list[tuple[float, Displayed | LastLoss | Tested]]:
    """(seconds of training, record) along the way that the run went in the end.

    Where it went on from a snapshot, what it had done beyond that before is left out, and so is the time between.
    """
    kept: dict[tuple[int, int], tuple[float, Displayed | LastLoss | Tested]] = {}
    pause = 0.0
    for timed in log:
        record = timed.record
        if isinstance(record, Solving):
            kept = {key: entry for key, entry in kept.items() if entry[1].iteration <= record.iteration}
            pause = timed.seconds - max((seconds for seconds, _ in kept.values()), default=0.0)
        elif isinstance(record, Displayed | LastLoss | Tested):
            key = (record.net if isinstance(record, Tested) else -1, record.iteration)
            kept.pop(key, None)  # said again after resuming: it belongs behind what was said before
            kept[key] = (timed.seconds - pause, record)
    return list(kept.values())


def curves(name: str, log: Iterable[Timed], against: Against = "iterations") -> Curves:
    """The curves in the records of a log; of a resumed run those it ended with, without gaps in time."""
    result = Curves(name)
    for seconds, record in _followed(log):
        x = record.iteration if against == "iterations" else seconds
        if isinstance(record, Tested):
            for output in record.outputs:
                key = output.name if record.net == 0 else f"{output.name} #{record.net}"
                result.tests.setdefault(key, Curve()).add(x, output.value)
                if output.weight:
                    result.losses.add(key)
            continue
        result.loss.add(x, record.loss)
        if isinstance(record, Displayed):
            result.rate.add(x, record.rate)
    return result


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise DataError(
            Fault("plotting needs matplotlib, which is not installed", help="pip install 'caffelite[plot]'")
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _marker(curve: Curve) -> str | None:
    """A lone point has no line to be seen by."""
    return "o" if len(curve.xs) == 1 else None


def _label(curve: str, log: Curves, several: bool) -> str:
    return f"{log.name}: {curve}" if several else curve


def _draw_loss(axes: Axes, logs: Sequence[Curves], logarithmic: bool) -> None:
    for number, log in enumerate(logs):
        colour = f"C{number}"
        several = len(logs) > 1
        axes.plot(
            log.loss.xs, log.loss.ys, color=colour, linewidth=1.2, marker=_marker(log.loss),
            markersize=3, label=_label("train loss", log, several),
        )  # fmt: skip
        for dash, key in enumerate(sorted(log.losses)):
            curve = log.tests[key]
            axes.plot(
                curve.xs, curve.ys, color=colour, alpha=0.75, linestyle=["--", ":", "-."][dash % 3], marker="o",
                markersize=3, label=_label(f"test {key}", log, several),
            )  # fmt: skip
    if logarithmic:
        axes.set_yscale("log")
    axes.set_ylabel("loss")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _draw_scores(axes: Axes, logs: Sequence[Curves]) -> None:
    number = 0
    for log in logs:
        for key, curve in log.tests.items():
            if key in log.losses:
                continue
            last = f" ({curve.ys[-1]:.4g} at the end)"
            axes.plot(
                curve.xs, curve.ys, color=f"C{number}", marker="o", markersize=3,
                label=_label(f"test {key}", log, len(logs) > 1) + last,
            )  # fmt: skip
            number += 1
    axes.set_ylabel("test outputs")
    axes.legend()


def _draw_rate(axes: Axes, logs: Sequence[Curves]) -> None:
    for number, log in enumerate(logs):
        axes.plot(
            log.rate.xs, log.rate.ys, color=f"C{number}", linewidth=1.2, drawstyle="steps-post",
            marker=_marker(log.rate), markersize=3, label=log.name,
        )  # fmt: skip
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    if len(logs) > 1:
        axes.legend()


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell the logs apart: of a run folder its own name, not log.jsonl; the path where names agree."""
    short = [path.parent.name or path.name if path.name == "log.jsonl" else path.name for path in paths]
    return [str(path) if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]


def plot(
    logs: Sequence[Path], out: Path, against: Against = "iterations", *, title: str = "", logarithmic: bool = False
) -> Path:
    """Draw the curves of one or several logs one below the other: loss, test outputs, rate.

    Args:
        logs: text logs (ours or the original's), JSON lines, or run folders.
        out: the picture; its ending says which kind (.png, .svg, .pdf).
        against: what the horizontal axis counts.
        logarithmic: draw the loss on a logarithmic axis.

    Returns:
        `out`.

    Raises:
        DataError: a log cannot be read or shows no loss and no test, matplotlib is missing or does not know the
            ending, or the picture cannot be written.
    """
    found = [curves(name, read(path), against) for name, path in zip(_names(logs), logs, strict=True)]
    for path, log in zip(logs, found, strict=True):
        if not log.loss.xs and not log.tests:
            raise DataError(Fault(f'"{path}" shows neither a loss nor a test', help="set display in the solver"))
    pyplot = _pyplot()
    scored = any(log.tests.keys() - log.losses for log in found)
    rows = 3 if scored else 2
    figure, axes = pyplot.subplots(rows, 1, sharex=True, figsize=(9, 3 * rows), layout="constrained")
    try:
        _draw_loss(axes[0], found, logarithmic)
        if scored:
            _draw_scores(axes[1], found)
        _draw_rate(axes[-1], found)
        for one in axes:
            one.grid(alpha=0.3)
            one.spines[["top", "right"]].set_visible(False)
        if against == "iterations":
            axes[-1].xaxis.get_major_locator().set_params(integer=True)
        axes[-1].set_xlabel("iteration" if against == "iterations" else "seconds of training")
        figure.suptitle(title or ", ".join(log.name for log in found))
        figure.savefig(out, dpi=120)
    except ValueError as error:  # matplotlib: an ending it has no writer for
        raise DataError(Fault(f'cannot draw "{out}": {error}')) from error
    except OSError as error:
        raise DataError(Fault(f'cannot write "{out}": {error.strerror or error}')) from error
    finally:
        pyplot.close(figure)
    return out
