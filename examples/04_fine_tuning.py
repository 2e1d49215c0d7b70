# %% [markdown]
# # Fine-tuning: what was learned on one task helps on another
#
# Digits from a bad scanner: shifted by up to five pixels, and grainy. A net saw thousands of 0 to 4 and has learned
# that place and grain mean nothing. Now it shall learn 5 to 9, and there are just ten examples of each. It keeps its
# layers and gets a new last one. Does that beat a net that begins from nothing?
#
# With CaffeNet it is the same: the net learned ImageNet's 1000 classes, and shall learn yours from some hundred
# images.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson, mosaic, read

import caffelite as caffe
from caffelite import layers as L
from caffelite import params as P

lesson = Lesson("fine_tuning")
digits = lesson.digits()
caffe.set_mode_cpu()

# %% [markdown]
# ## 1. Two tasks
#
# A scan is made by shifting a digit (what leaves on one side comes back on the other) and adding grain. The first
# task: 0 to 4, from thousands of scans. The second: 5 to 9, labels counted from 0 again, few to learn from, and a
# thousand to test with.


# %%
def task(database, most, first, scans, each=None):
    """Scans of the digits first … first + 4 of a database, and labels 0 … 4; of so many of each, where said."""
    chance = np.random.default_rng(first)
    images, labels = read(database, most)
    digits = np.concatenate([np.flatnonzero(labels == kind)[:each] for kind in range(first, first + 5)])
    chosen = chance.permutation(np.resize(chance.permutation(digits), scans))
    shifted = [np.roll(image, chance.integers(-5, 6, 2), (1, 2)) for image in images[chosen] / 255]
    grain = 0.2 * chance.standard_normal((scans, 1, 28, 28))
    return np.float32(np.clip(shifted + grain, 0, 1)), np.float32(labels[chosen] - first)


many = task(digits.train, 10000, first=0, scans=6000)
few = task(digits.train, 4000, first=5, scans=50, each=10)
test = task(digits.test, 2000, first=5, scans=1000)

figure, ax = plt.subplots(figsize=(7, 3.8))
ax.imshow(mosaic(few[0][:, 0], 10))
ax.set_title("all there is to learn 5 to 9 from")
ax.axis("off")
lesson.picture(figure, "few")

# %% [markdown]
# ## 2. One function for all nets
#
# The last layer's *name* decides what happens to it: weights are copied between layers of the same name, so a new
# name means a new layer. `lr_mult: 0` freezes a layer: the solver passes over its weights.
#
# `MemoryData` reads from arrays instead of from a database.


# %%
def lenet(classifier, learn_all=True, train=True):
    learned, frozen = [dict(lr_mult=1), dict(lr_mult=2)], [dict(lr_mult=0)] * 2
    below = learned if learn_all else frozen
    filler = dict(type="xavier")
    n = caffe.NetSpec()
    n.data, n.label = L.MemoryData(batch_size=25 if train else 200, channels=1, height=28, width=28, ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, param=below, weight_filler=filler)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, param=below, weight_filler=filler)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=200, param=below, weight_filler=filler)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n[classifier] = L.InnerProduct(n.relu1, num_output=5, param=learned, weight_filler=filler)
    n.loss = L.SoftmaxWithLoss(n[classifier], n.label)
    if not train:
        n.acc = L.Accuracy(n[classifier], n.label)
    return n.to_proto()


def solver_of(name, net):
    settings = caffe.proto.caffe_pb2.SolverParameter(
        train_net=lesson.write(f"{name}.prototxt", net),
        base_lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        lr_policy="fixed",
        max_iter=10000,
        snapshot_prefix=str(lesson.out / name),
        random_seed=1,
    )
    return caffe.get_solver(lesson.write(f"{name}_solver.prototxt", settings))


# %% [markdown]
# ## 3. The first task
#
# The net that learned it is saved. Its last layer is called *zero_to_four*.

# %%
first = solver_of("first", lenet("zero_to_four"))
first.net.set_input_arrays(*many)
first.step(lesson.steps(600, quick=200))
learned = str(lesson.out / "zero_to_four.caffemodel")
first.net.save(learned)
print(f"0 to 4: loss {float(first.net.blobs['loss'].data):.3f}")

# %% [markdown]
# ## 4. The second task, in three ways
#
# - *last layer*: the others come from the first task and stay as they are
# - *all layers*: they come from the first task and go on learning
# - *from nothing*: everything begins with chance
#
# `copy_from` puts the weights of a file into the layers of the same names. *five_to_nine* is not in the file, so it
# stays as it was made.

# %%
solvers = {
    "last layer": solver_of("last", lenet("five_to_nine", learn_all=False)),
    "all layers": solver_of("all", lenet("five_to_nine")),
    "from nothing": solver_of("nothing", lenet("five_to_nine")),
}
for name, solver in solvers.items():
    if name != "from nothing":
        solver.net.copy_from(learned)
    solver.net.set_input_arrays(*few)

# %% [markdown]
# Did the weights arrive? Below the new layer the nets must say the same about the same images.

# %%
for net in (first.net, solvers["all layers"].net):
    net.blobs["data"].data[...] = few[0][:25]
    net.forward(start="conv1", end="relu1")
difference = abs(first.net.blobs["fc1"].data - solvers["all layers"].net.blobs["fc1"].data).max()
print(f"fc1, old net and new net: largest difference {difference:.1e}")

# %% [markdown]
# The test nets use the very weights that the solvers train: `share_with` copies nothing.


# %%
def tested_by(solver):
    net = caffe.Net(lesson.write("test.prototxt", lenet("five_to_nine", train=False)), caffe.TEST)
    net.share_with(solver.net)
    net.set_input_arrays(*test)
    return net


def accuracy(net):
    return np.mean([float(net.forward()["acc"]) for _ in range(len(test[0]) // 200)])


tests = {name: tested_by(solver) for name, solver in solvers.items()}
first_filters = solvers["last layer"].net.params["conv1"][0].data.copy()

iterations, interval = lesson.steps(150, quick=60), 30
losses, accuracies = {name: [] for name in solvers}, {name: [] for name in solvers}
for iteration in range(0, iterations + 1, interval):
    for name, net in tests.items():
        accuracies[name].append(accuracy(net))
    print(f"iteration {iteration:3}: " + ", ".join(f"{name} {found[-1]:.3f}" for name, found in accuracies.items()))
    for name, solver in solvers.items():
        while solver.iter < min(iteration + interval, iterations):
            solver.step(1)
            losses[name].append(float(solver.net.blobs["loss"].data))

# %% [markdown]
# ## 5. What came of it
#
# All three learn their fifty examples by heart sooner or later: the loss falls. (It falls in a zigzag, as there are
# two batches, one harder than the other.) What they make of digits that they have not seen differs. From nothing,
# fifty scans are too few to find out that place and grain do not matter.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
for name in solvers:
    left.plot(losses[name], label=name, lw=0.9)
    right.plot(range(0, iterations + 1, interval), accuracies[name], ".-", label=f"{name}: {accuracies[name][-1]:.4f}")
left.set(xlabel="iteration", ylabel="train loss", yscale="log")
right.set(xlabel="iteration", ylabel="test accuracy on 5 to 9")
left.legend()
right.legend()
lesson.picture(figure, "curves")
for name, found in accuracies.items():
    print(f"accuracy, {name}: {found[-1]:.4f}")

# %% [markdown]
# And the frozen layers are what they were, to the last bit; those that went on learning changed a little.

# %%
for name in ("last layer", "all layers"):
    change = abs(solvers[name].net.params["conv1"][0].data - first_filters).max()
    print(f"conv1, {name}: largest change of a weight {change:.1e}")

# %% [markdown]
# On the command line, the weights to begin with are an option:
#
#     caffelite train --solver solver.prototxt --weights zero_to_four.caffemodel
