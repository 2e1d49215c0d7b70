# %% [markdown]
# # Several labels at once, from a data layer of your own
#
# An image may show several things: a page with a 3 and a 7. Then the answer is not one label, but a yes or no for
# each. The pages are made by a layer written in Python, as there is no file that a data layer could read them from.
# The loss is `SigmoidCrossEntropyLoss`, which asks ten questions instead of one.

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

import caffelite as caffe
from caffelite import layers as L
from caffelite import params as P

lesson = Lesson("multilabel")
digits = lesson.digits()
caffe.set_mode_cpu()

# %% [markdown]
# ## 1. A layer in Python
#
# [many_digits.py](many_digits.py) holds a class `ManyDigits(caffe.Layer)` with four methods: `setup` reads its
# settings, `reshape` says how large its tops are, `forward` fills them, `backward` has nothing to do. A net names the
# module and the class, and gives settings as a text of any form, here JSON.
#
# Pages for tests are made of other digits than those for learning, and from another seed.


# %%
def pages(database, batch_size, seed):
    settings = json.dumps({"database": database, "batch_size": batch_size, "seed": seed})
    return L.Python(module="many_digits", layer="ManyDigits", param_str=settings, ntop=2)


# %% [markdown]
# ## 2. A net that asks: is there a 0? a 1? a 2? …
#
# Convolutions only, so that a digit is recognized wherever it lies: *answers* has a map of scores for each label.
# Whether there is a 7 anywhere is the maximum of its map: `Pooling` over all of it.


# %%
def finder(database, batch_size, seed):
    filler = dict(type="xavier")
    pool = dict(kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n = caffe.NetSpec()
    n.data, n.label = pages(database, batch_size, seed)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=16, weight_filler=filler)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, **pool)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=32, weight_filler=filler)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(n.relu2, **pool)
    n.conv3 = L.Convolution(n.pool2, kernel_size=4, num_output=64, weight_filler=filler)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    # A bias of -2: "no" to begin with, as most digits are not on most pages.
    n.answers = L.Convolution(
        n.relu3, kernel_size=1, num_output=10, weight_filler=filler, bias_filler=dict(type="constant", value=-2)
    )
    n.anywhere = L.Pooling(n.answers, pool=P.Pooling.MAX, global_pooling=True)
    n.score = L.Flatten(n.anywhere)
    n.loss = L.SigmoidCrossEntropyLoss(n.score, n.label)
    return n.to_proto()


settings = caffe.proto.caffe_pb2.SolverParameter(
    train_net=lesson.write("train.prototxt", finder(digits.train, 50, seed=1)),
    test_net=[lesson.write("test.prototxt", finder(digits.test, 200, seed=2))],
    test_iter=[1],
    test_interval=10000,
    test_initialization=False,
    type="Adam",
    base_lr=0.002,
    momentum=0.9,
    lr_policy="fixed",
    max_iter=10000,
    snapshot_prefix=str(lesson.out / "finder"),
    random_seed=1,
)
solver = caffe.get_solver(lesson.write("solver.prototxt", settings))
test_net = solver.test_nets[0]
test_net.forward()
label = test_net.blobs["label"].data.astype(bool)


# %% [markdown]
# What the layer makes, and what is to be found:


# %%
def names(flags):
    return " ".join(map(str, np.flatnonzero(flags))) or "none"


figure, axes = plt.subplots(1, 5, figsize=(11, 2.6))
for ax, page, there in zip(axes, test_net.blobs["data"].data[:, 0], label, strict=False):
    ax.imshow(page)
    ax.set_title(names(there))
    ax.axis("off")
lesson.picture(figure, "pages")

# %% [markdown]
# ## 3. How good is it?
#
# Count the answers that are right, ten a page: this is one minus the Hamming distance. Beware, it is easily high: of
# ten digits a page has not even two, so who always says "no" is right four times out of five. That is the number to
# beat. A stricter one is how many pages are right in all ten answers.


# %%
def hamming_accuracy(label, said):
    return np.mean(label == said)


baseline = hamming_accuracy(label, np.zeros_like(label))
print(f"always no: {baseline:.4f}")

iterations, interval = lesson.steps(250, quick=50), 25
losses, accuracies, pages_right = [], {}, {}
for iteration in range(1, iterations + 1):
    solver.step(1)
    losses.append(float(solver.net.blobs["loss"].data))
    if iteration % interval == 0:
        test_net.forward(start="conv1")  # the same 200 pages every time
        said = test_net.blobs["score"].data > 0  # a score above 0 is a probability above 1/2
        accuracies[iteration] = hamming_accuracy(label, said)
        pages_right[iteration] = np.mean((label == said).all(axis=1))
        print(
            f"iteration {iteration:3}: loss {losses[-1]:.3f}, answers right {accuracies[iteration]:.4f}, "
            f"pages right {pages_right[iteration]:.4f}"
        )

# %% [markdown]
# The loss adds up ten questions. Who knows nothing but how often a digit is there, and always answers with that
# probability, has the loss that is drawn as a line: the net begins there, and falls as it dares to say "yes".

# %%
often = label.mean()
ignorant = -10 * (often * np.log(often) + (1 - often) * np.log(1 - often))
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
left.plot(losses, lw=0.8)
left.axhline(ignorant, color="gray", ls="--", label="knows nothing")
left.set(xlabel="iteration", ylabel="train loss", ylim=(0, None))
left.legend()
right.plot(accuracies.keys(), accuracies.values(), ".-", label="answers right")
right.plot(pages_right.keys(), pages_right.values(), ".-", label="pages right")
right.axhline(baseline, color="gray", ls="--", label="answers right, always no")
right.set(xlabel="iteration", ylim=(0, 1))
right.legend()
lesson.picture(figure, "curves")
print(f"hamming accuracy: {accuracies[iterations]:.4f}")

# %% [markdown]
# ## 4. What it says, and where it sees it
#
# Nobody told the net where a digit lies. But as the maximum of a map decides, it has to find out: the bright places
# are where it sees the digit it is surest of.

# %%
figure, axes = plt.subplots(2, 5, figsize=(11, 5.6))
for number, (above, below) in enumerate(axes.T):
    above.imshow(test_net.blobs["data"].data[number, 0])
    above.set_title(f"there: {names(label[number])}\nsays: {names(said[number])}")
    surest = test_net.blobs["score"].data[number].argmax()
    below.imshow(test_net.blobs["answers"].data[number, surest], cmap="inferno")
    below.set_title(f"where it sees {surest}")
    for ax in (above, below):
        ax.axis("off")
lesson.picture(figure, "answers")

# %% [markdown]
# ## 5. To be continued
#
# `solver.snapshot()` writes where the training stands. The layer says in `get_extra_state` how many batches it has
# made, so a resumed run goes on with the pages that would have come. Its chance follows from seed and number of the
# batch alone.

# %%
solver.snapshot()
resumed = caffe.get_solver(str(lesson.out / "solver.prototxt"))
resumed.restore(str(lesson.out / f"finder_iter_{iterations}.solverstate"))
for each in (solver, resumed):
    each.step(1)
same = np.array_equal(solver.net.blobs["data"].data, resumed.net.blobs["data"].data)
print(f"the next pages of the resumed run are {'the same' if same else 'others'}")

# %% [markdown]
# From the command line: `caffelite train --solver solver.prototxt --allow-python`, with this folder in `PYTHONPATH`.
# A prototxt with a Python layer runs code, so the command wants to be told that it may.
