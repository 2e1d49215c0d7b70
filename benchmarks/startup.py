"""How long commands take that compute nothing, Python's start included, beside Python alone.

python -m benchmarks.startup
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .harness import cpu

LAYER = """layer {{
  name: "conv{0}" type: "Convolution" bottom: "{1}" top: "conv{0}"
  param {{
    lr_mult: 1
    decay_mult: 1
  }}
  convolution_param {{
    num_output: 64
    kernel_size: 3
    pad: 1
    weight_filler {{
      type: "xavier"
    }}
  }}
}}
layer {{
  name: "relu{0}"
  type: "ReLU"
  bottom: "conv{0}"
  top: "conv{0}"
}}
"""
INPUT = 'layer { name: "in" type: "Input" top: "conv0" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }\n'


def net(layers: int) -> str:
    """A net of this many convolutions, each with its ReLU."""
    return INPUT + "".join(LAYER.format(index, f"conv{index - 1}") for index in range(1, layers + 1))


def seconds(*arguments: str) -> float:
    """How long a Python process with these arguments takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=144, help="convolutions of the net that is read")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    text = net(options.layers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text, encoding="utf-8")
        run = ("-m", "caffelite")
        commands = {
            "Python alone": ("-c", "pass"),
            "train --help": (*run, "train", "--help"),
            f"check, {text.count(chr(10))} lines": (*run, "check", str(path)),
            f"summary, {text.count(chr(10))} lines": (*run, "summary", str(path)),
        }
        taken = {name: [seconds(*command) for _ in range(options.rounds)] for name, command in commands.items()}
    print(f"start-up, {cpu()}")
    for name, times in taken.items():
        print(f"  {name:<24} {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
