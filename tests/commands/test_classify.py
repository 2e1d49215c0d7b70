"""`caffelite classify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite.commands import perform
from caffelite.data.resize import resize
from caffelite.pycaffe import state
from tests.commands.conftest import Done
from tests.pycaffe.mean_nets import SOFTMAX, write_image, write_net

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
MEANS = resize(np.ascontiguousarray(RGB[..., ::-1].transpose(2, 0, 1)), 4, 4).mean((1, 2))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image, labels, and two nets with weights: "plain", and "soft" with Softmax at its end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(state, "_state", state._State())  # what --gpu sets is the process's
    write_image(tmp_path / "a.png", RGB)
    write_net(tmp_path / "plain")
    write_net(tmp_path / "soft", more=SOFTMAX)
    (tmp_path / "labels.txt").write_text("n01 blue, azure\nn02 green\nn03 red\n")
    return tmp_path


def classify(capsys: pytest.CaptureFixture[str], *arguments: str, net: str = "soft") -> Done:
    files = ["--model", f"{net}/deploy.prototxt", "--weights", f"{net}/means.caffemodel"]
    status = perform(["classify", *arguments, *files])
    return Done(status, *capsys.readouterr())


def softmax(scores: Any) -> np.ndarray:
    exponents = np.exp(np.asarray(scores) - np.max(scores))
    return exponents / exponents.sum()


def test_a_table_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    write_image(Path("b.png"), RGB[..., 0])
    done = classify(capsys, "a.png", "b.png", "--labels", "labels.txt", "--top", "2", "--scale", "0.01")
    chances = softmax(MEANS * 0.01)
    names = ["n01 blue, azure", "n02 green", "n03 red"]
    first, second = np.argsort(-chances)[:2]
    assert done == Done(
        0,
        "a.png\n"
        "  rank  probability  class\n"
        f"     1       {chances[first]:.4f}  {names[first]}\n"
        f"     2       {chances[second]:.4f}  {names[second]}\n"
        "b.png\n"
        "  rank  probability  class\n"
        f"     1       0.3333  {names[0]}\n"
        f"     2       0.3333  {names[1]}\n",
        "",
    )


def test_scores_that_are_no_probabilities_are_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    done = classify(capsys, "a.png", "--top", "1", net="plain")
    best = int(MEANS.argmax())
    assert done.out == f"a.png\n  rank        score  class\n     1  {MEANS[best]:>11.6g}  {best}\n"
    assert done.err == (
        'note: the output "fc" does not add up to 1, so these are scores and no probabilities; '
        "a Softmax layer at its end makes them such\n"
    )


def test_json_and_a_file_of_all_scores(capsys: pytest.CaptureFixture[str]) -> None:
    done = classify(
        capsys, "a.png", "a.png", "--format", "json", "-o", "scores.npy", "--mean", "1,2,3", "--top", "3",
        "--labels", "labels.txt", net="plain",
    )  # fmt: skip
    first, second = json.loads(done.out)
    wanted = MEANS - [1, 2, 3]
    assert first == second
    assert (first["image"], first["probabilities"]) == ("a.png", False)
    assert [entry["index"] for entry in first["classes"]] == np.argsort(-wanted).tolist()
    assert {entry["label"] for entry in first["classes"]} == {"n01 blue, azure", "n02 green", "n03 red"}
    for entry in first["classes"]:
        assert entry["score"] == pytest.approx(wanted[entry["index"]], rel=1e-4)
    scores = np.load("scores.npy")
    assert (scores.shape, scores.dtype) == ((2, 3), np.float32)
    np.testing.assert_allclose(scores, [wanted, wanted], rtol=1e-4)
    assert done.err.startswith("scores.npy: scores of 2 images\nnote: ")


def test_nothing_is_printed_where_nothing_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert classify(capsys, "a.png", "--top", "0").out == ""


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--images_dim=6,8", "--oversample"], None),
        (["-images-dim", "6,8", "--center_only"], None),
        (["--input_scale", "0.5"], MEANS / 2),
        (["--channel_swap", "0,1,2", "--raw_scale=1"], MEANS[::-1] / 255),
        (["--mean", "mean.npy"], MEANS - [1, 2, 3]),
        (["--mean", "mean.npy", "--mean-by-pixel"], MEANS - [1, 2, 3]),
    ],
)
def test_options_in_the_spellings_of_classify_py(
    capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: Any
) -> None:
    np.save("mean.npy", np.tile(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), (1, 4, 4)))
    assert classify(capsys, "a.png", "-o", "scores.npy", *arguments, net="plain").status == 0
    if wanted is not None:
        np.testing.assert_allclose(np.load("scores.npy")[0], wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.png", "nor.png"], 1, "none.png: the image cannot be read: there is no such file\nnor.png: "),
        (["labels.txt"], 1, "labels.txt: the image cannot be read: the encoded image is in no format"),
        (["a.png", "--labels", "two.txt"], 1, 'labels "two.txt": 2 lines, but the net tells 3 classes apart'),
        (["a.png", "--mean", "1,2"], 1, "the mean is 2 numbers, and the net's input has 3 channels"),
        (["a.png", "--oversample"], 2, "crops of 4×4 out of a larger image"),
        (["a.png", "--images-dim", "3,3"], 2, "image_dims must be a height and a width of at least 4×4"),
        (["a.png", "--images-dim", "6"], 2, '--images-dim takes 2 whole numbers with commas between them, not "6"'),
        (["a.png", "--channel-swap", "b,g,r"], 2, "--channel-swap takes 3 whole numbers"),
        (["a.png", "--channel-swap", "0,1,3"], 2, "takes an order of its 3 channels, got (0, 1, 3)"),
        (["a.png", "-o", "scores.csv"], 2, '--output writes a .npy file, not "scores.csv"'),
        (["a.png", "-o", "none/scores.npy"], 2, 'there is no folder "none" to write "scores.npy" into'),
        (["a.png", "--gpu", "99"], 1, "GPU"),
        ([], 2, "IMAGE"),
    ],
)
def test_faults(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str) -> None:
    Path("two.txt").write_text("a\nb\n")
    done = classify(capsys, *arguments)
    assert (done.status, done.out) == (status, "")
    assert message in done.err


def test_a_net_and_weights_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["classify", "a.png", "--model", "soft/deploy.prototxt"]) == 2
    assert "classify needs a net and its weights" in capsys.readouterr().err
    assert perform(["classify", "a.png", "--weights", "soft/means.caffemodel"]) == 2


def test_python_layers_run_where_they_are_allowed(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    Path("halving_for_classify.py").write_text(
        "import caffelite\n"
        "class Halve(caffelite.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = bottom[0].data / 2\n"
    )
    python = 'layer { name: "h" type: "Python" bottom: "fc" top: "h" python_param { module: "halving_for_classify" layer: "Halve" } }'  # noqa: E501
    write_net(folder / "python", more="")
    (folder / "python" / "deploy.prototxt").write_text((folder / "plain" / "deploy.prototxt").read_text() + python)
    refused = classify(capsys, "a.png", net="python")
    assert refused.status == 1
    assert 'would run Python code that the file names: "halving_for_classify.Halve"' in refused.err
    assert classify(capsys, "a.png", "--allow-python", "-o", "scores.npy", net="python").status == 0
    np.testing.assert_allclose(np.load("scores.npy")[0], MEANS / 2, rtol=1e-4)
