"""`caffelite classify`: what images show.  Source: `examples/cpp_classification`, `python/classify.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ._kit import debug_option, described, gpu_numbers, gpu_option, parts, python_option

if TYPE_CHECKING:
    from ..pycaffe.classification import Classified


@described(
    "classify",
    "say what images show, by a trained net",
    [
        "caffelite classify cat.jpg --model deploy.prototxt --weights net.caffemodel --labels synset_words.txt",
        "caffelite classify photos/ --model deploy.prototxt --weights net.caffemodel --mean mean.binaryproto",
        "caffelite classify *.jpg --model deploy.prototxt --weights net.caffemodel --mean 104,117,123 --oversample",
        "caffelite classify 7.png --model lenet_deploy.prototxt --weights lenet.caffemodel --scale 0.00390625",
    ],
    notes=(
        "An IMAGE is an image file, a folder of them, or a .npy file of images H×W×K of 0 … 1 in the order R, G, B. "
        "The net is a deploy net: an Input layer of three channels or one, for which images are made gray, in place "
        "of data layers, and one output. Images are resized to its input and go in as B, G, R of 0 … 255, less the "
        "mean, times --scale; give what its data layers did in training. With --images-dim they are resized to "
        "that, and their centre goes in."
    ),
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--model", metavar="FILE", help="The deploy net's prototxt.  Required.")
@click.option("--weights", default="", metavar="FILES", help="Trained weights, separated by commas.  Required.")
@click.option("--labels", metavar="FILE", help="Names of the classes, a line each, such as synset_words.txt.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(0), metavar="N", help="Show so many classes.")
@click.option(
    "--mean", metavar="FILE|B,G,R", help="The channels' means, or a .binaryproto, .npy or .npz to take them from."
)
@click.option("--mean-by-pixel", is_flag=True, help="Subtract the image in the mean file, pixel by pixel.")
@click.option("--scale", "--input-scale", "input_scale", type=float, help="Multiply by this at the end.")
@click.option("--raw-scale", type=float, default=255, show_default=True, help="What white is before the mean is taken.")
@click.option("--channel-swap", metavar="I,J,K", help="The net's order of R, G, B.  [default: 2,1,0, which is B, G, R]")
@click.option("--images-dim", metavar="H,W", help="Resize to this and take crops.  [with --oversample: 256,256]")
@click.option(
    "--oversample/--center-only", help="Average over ten crops: corners, centre, and all mirrored.  Or only the centre."
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write all scores, N×C, as .npy.")
@python_option
@gpu_option
@debug_option
def command(
    images: tuple[str, ...], model: str | None, weights: str, top: int, channel_swap: str | None,
    images_dim: str | None, format: str, output: Path | None, gpu: str | None, **settings: Any,
) -> None:  # fmt: skip
    files = parts(weights)
    if not model or not files:
        raise UsageError("classify needs a net and its weights: --model deploy.prototxt --weights FILE.caffemodel")
    if output and output.suffix != ".npy":
        raise UsageError(f'--output writes a .npy file, not "{output}"')
    if output and not output.parent.is_dir():
        raise UsageError(f'there is no folder "{output.parent}" to write "{output.name}" into')
    settings["image_dims"] = _whole_numbers("--images-dim", images_dim, 2)
    settings["channel_swap"] = _whole_numbers("--channel-swap", channel_swap, 3)
    gpus = gpu_numbers(gpu)

    from ..pycaffe import state
    from ..pycaffe.classification import FileClassifier

    if gpus:
        state.set_device(gpus[0])
        state.set_mode_gpu()
    classifier = FileClassifier(model, files, **settings)
    found: list[Classified] = []
    for one in classifier.classified(images, top):
        found.append(one)
        if format == "text" and top:
            click.echo(_table(one))
    if format == "json":
        click.echo(json.dumps([_entry(one) for one in found], indent=2, ensure_ascii=False))
    if output:
        _write(output, found)
        click.echo(f"{output}: scores of {len(found)} images", err=True)
    if not all(one.probabilities for one in found):
        what = f'the output "{classifier.outputs[0]}" does not add up to 1, so these are scores and no probabilities'
        click.echo(f"note: {what}; a Softmax layer at its end makes them such", err=True)


def _whole_numbers(option: str, text: str | None, count: int) -> list[int] | None:
    if text is None:
        return None
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != count or not all(number.isdecimal() for number in numbers):
        raise UsageError(f'{option} takes {count} whole numbers with commas between them, not "{text}"')
    return [int(number) for number in numbers]


def _table(one: Classified) -> str:
    what = "probability" if one.probabilities else "score"
    rows = [f"{one.image}", f"  rank  {what:>11}  class"]
    for rank, guess in enumerate(one.guesses, 1):
        score = f"{guess.score:.4f}" if one.probabilities else f"{guess.score:.6g}"
        rows.append(f"  {rank:>4}  {score:>11}  {guess.label if guess.label is not None else guess.index}")
    return "\n".join(rows)


def _entry(one: Classified) -> dict[str, object]:
    classes = [{"index": guess.index, "label": guess.label, "score": guess.score} for guess in one.guesses]
    return {"image": one.image, "probabilities": one.probabilities, "classes": classes}


def _write(path: Path, found: list[Classified]) -> None:
    import numpy as np

    from ..snapshot import write_atomic

    scores = np.stack([one.scores for one in found])
    write_atomic(path, lambda file: np.save(file, scores))
