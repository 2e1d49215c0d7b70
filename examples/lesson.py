"""What each example begins with: a folder for what it makes, handwritten digits, and pictures.

As a script an example takes --quick, --out FOLDER and --data FOLDER; in a notebook it goes by the defaults.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import lmdb
import matplotlib.pyplot as plt
import numpy as np
from google.protobuf import text_format
from matplotlib.figure import Figure

import caffelite as caffe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
IN_NOTEBOOK = "ipykernel" in sys.modules

if not IN_NOTEBOOK:
    plt.switch_backend("Agg")  # draws into files and needs no screen
plt.rcParams.update(
    {
        "image.cmap": "gray",
        "image.interpolation": "nearest",
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.12,
    }
)


@dataclass
class Digits:
    """Two databases of 28×28 digits, 0 (black) to 255 (white), and how many there are in each."""

    name: str
    train: str
    test: str
    train_count: int
    test_count: int


class Lesson:
    """An example as it runs.

    Attributes:
        quick: whether to train less, so that an impatient person or a test sees the whole of it.
        out: the folder for everything it makes.
    """

    def __init__(self, name: str) -> None:
        command = argparse.ArgumentParser()
        command.add_argument("--quick", action="store_true", help="train less: worse results, sooner")
        command.add_argument("--out", type=Path, default=HERE / "out", help="where pictures and files go")
        command.add_argument("--data", type=Path, default=ROOT / "data" / "mnist", help="where the digits are kept")
        given = command.parse_args([] if IN_NOTEBOOK else None)
        self.quick, self.data = given.quick, given.data.resolve()
        self.out = given.out.resolve() / name
        self.out.mkdir(parents=True, exist_ok=True)

    def steps(self, usual: int, quick: int) -> int:
        """How many iterations to train."""
        return quick if self.quick else usual

    def write(self, name: str, message: object) -> str:
        """Write a net or a solver as prototxt; gives its path."""
        path = self.out / name
        path.write_text(str(message), encoding="utf-8")
        return str(path)

    def picture(self, figure: Figure, name: str) -> None:
        """Save a picture; in a notebook it is shown as well."""
        path = self.out / f"{name}.png"
        figure.savefig(path)
        if not IN_NOTEBOOK:
            plt.close(figure)
        print(f"picture: {path}")

    def redraw(self, figure: Figure, name: str) -> None:
        """Draw a picture that changes while the example runs: in a notebook in place of the last one."""
        figure.savefig(self.out / f"{name}.png")
        if IN_NOTEBOOK:
            from IPython import display

            display.clear_output(wait=True)
            display.display(figure)
        plt.close(figure)

    def digits(self) -> Digits:
        """MNIST; where it cannot be had, the 1797 digits that come with scikit-learn."""
        found = self._found()
        if found is None:
            make = [sys.executable, "-m", "caffelite", "data", "mnist", str(self.data), "--or-digits"]
            subprocess.run(make, check=True)
            found = self._found()
        assert found is not None
        print(f"data: {found.name}, {found.train_count} digits to learn from, {found.test_count} to test with")
        return found

    def _found(self) -> Digits | None:
        for name in ("mnist", "digits"):
            paths = [self.data / f"{name}_{part}_lmdb" for part in ("train", "test")]
            if all(path.is_dir() for path in paths):
                train, test = map(str, paths)
                return Digits(name, train, test, count(train), count(test))
        return None


def count(database: str) -> int:
    """How many records a database holds."""
    with lmdb.open(database, readonly=True, lock=False) as opened:
        return opened.stat()["entries"]


def read(database: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a database, N×1×28×28 of 0 to 255, and their labels, N.

    What a Data layer reads: records under ascending keys, each a Datum (an image and its label) in protobuf's form.
    """
    images, labels = [], []
    with lmdb.open(database, readonly=True, lock=False) as opened, opened.begin() as reading:
        for _, record in reading.cursor():
            datum = caffe.proto.caffe_pb2.Datum.FromString(record)
            images.append(caffe.io.datum_to_array(datum))
            labels.append(datum.label)
            if len(images) == most:
                break
    return np.stack(images), np.array(labels)


def train_lenet(lesson: Lesson, digits: Digits, iterations: int) -> str:
    """Train LeNet as models/mnist has it, with Adam, for a moment; gives the path of its weights.

    01_learning_lenet.py does it step by step.
    """
    pb = caffe.proto.caffe_pb2
    text = (ROOT / "models" / "mnist" / "lenet_train_test.prototxt").read_text(encoding="utf-8")
    net = text_format.Parse(text, pb.NetParameter())
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source = digits.train if layer.include[0].phase == caffe.TRAIN else digits.test
    settings = pb.SolverParameter(
        net=lesson.write("lenet_train_test.prototxt", net),
        test_iter=[min(digits.test_count // 100, 10)],
        test_interval=iterations,
        test_initialization=False,
        type="Adam",
        base_lr=0.001,
        momentum=0.9,
        lr_policy="fixed",
        max_iter=iterations,
        snapshot_prefix=str(lesson.out / "lenet"),
        random_seed=1,
    )
    solver = caffe.get_solver(lesson.write("lenet_solver.prototxt", settings))
    solver.solve()  # to max_iter, then it writes what it learned
    return f"{settings.snapshot_prefix}_iter_{iterations}.caffemodel"


def mosaic(pictures: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """N×H×W pictures as one, row by row, each on a scale of its own from 0 (its least value) to 1."""
    _, height, width = pictures.shape
    rows = -(-len(pictures) // columns)
    least, most = (bound(pictures, axis=(1, 2), keepdims=True) for bound in (np.min, np.max))
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap))
    for number, picture in enumerate((pictures - least) / np.maximum(most - least, 1e-9)):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
