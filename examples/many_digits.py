"""A data layer in Python, by the protocol of Caffe's Python layers: pages with several digits, and which there are.

layer {
  name: "pages" type: "Python" top: "data" top: "label"
  python_param { module: "many_digits" layer: "ManyDigits" param_str: '{"database": "…", "batch_size": 50}' }
}
"""

from __future__ import annotations

import json

import numpy as np
from lesson import read

import caffelite as caffe

SIDE = 56
"""Height and width of a page."""


class ManyDigits(caffe.Layer):
    """Pages of 56×56 with one to three digits, and for each of the ten labels whether it is there.

    Tops: data, N×1×56×56, 0 … 1; label, N×10, 0 or 1.  In `param_str`, as JSON: `database`, of 28×28 digits;
    `batch_size`; `most`, how many digits to take from the database; `seed`.
    """

    def setup(self, bottom, top):
        settings = json.loads(self.param_str)
        self.batch_size, self.seed = settings["batch_size"], settings.get("seed", 0)
        self.images, self.labels = read(settings["database"], settings.get("most", 5000))
        self.batches = 0

    def reshape(self, bottom, top):
        top[0].reshape(self.batch_size, 1, SIDE, SIDE)
        top[1].reshape(self.batch_size, 10)

    def forward(self, bottom, top):
        chance = np.random.default_rng([self.seed, self.batches])
        self.batches += 1
        top[0].data[...] = 0
        top[1].data[...] = 0
        for page, there in zip(top[0].data[:, 0], top[1].data, strict=True):
            quarters = chance.permutation(4)[: chance.integers(1, 4)]
            for quarter in quarters:
                number = chance.integers(len(self.images))
                y, x = 28 * np.array(divmod(quarter, 2)) + chance.integers(-3, 4, 2)
                y, x = np.clip((y, x), 0, SIDE - 28)
                page[y : y + 28, x : x + 28] = np.maximum(page[y : y + 28, x : x + 28], self.images[number, 0] / 255)
                there[self.labels[number]] = 1

    def backward(self, top, propagate_down, bottom):
        """Nothing lies below data."""

    # What a snapshot keeps of this layer: a resumed run goes on with the pages that would have come.

    def get_extra_state(self):
        return {"batches": self.batches}

    def set_extra_state(self, state):
        self.batches = state["batches"]
