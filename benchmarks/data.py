"""How fast data layers feed a net, with the files out of memory (cold) and in it (warm).

    python -m benchmarks.data

- MNIST from its LMDB at batch 64: batches a second, in the first epoch and later, against the iterations a second of
  LeNet's training;
- raw images of 256×256×3 in an LMDB, with crop 227, mirror and a mean file: images a second, every one read anew;
- JPEG files of 500×375 through ImageData with the same transformation: images a second, against what Pillow decodes of
  the same files in as many threads, doing nothing with them.

A file is made cold by telling the system that it is not needed any more (POSIX_FADV_DONTNEED).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format
from PIL import Image

from caffelite.layerkit import Run, layers
from caffelite.proto import TRAIN, BlobProto, LayerParameter
from caffelite.tools.writers import write_images

from .cases import LENET
from .harness import cpu
from .sources import mnist_databases
from .work import Files

BATCH, RAW, JPEGS = 64, 2048, 384
SEED = 1


def make_cold(*files: Path) -> None:
    """Have the system forget the content of these files."""
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def layer_of(text: str) -> Any:
    """A set-up data layer in the TRAIN phase."""
    param = text_format.Parse(text, LayerParameter())
    made = layers[param.type](param, TRAIN)
    made.setup([])
    made.raise_faults()
    made.shapes([])
    return made


def rate(text: str, batches: int, batch: int) -> float:
    """Images a second over the first so many batches of a fresh layer, opening included."""
    start = time.perf_counter()
    made, run = layer_of(text), Run(torch.device("cpu"), SEED)
    for _ in range(batches):
        made.forward(run, [], [])
    seconds = time.perf_counter() - start
    made.close()
    return batches * batch / seconds


def steady_rate(text: str, before: int, batches: int, batch: int) -> float:
    """Images a second of the batches after the first `before`: as many wait loaded at the end as did at the start."""
    made, run = layer_of(text), Run(torch.device("cpu"), SEED)
    for _ in range(before):
        made.forward(run, [], [])
    start = time.perf_counter()
    for _ in range(batches):
        made.forward(run, [], [])
    seconds = time.perf_counter() - start
    made.close()
    return batches * batch / seconds


def picture(chance: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Something like a photograph: smooth shapes, and some noise."""
    coarse = chance.integers(0, 256, (height // 25, width // 25, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return (smooth + chance.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def mean_file(folder: Path, shape: tuple[int, int, int]) -> Path:
    """A mean image of this shape."""
    values = np.random.default_rng(0).uniform(90, 130, shape).astype(np.float32)
    blob = BlobProto(num=1, channels=shape[0], height=shape[1], width=shape[2], data=values.ravel().tolist())
    path = folder / f"mean_{shape[1]}.binaryproto"
    path.write_bytes(blob.SerializeToString())
    return path


def mnist(folder: Path, seconds: float) -> dict[str, float]:
    """Batches a second of the first epoch (cold, warm) and of a later one, and LeNet's iterations a second."""
    source, _ = mnist_databases(folder)
    files = Files(LENET[BATCH], folder)
    solver = files.make_solver(files.net())
    solver.step(50)
    rates = []
    for _ in range(3):
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            solver.step(50)
            done += 50
        rates.append(done / (time.perf_counter() - start))
    solver.close()
    text = (
        f'name: "mnist" type: "Data" top: "data" top: "label" transform_param {{ scale: 0.00390625 }} '
        f'data_param {{ source: "{source}" batch_size: {BATCH} }}'
    )
    epoch = 60000 // BATCH
    rate(text, 10, 1)
    found = {"LeNet training, iterations/s": statistics.median(rates)}
    for name in ("cold", "warm"):
        if name == "cold":
            make_cold(source / "data.mdb")
        found[f"first epoch, {name}, batches/s"] = rate(text, epoch, 1)
    found["later epochs, batches/s"] = steady_rate(text, 2 * epoch, epoch, 1)
    for name in list(found)[1:]:
        found[f"{name.removesuffix(', batches/s')}: times LeNet"] = found[name] / statistics.median(rates)
    return found


def raw(folder: Path) -> dict[str, float]:
    """Images a second of a raw LMDB that is read anew in every epoch."""
    images = np.random.default_rng(1).integers(0, 256, (RAW, 3, 256, 256), dtype=np.uint8)
    source = folder / "raw_lmdb"
    write_images(source, images, [index % 1000 for index in range(RAW)])
    text = (
        f'name: "raw" type: "Data" top: "data" top: "label" transform_param {{ crop_size: 227 mirror: true '
        f'mean_file: "{mean_file(folder, (3, 256, 256))}" }} '
        f'data_param {{ source: "{source}" batch_size: 64 cache_mib: 0 }}'
    )
    found = {}
    rate(text, 2, 64)  # libraries are loaded, and everything else is set up that is done once a process
    for name in ("cold", "warm", "warm again"):
        if name == "cold":
            make_cold(source / "data.mdb")
        found[f"{name}, images/s"] = rate(text, RAW // 64, 64)
    return found


def jpeg(folder: Path, workers: int, rounds: int) -> dict[str, Any]:
    """Images a second of ImageData, of Pillow alone, and their ratio in neighbouring runs."""
    chance = np.random.default_rng(2)
    files = []
    for index in range(JPEGS):
        files.append(folder / f"{index:04}.jpg")
        Image.fromarray(picture(chance, 375, 500)).save(files[-1], quality=90)
    (folder / "list.txt").write_text("".join(f"{file} {index % 10}\n" for index, file in enumerate(files)))
    text = (
        f'name: "jpeg" type: "ImageData" top: "data" top: "label" transform_param {{ crop_size: 227 mirror: true '
        f"mean_value: 104 mean_value: 117 mean_value: 123 }} data_param {{ cache_mib: 0 workers: {workers} }} "
        f'image_data_param {{ source: "{folder}/list.txt" batch_size: 32 shuffle: true }}'
    )

    def ours() -> float:
        return steady_rate(text, 10, 2 * JPEGS // 32, 32)

    def pillow(pixels: bool) -> float:
        def decode(file: Path) -> object:
            with Image.open(BytesIO(file.read_bytes())) as image:
                return np.asarray(image) if pixels else image.load()

        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as threads:
            for _ in threads.map(decode, files * 2):
                pass
        return 2 * JPEGS / (time.perf_counter() - start)

    make_cold(*files)
    found: dict[str, Any] = {"ImageData, first epoch, cold, images/s": rate(text, JPEGS // 32, 32)}
    trios = [(ours(), pillow(True), pillow(False)) for _ in range(rounds)]
    names = ("ImageData", "Pillow, to arrays", "Pillow, decoding alone")
    for index, name in enumerate(names):
        found[f"{name}, warm, images/s"] = statistics.median(trio[index] for trio in trios)
    for index in (1, 2):
        ratios = sorted(trio[0] / trio[index] for trio in trios)
        found[f"ImageData is, of {names[index]}"] = (
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="of torch, and of ImageData")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of LeNet's training, three times")
    parser.add_argument("--only", choices=["mnist", "raw", "jpeg"])
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "mnist": lambda folder: mnist(folder, options.seconds),
        "raw": raw,
        "jpeg": lambda folder: jpeg(folder, options.threads, options.rounds),
    }
    print(f"{options.threads} threads, torch {torch.__version__}, {cpu()}")
    results = {}
    for name, part in parts.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                results[name] = part(Path(folder))
            print(name)
            for what, figure in results[name].items():
                print(f"  {what:<46} {figure if isinstance(figure, str) else format(figure, '10.1f')}")
    if options.json is not None:
        options.json.mkdir(parents=True, exist_ok=True)
        (options.json / "data.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
