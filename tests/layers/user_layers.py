"""Layers as users write them, for tests of the Python layer."""

from __future__ import annotations

import numpy as np
import torch

import caffelite as caffe


class Times(caffe.Layer):
    """x times param_str (10 without one); notes how it is called."""

    def setup(self, bottom, top):
        self.calls = ["setup"]
        self.factor = float(self.param_str or 10)

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        self.calls.append("forward")
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.calls.append("backward")
        bottom[0].diff[...] = self.factor * top[0].diff


class Distance(caffe.Layer):
    """Σ (a − b)² / 2N, as EuclideanLoss."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("a distance lies between two blobs")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise ValueError(f"sizes differ: {bottom[0].count} and {bottom[1].count}")
        self.difference = np.zeros_like(bottom[0].data)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data
        top[0].data[0] = (self.difference**2).sum() / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        self.asked = propagate_down
        for sign, blob, wanted in zip((1, -1), bottom, propagate_down, strict=True):
            if wanted:
                blob.diff[...] = sign * top[0].diff[0] * self.difference / blob.num


class Affine(caffe.Layer):
    """a·x + b with learned numbers a, which begins as 2, and b."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 2
        self.blobs.add_blob()

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data[0] * bottom[0].data + self.blobs[1].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = (top[0].diff * bottom[0].data).sum()
        self.blobs[1].diff[...] += top[0].diff.sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data[0] * top[0].diff


class Phase(caffe.Layer):
    """Its top is its phase."""

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Growing(caffe.Layer):
    """Rows of data, one more in every forward, and their labels: like data layers that read in `reshape`."""

    def setup(self, bottom, top):
        self.rows = 1

    def reshape(self, bottom, top):
        self.values = np.random.default_rng(self.rows).normal(size=(self.rows, 3))
        top[0].reshape(*self.values.shape)
        top[1].reshape(self.rows)

    def forward(self, bottom, top):
        top[0].data[...] = self.values
        top[1].data[...] = np.arange(self.rows) % 2
        self.rows += 1

    def backward(self, top, propagate_down, bottom):
        raise AssertionError("there is nothing to go back to")

    def start_at(self, rows):
        self.rows = rows


class Positive(caffe.Layer):
    """The rows whose first value is above 0: its tops depend on values, not on shapes alone."""

    def reshape(self, bottom, top):
        self.kept = bottom[0].data[:, 0] > 0
        top[0].reshape(int(self.kept.sum()), *bottom[0].shape[1:])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data[self.kept]

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 0
        bottom[0].diff[self.kept] = top[0].diff


class Squared(caffe.Layer):
    """x², its slope from what is in the blobs when the backward comes: 2x, or 2√y in place."""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data ** 2

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff * 2 * np.sqrt(top[0].data)


class Stop(caffe.Layer):
    """x, and no gradient."""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        pass


class Counter(caffe.Layer):
    """Adds one to its top in every forward, and writes into its bottom."""

    def reshape(self, bottom, top):
        top[0].reshape(2)

    def forward(self, bottom, top):
        top[0].data[0] += 1
        bottom[0].data[..., -1] = 7

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].data[0]


class Listener(caffe.Layer):
    """No top."""

    def setup(self, bottom, top):
        assert list(top) == []

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.heard = [float(blob.data.sum()) for blob in bottom]


class Described(caffe.Layer):
    """Its top says what the original's blobs say of themselves."""

    def reshape(self, bottom, top):
        top[0].reshape(6)

    def forward(self, bottom, top):
        (x,) = bottom
        top[0].data[...] = [x.num, x.channels, x.height, x.width, x.count, len(x.shape)]


class Keeper(caffe.Layer):
    """Holds arrays from `setup` on, as views."""

    def setup(self, bottom, top):
        self.blobs.add_blob(2, 3)
        self.weight = self.blobs[0].data[1]
        self.weight[...] = 5

    def reshape(self, bottom, top):
        top[0].reshape(3)
        if not hasattr(self, "out"):
            self.out = top[0].data

    def forward(self, bottom, top):
        self.out[...] = self.weight
        self.weight += 1

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[1] = top[0].diff


class Late(Times):
    """Adds a blob when it is too late."""

    def forward(self, bottom, top):
        self.blobs.add_blob(1)


class Early(Times):
    """Adds a blob in its first reshape, which the original lets it."""

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if not self.blobs:
            self.blobs.add_blob(4)


class Wrong(caffe.Layer):
    """Fails in the method that param_str names."""

    def setup(self, bottom, top):
        self.fail_in("setup")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        self.fail_in("reshape", 2)

    def forward(self, bottom, top):
        if self.param_str == "numpy":
            top[0].data[...] = np.zeros(17)
        self.fail_in("forward")

    def backward(self, top, propagate_down, bottom):
        self.fail_in("backward")

    def fail_in(self, method, calls=1):
        self.counted = getattr(self, "counted", 0) + (method == self.param_str)
        if self.counted == calls:
            raise RuntimeError(f"no luck in {method}")


class Forwardless(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(1)


class OneWay(Forwardless):
    def forward(self, bottom, top):
        pass


class Shapeless(caffe.Layer):
    def forward(self, bottom, top):
        pass


class Negative(OneWay):
    def reshape(self, bottom, top):
        top[0].reshape(-1)


class Stranger:
    """Derives from nothing."""


# -- by torch ---------------------------------------------------------------------------------------------------------


class Gate(caffe.TorchLayer):
    """σ(Wx + b)·h·param_str."""

    def setup(self, x, h):
        self.fc = torch.nn.Linear(x[1], h[1])
        self.factor = float(self.param_str or 1)

    def forward(self, x, h):
        return torch.sigmoid(self.fc(x)) * h * self.factor


class Two(caffe.TorchLayer):
    """Two tops, one of them a comparison."""

    def forward(self, x):
        return x.sum(1), x > 0


class Normal(caffe.TorchLayer):
    """Batch normalisation, with statistics as buffers."""

    def setup(self, x):
        self.norm = torch.nn.BatchNorm1d(x[1], momentum=0.5)
        self.register_buffer("table", torch.arange(3))

    def forward(self, x):
        assert self.table.dtype == torch.int64
        return self.norm(x)


class Dropped(caffe.TorchLayer):
    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5, self.training)


class Chosen(caffe.TorchLayer):
    """The rows that are above 0, its shape said by itself."""

    def shapes(self, x):
        return [x]

    def forward(self, x):
        return x[x[:, 0] > 0]


class Torn(caffe.TorchLayer):
    def shapes(self, x):
        return [x]

    def forward(self, x):
        return x @ x


class Unmade(caffe.TorchLayer):
    def setup(self, x):
        raise KeyError("fc")
