# %% [markdown]
# # Logistic regression on HDF5, and one layer more
#
# Caffe is made for deep nets, but the shallowest of all is one, too: a single fully connected layer under a softmax
# is logistic regression. Here it learns from plain vectors in HDF5 files, is compared with scikit-learn's, and fails
# where every linear classifier fails. One hidden layer helps.

# %%
import re
import subprocess
import sys
import time

import h5py
import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

import caffelite as caffe
from caffelite import layers as L

lesson = Lesson("logreg_hdf5")
caffe.set_mode_cpu()

# %% [markdown]
# ## 1. Data
#
# 10,000 vectors of four numbers, in two classes. The first two numbers tell the class: each class is two clouds, and
# no straight line parts them. The other two numbers are noise, which a classifier has to find out.
#
# Since we know the clouds, we know what can be reached: who names the class whose clouds are nearer (more exactly:
# denser) is right as often as anybody can be.

# %%
chance = np.random.default_rng(0)
clouds = np.array([[[-2.0, -0.5], [1.6, 1.8]], [[2.0, -1.0], [0.2, 0.3]]])  # classes × clouds × their middle
y = chance.integers(0, 2, 10000)
x = chance.standard_normal((10000, 4)).astype(np.float32)
x[:, :2] = clouds[y, chance.integers(0, 2, 10000)] + 0.7 * x[:, :2]
x_train, x_test, y_train, y_test = x[:7500], x[7500:], y[:7500], y[7500:]

distances = np.square(x_test[:, None, None, :2] - clouds).sum(-1)
densest = np.exp(-distances / (2 * 0.7**2)).sum(-1).argmax(1)
print(f"the best that can be: accuracy {np.mean(densest == y_test):.4f}")

# %% [markdown]
# An HDF5Data layer reads files that hold a data set for each of its tops, under the top's name. Its `source` is a
# text file with the path of an HDF5 file in each line.


# %%
def write(name, x, y):
    with h5py.File(lesson.out / f"{name}.h5", "w") as file:
        file["data"] = x
        file["label"] = y.astype(np.float32)
    return lesson.write(f"{name}.txt", f"{lesson.out / name}.h5\n")


train, test = write("train", x_train, y_train), write("test", x_test, y_test)

# %% [markdown]
# ## 2. The nets, and how they learn
#
# Logistic regression is one layer: for each class a weighted sum of the four numbers. The other net has forty units
# between, and ReLU, without which two layers would be no more than one.


# %%
def linear(n):
    n.score = L.InnerProduct(n.data, num_output=2, weight_filler=dict(type="xavier"))


def hidden(n):
    n.hidden = L.InnerProduct(n.data, num_output=40, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.hidden, in_place=True)
    n.score = L.InnerProduct(n.relu, num_output=2, weight_filler=dict(type="xavier"))


def learning(layers, source, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.HDF5Data(source=source, batch_size=batch_size, ntop=2)
    layers(n)
    n.accuracy = L.Accuracy(n.score, n.label)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


iterations = lesson.steps(2000, quick=300)


def solver_file(layers):
    name = layers.__name__
    s = caffe.proto.caffe_pb2.SolverParameter()
    s.train_net = lesson.write(f"{name}_train.prototxt", learning(layers, train, 50))
    s.test_net.append(lesson.write(f"{name}_test.prototxt", learning(layers, test, 100)))
    s.test_iter.append(25)  # 25 batches of 100: the whole test set
    s.test_interval = iterations
    s.max_iter = iterations
    s.base_lr = 0.05
    s.lr_policy = "step"  # a tenth of the rate after two thirds of the way
    s.gamma = 0.1
    s.stepsize = iterations * 2 // 3
    s.momentum = 0.9
    s.weight_decay = 0.0005
    s.display = iterations // 4
    s.snapshot_prefix = str(lesson.out / name)
    s.random_seed = 1
    s.solver_mode = s.CPU
    return lesson.write(f"{name}_solver.prototxt", s)


# %% [markdown]
# `solve` trains to `max_iter`, tests, and writes what was learned. Its log shows the same as that of `caffelite
# train`.


# %%
def learn(file):
    begun = time.time()
    solver = caffe.get_solver(file)
    solver.solve()
    net = solver.test_nets[0]
    accuracy = np.mean([float(net.forward()["accuracy"]) for _ in range(25)])
    return solver, accuracy, time.time() - begun


linear_file = solver_file(linear)
linear_solver, linear_accuracy, seconds = learn(linear_file)
print(f"logistic regression: accuracy {linear_accuracy:.4f} in {seconds:.1f} s")

# %% [markdown]
# scikit-learn's `LogisticRegression` looks at all data at once and finds the very minimum; its `SGDClassifier` learns
# as the net does, from a few vectors at a time. All three find nearly the same line.
#
# Two classes need only one weighted sum, and scikit-learn has one: it is the difference of the net's two.

# %%
try:
    from sklearn.linear_model import LogisticRegression, SGDClassifier
except ImportError:
    print("scikit-learn is not installed, so there is nothing to compare with")
else:
    weights = linear_solver.net.params["score"][0].data
    ours = weights[1] - weights[0]
    for other in (LogisticRegression(), SGDClassifier(loss="log_loss", alpha=0.0005, random_state=0)):
        other.fit(x_train, y_train)
        theirs = other.coef_[0]
        cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        print(f"{type(other).__name__}: accuracy {other.score(x_test, y_test):.4f}, cosine of the weights {cosine:.4f}")

# %% [markdown]
# ## 3. One layer more
#
# The same data, the same solver, forty hidden units.

# %%
hidden_solver, hidden_accuracy, seconds = learn(solver_file(hidden))
print(f"one hidden layer:    accuracy {hidden_accuracy:.4f} in {seconds:.1f} s")

# %% [markdown]
# What each says about every point of the plane, with 0 for the two numbers that are noise. For this, a net without
# data layer and loss is made of the same layers: points in, probabilities out. It borrows the solver's weights.
#
# One sum makes a straight border. Forty units make one with many small corners, each where a unit begins to answer.


# %%
def probability(layers, solver, points):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=points.shape))
    layers(n)
    n.prob = L.Softmax(n.score)
    net = caffe.Net(lesson.write(f"{layers.__name__}_deploy.prototxt", n.to_proto()), caffe.TEST)
    net.share_with(solver.net)
    return net.forward(data=points)["prob"][:, 1]


side = np.linspace(-4, 4, 161)
plane = np.stack([*map(np.ravel, np.meshgrid(side, side)), *np.zeros((2, side.size**2))], axis=1)

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6))
kinds = ((linear, linear_solver, linear_accuracy), (hidden, hidden_solver, hidden_accuracy))
for ax, (layers, solver, accuracy) in zip(axes, kinds, strict=True):
    values = probability(layers, solver, plane).reshape(side.size, side.size)
    ax.contourf(side, side, values, np.linspace(0, 1, 11), cmap="coolwarm", alpha=0.7)
    ax.contour(side, side, values, [0.5], colors="black")
    ax.scatter(*x_test[:600, :2].T, c=y_test[:600], s=6, cmap="coolwarm", edgecolors="black", linewidths=0.2)
    ax.set(title=f"{layers.__name__}: {accuracy:.4f}", aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
lesson.picture(figure, "borders")

# %% [markdown]
# ## 4. The same from the command line
#
# Nothing of this needs Python: the solver's file holds it all. With the same `random_seed` the command learns the
# very same weights.

# %%
command = [sys.executable, "-m", "caffelite", "train", "--solver", linear_file]
print("$ caffelite", *command[3:])
log = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True).stderr
print("\n".join(line for line in log.splitlines() if "Iteration" in line or "Test net output" in line))

by_command = float(re.findall(r"accuracy = (\S+)", log)[-1])
print(f"accuracy from Python {linear_accuracy:.4f}, from the command line {by_command:.4f}")
