"""`caffelite device-query`: what there is to compute on."""

from __future__ import annotations

import click

from ._kit import described, gpu_numbers, gpu_option, log_options, open_log


@described(
    "device-query",
    "show the GPUs (or the CPU) that training would run on",
    ["caffelite device-query", "caffelite device-query --gpu 0", "caffelite device_query -gpu all"],
)
@gpu_option
@log_options
def command(gpu: str | None) -> None:
    import torch

    from ..runtime import device

    wanted = gpu_numbers(gpu)
    with open_log() as log:
        log.note(f"Querying GPUs {gpu or ''}".rstrip(), "caffe.cpp:138")
        if wanted is not None and wanted != [-1]:
            for number in wanted:
                device.choose([number], wants_gpu=True)  # says which of them is not there
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if wanted is None or wanted == [-1]:
            wanted = list(range(count))
        if not wanted:
            threads = torch.get_num_threads()
            click.echo(
                f"no CUDA device; the CPU computes with {threads} thread{'s' * (threads != 1)} "
                f"(PyTorch {torch.__version__})"
            )
        for number in wanted:
            _show(number)


def _show(number: int) -> None:
    import torch

    about = torch.cuda.get_device_properties(number)
    free, total = torch.cuda.mem_get_info(number)
    rows = {
        "Device id": number,
        "Name": about.name,
        "Compute capability": f"{about.major}.{about.minor}",
        "Multiprocessors": about.multi_processor_count,
        "Memory": f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free",
        "CUDA of PyTorch": torch.version.cuda,
    }
    for name, value in rows.items():
        click.echo(f"{name + ':':<22}{value}")
