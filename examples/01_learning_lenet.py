# %% [markdown]
# # Learning LeNet, step by step
#
# A net learns digits while you watch: what it reads, what its first gradients look like, how loss and accuracy move,
# and how its opinion of single digits changes. At the end you change the net and the way it learns.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson, mosaic

import caffelite as caffe
from caffelite import layers as L
from caffelite import params as P

lesson = Lesson("learning_lenet")
digits = lesson.digits()


# %% [markdown]
# ## 1. The net
#
# A net is a list of layers, each reading what layers above it made. `n.conv1 = L.Convolution(n.data, ...)` makes a
# layer *conv1* that reads *data*. Convolutions look for small patterns everywhere in the image, pooling keeps the
# strongest answer of each 2×2 neighbourhood, and two fully connected layers decide. `SoftmaxWithLoss` says how wrong
# they are.


# %%
def lenet(database, batch_size):
    filler = dict(type="xavier")
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        source=database, backend=P.Data.LMDB, batch_size=batch_size, transform_param=dict(scale=1 / 255), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=filler)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=filler)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=filler)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=filler)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


train_net = lesson.write("lenet_train.prototxt", lenet(digits.train, 64))
tested = min(digits.test_count, 1000)
test_net = lesson.write("lenet_test.prototxt", lenet(digits.test, tested))
watch_net = lesson.write("lenet_watch.prototxt", lenet(digits.test, 8))

# %% [markdown]
# What was written is a text file, the same that one writes by hand. Its beginning:

# %%
with open(train_net) as file:
    print("".join(file.readlines()[:34]))

# %% [markdown]
# ## 2. The solver
#
# Another file says how to learn: stochastic gradient descent with momentum, from a rate of 0.01 that falls slowly. It
# names the net that learns and any number of nets that test it: here one that takes 1000 test digits at once, and one
# for the eight digits that we are going to watch. They use the weights of the first.
#
# `random_seed` makes the run repeatable; take it out, and each run begins with other weights.

# %%
SOLVER = f"""
train_net: "{train_net}"
test_net: "{test_net}"
test_net: "{watch_net}"
test_iter: 1
test_iter: 1
test_interval: 10000
test_initialization: false

base_lr: 0.01
momentum: 0.9
weight_decay: 0.0005
lr_policy: "inv"
gamma: 0.0001
power: 0.75

max_iter: 10000
random_seed: 1
"""
caffe.set_mode_cpu()  # or caffe.set_device(0); caffe.set_mode_gpu()
solver = caffe.SGDSolver(lesson.write("lenet_solver.prototxt", SOLVER))

# %% [markdown]
# The values that flow through a net are its *blobs*: images × channels × height × width. What it learns are its
# *params*, for each layer weights, `[0]`, and biases, `[1]`.

# %%
for name, blob in solver.net.blobs.items():
    print(f"{name:6} {blob.data.shape}")
print()
for name, blobs in solver.net.params.items():
    print(f"{name:6} weights {blobs[0].data.shape}, biases {blobs[1].data.shape}")

# %% [markdown]
# Before learning, look at the data. `forward` computes all blobs once, and the first layer reads a batch for it.

# %%
solver.net.forward()
solver.test_nets[0].forward()
figure, axes = plt.subplots(2, 1, figsize=(8, 2.8))
for ax, what, net in zip(axes, ("learns from", "is tested with"), (solver.net, solver.test_nets[0]), strict=True):
    labels = net.blobs["label"].data[:8].astype(int)
    ax.imshow(mosaic(net.blobs["data"].data[:8, 0], 8))
    ax.set_title(f"{what}: {' '.join(map(str, labels))}")
    ax.axis("off")
lesson.picture(figure, "data")

# %% [markdown]
# ## 3. One step
#
# `step(1)` is one iteration: forward, backward, update. Afterwards `data` holds the new weights of a layer, and
# `diff` the change that was subtracted from them. Does anything arrive at the first layer? Each square is one of the
# 20 filters of *conv1*, 5×5 weights.

# %%
solver.step(1)
weights = solver.net.params["conv1"][0]
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6))
for ax, what, values in zip(axes, ("filters", "their first change"), (weights.data, weights.diff), strict=True):
    ax.imshow(mosaic(values[:, 0], 5))
    ax.set_title(f"conv1: {what}")
    ax.axis("off")
lesson.picture(figure, "first_step")
print(f"largest change of a weight: {abs(weights.diff).max():.5f}")

# %% [markdown]
# ## 4. Many steps
#
# The loop is yours: keep what you like, test how you like, stop when you like. Here the loss of every iteration is
# kept, and what the net says about the eight digits; every 20 iterations it is tested, each kind of digit by itself,
# and the curves are drawn anew: open `curves.png` in a viewer that follows changes, or watch them below this cell.
#
# `forward()` makes the test nets read their digits. `forward(start="conv1")` begins behind the data layer, so after
# that they look at the same digits every time.


# %%
def test(net):
    """The share of the net's digits that got their highest score for what they are: of all, and of each label's."""
    label = net.blobs["label"].data
    right = net.blobs["score"].data.argmax(1) == label
    return right.mean(), [right[label == kind].mean() for kind in range(10)]


def curves(losses, accuracies):
    figure, left = plt.subplots(figsize=(7, 4))
    left.plot(range(1, len(losses) + 1), losses, lw=0.8)
    left.set(xlabel="iteration", ylabel="train loss", ylim=(0, None))
    right = left.twinx()
    right.plot(accuracies.keys(), accuracies.values(), "r.-")
    right.set(ylabel="test accuracy", ylim=(0, 1), title=f"test accuracy: {[*accuracies.values()][-1]:.4f}")
    return figure


# %%
iterations, test_interval = lesson.steps(300, quick=60), 20
test_net, watched = solver.test_nets
test_net.forward()
watched.forward()
losses, scores, accuracies, by_label = [], [], {}, []

for iteration in range(1, iterations + 1):
    solver.step(1)
    losses.append(float(solver.net.blobs["loss"].data))
    watched.forward(start="conv1")
    scores.append(watched.blobs["score"].data.copy())
    if iteration % test_interval == 0:
        test_net.forward(start="conv1")
        accuracies[iteration], each = test(test_net)
        by_label.append(each)
        lesson.redraw(curves(losses, accuracies), "curves")
        print(f"iteration {iteration:3}: loss {losses[-1]:.3f}, test accuracy {accuracies[iteration]:.4f}")

# %% [markdown]
# The loss jumps, because each batch of 64 digits is another one, and falls all the same. It begins near 2.3 = ln 10,
# the loss of somebody who knows nothing about ten kinds of things. (Is a curve of yours flat? Then the rate is too
# small. Does it rise? Then it is too large.)
#
# A test of your own can tell more than one number: which digits are learned first?

# %%
lesson.picture(curves(losses, accuracies), "curves")
print(f"loss of the first iteration: {losses[0]:.3f}")
print(f"test accuracy: {accuracies[iterations]:.4f}")

figure, ax = plt.subplots(figsize=(7, 3.5))
shown = ax.imshow(np.transpose(by_label), aspect="auto", cmap="viridis", vmin=0, vmax=1)
ax.set(xlabel="iteration", ylabel="label", yticks=range(10), title="test accuracy of each label")
ax.set_xticks(range(len(accuracies)), accuracies.keys())
figure.colorbar(shown)
lesson.picture(figure, "labels")

# %% [markdown]
# ## 5. How an opinion forms
#
# For each of the eight test digits: time runs to the right, one row for each label, lighter is higher. On the left
# the *scores*, which is what the last layer computes; on the right the probabilities that `Softmax` makes of them.
# Scores show which other labels come near, probabilities how sure the net is. The right label is marked.

# %%
scores, labels = np.array(scores), watched.blobs["label"].data.astype(int)
exponentials = np.exp(scores - scores.max(2, keepdims=True))
probabilities = exponentials / exponentials.sum(2, keepdims=True)

figure, axes = plt.subplots(8, 3, figsize=(11, 13), width_ratios=(1, 4, 4))
for number, (image, score, probability) in enumerate(axes):
    image.imshow(watched.blobs["data"].data[number, 0])
    image.axis("off")
    for ax, values in ((score, scores), (probability, probabilities)):
        ax.imshow(values[:, number].T, aspect="auto")
        ax.set(yticks=[labels[number]], xticks=[])
axes[0, 1].set_title("scores")
axes[0, 2].set_title("probabilities")
for ax in axes[-1, 1:]:
    ax.set(xlabel="iteration", xticks=range(0, iterations, 2 * test_interval))
lesson.picture(figure, "opinions")
print(f"right about {(scores[-1].argmax(1) == labels).sum()} of these 8 digits")

# %% [markdown]
# ## 6. Your turn
#
# Change the net, the solver, or both. `experiment` takes the layers between data and score as a function, and
# settings of the solver by name. Below, three experiments from the same seed: a linear classifier, a smaller LeNet,
# and the same with Adam. Try next:
#
# - another non-linearity than `ReLU`: `L.ELU`, `L.Sigmoid`, `L.TanH`
# - one more fully connected layer, or none
# - rates ten times as large and as small
# - more iterations


# %%
def linear(n):
    return L.InnerProduct(n.data, num_output=10, weight_filler=dict(type="xavier"))


def small_lenet(n):
    filler = dict(type="xavier")
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=filler)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=filler)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=100, weight_filler=filler)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    return L.InnerProduct(n.relu1, num_output=10, weight_filler=filler)


def experiment(name, layers, iterations, **settings):
    """Train a net for a while; gives the loss of each iteration, and the test accuracy at the end."""

    def net(database, batch_size):
        n = caffe.NetSpec()
        n.data, n.label = L.Data(
            source=database, backend=P.Data.LMDB, batch_size=batch_size, transform_param=dict(scale=1 / 255), ntop=2
        )
        n.score = layers(n)
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
        return n.to_proto()

    s = caffe.proto.caffe_pb2.SolverParameter(
        train_net=lesson.write(f"{name}_train.prototxt", net(digits.train, 64)),
        test_net=[lesson.write(f"{name}_test.prototxt", net(digits.test, tested))],
        test_iter=[1],
        test_interval=10000,
        test_initialization=False,
        max_iter=10000,
        snapshot_prefix=str(lesson.out / name),
        lr_policy="fixed",
        random_seed=1,
        **settings,
    )
    solver = caffe.get_solver(lesson.write(f"{name}_solver.prototxt", s))
    losses = []
    for _ in range(iterations):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    solver.test_nets[0].forward()
    return losses, test(solver.test_nets[0])[0]


# %%
sgd = dict(type="SGD", base_lr=0.01, momentum=0.9, weight_decay=0.0005)
adam = dict(type="Adam", base_lr=0.001, momentum=0.9, momentum2=0.999)
experiments = {"linear": (linear, sgd), "small_lenet": (small_lenet, sgd), "small_lenet_adam": (small_lenet, adam)}

figure, ax = plt.subplots(figsize=(7, 4))
for name, (layers, settings) in experiments.items():
    seen, found = experiment(name, layers, lesson.steps(150, quick=30), **settings)
    ax.plot(np.convolve(seen, np.full(10, 0.1), "valid"), label=f"{name}: {found:.4f}")
    print(f"experiment {name}: test accuracy {found:.4f}")
ax.set(xlabel="iteration", ylabel="train loss, mean of 10", ylim=(0, None))
ax.legend(title="test accuracy")
lesson.picture(figure, "experiments")
