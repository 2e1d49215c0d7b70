"""`caffelite compare`: a net's blobs against values recorded elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ._kit import (
    PHASES,
    described,
    file_options,
    gpu_numbers,
    gpu_option,
    log_options,
    open_log,
    parts,
    python_option,
    state_options,
)

if TYPE_CHECKING:
    from ..tools.compare import BlobChange


@described(
    "compare",
    "run a net on recorded inputs, and compare blob by blob with what was recorded elsewhere",
    [
        "caffelite compare deploy.prototxt net.caffemodel dump.npz",
        "caffelite compare deploy.prototxt net.caffemodel dump.h5 --rtol 1e-3",
    ],
    notes="DUMP is an .npz or HDF5 file of arrays under the names of blobs: the inputs, and whatever else is to be "
    'compared.  The original\'s Python module makes one so: numpy.savez("dump.npz", **{k: b.data for k, b in '
    "net.blobs.items()}).  A data layer whose tops are recorded gives them.  A blob is close if no value differs by "
    "more than atol + rtol × its largest recorded magnitude.  The first layer whose blob is not close is named, and "
    "the status is 1 then.",
)
@click.argument("net")
@click.argument("weights")
@click.argument("dump")
@click.option("--phase", default="TEST", show_default=True, metavar="TRAIN|TEST", help="Phase of the net.")
@click.option("--rtol", type=click.FloatRange(0), default=1e-4, show_default=True, help="Relative tolerance.")
@click.option("--atol", type=click.FloatRange(0), default=1e-6, show_default=True, help="Absolute tolerance.")
@state_options
@file_options
@python_option
@gpu_option
@log_options
def command(
    net: str, weights: str, dump: str, phase: str, rtol: float, atol: float, level: int, stage: str,
    sets: tuple[str, ...], strict: bool, allow_python: bool, gpu: str | None,
) -> int:  # fmt: skip
    if phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    with open_log() as log:
        from ..assembly import NetFile, build_graph, read_net
        from ..graph import state_of
        from ..graph.filtering import filter_net
        from ..net import Net
        from ..runtime import device
        from ..tools.compare import compare, fed_by, read_record
        from ._weights import tell

        record = read_record(dump)
        file = read_net(net, strict=strict, sets=sets, allow_python=allow_python)
        state = state_of(file.message, PHASES[phase], level, ["", *parts(stage)])
        kept, _, _ = filter_net(file.message, state, file.places)
        graph = build_graph(NetFile(fed_by(kept, record), allow_python=allow_python), state)
        for fault in (*file.warnings, *graph.warnings):
            log.warn(fault)
        where, _ = device.choose(gpu_numbers(gpu), wants_gpu=False)
        made = Net(graph, where, 0, observed=True)
        try:
            for path in parts(weights):
                tell(path, made.load_weights(path), log, exceptions_only=True)
            changes = compare(made, record, rtol, atol)
        finally:
            made.close()
    return _report(changes, sorted(set(record) - {change.blob for change in changes}))


def _report(changes: list[BlobChange], strangers: list[str]) -> int:
    from ..tools.differences import by

    rows = [("blob", "made by", "shape", "largest difference", "at", "relative", "")]
    for change in changes:
        if change.fed:
            rows.append((change.blob, change.layer, by(change.shape), "", "", "", "input"))
        elif change.largest == float("inf") and not change.at:
            sizes = f"{by(change.shape)}, recorded {by(change.recorded)}"
            rows.append((change.blob, f"{change.layer} ({change.type})", sizes, "", "", "", "OTHER SHAPE"))
        else:
            said = "equal" if change.largest == 0 else "close" if change.close else "DIFFERENT"
            numbers = (f"{change.largest:.6g}", by(change.at), f"{change.relative:.3g}")
            rows.append((change.blob, f"{change.layer} ({change.type})", by(change.shape), *numbers, said))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if strangers:
        click.echo(f"\nrecorded, but no blob of the net: {', '.join(strangers)}")
    bad = [change for change in changes if not change.close and not change.fed]
    if not bad:
        click.echo("\nall blobs that are recorded are close")
        return 0
    first = bad[0]
    click.echo(f'\n{len(bad)} blobs differ; the first is "{first.blob}", made by layer "{first.layer}" ({first.type})')
    return 1
