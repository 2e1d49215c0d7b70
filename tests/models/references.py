"""AlexNet, GoogLeNet, ResNet-50 and VGG-16 as plain torch modules, from their papers, without caffelite.

What holds weights is called as in the published prototxt, so that weights can be handed over by name.  A forward gives
the scores of every classifier, by the name of its blob.  Dropout is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Reference(nn.Module):
    """Layers and normalisations by name.

    A normalisation is called by what its two Caffe layers have in common: "2a_branch1" of bn2a_branch1 and
    scale2a_branch1.  Its running statistics become those of the last batch (momentum 1).
    """

    side = 224
    losses: dict[str, float]

    def __init__(self, side: int) -> None:
        """`side`: of the images; with it the number of inputs of fully connected layers changes."""
        super().__init__()
        self.layers = nn.ModuleDict()
        self.norms = nn.ModuleDict()

    def learned(self) -> dict[str, nn.Parameter]:
        """The parameters under Caffe's names, "layer/slot"."""
        return {
            f"{prefix}{name}/{slot}": parameter
            for prefix, modules in (("", self.layers), ("scale", self.norms))
            for name, module in modules.items()
            for slot, parameter in enumerate(module.parameters())
        }

    def take_over(self, weights: dict[str, Tensor]) -> None:
        """Compute with these weights, by Caffe's names: the learned ones, and what BatchNorm layers have collected."""
        names = {id(parameter): name for name, parameter in self.learned().items()}
        state = {key: weights[names[id(parameter)]] for key, parameter in self.named_parameters()}
        for name in self.norms:
            mean, variance, amount = (weights[f"bn{name}/{slot}"] for slot in range(3))
            state |= {f"norms.{name}.running_mean": mean / amount, f"norms.{name}.running_var": variance / amount}
            state[f"norms.{name}.num_batches_tracked"] = torch.tensor(1)
        self.load_state_dict(state, assign=True)

    def relu_of(self, name: str, x: Tensor) -> Tensor:
        """A layer and its ReLU."""
        return F.relu(self.layers[name](x))


def halved(x: Tensor) -> Tensor:
    """Overlapping max pooling; the last window may overhang."""
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def respond(x: Tensor) -> Tensor:
    """Local response normalisation over 5 channels."""
    return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)


class AlexNet(Reference):
    side = 227
    losses = {"fc8": 1.0}

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.layers["conv1"] = nn.Conv2d(3, 96, 11, stride=4)
        self.layers["conv2"] = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.layers["conv3"] = nn.Conv2d(256, 384, 3, padding=1)
        self.layers["conv4"] = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.layers["conv5"] = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.layers["fc6"] = nn.Linear(256 * ((side - 35) // 32) ** 2, 4096)
        self.layers["fc7"] = nn.Linear(4096, 4096)
        self.layers["fc8"] = nn.Linear(4096, 1000)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = halved(respond(self.relu_of("conv1", x)))
        x = halved(respond(self.relu_of("conv2", x)))
        x = self.relu_of("conv4", self.relu_of("conv3", x))
        x = halved(self.relu_of("conv5", x)).flatten(1)
        return {"fc8": self.layers["fc8"](self.relu_of("fc7", self.relu_of("fc6", x)))}


class VGG16(Reference):
    losses = {"fc8": 1.0}
    blocks = {1: [64, 64], 2: [128, 128], 3: [256] * 3, 4: [512] * 3, 5: [512] * 3}

    def __init__(self, side: int) -> None:
        super().__init__(side)
        channels = 3
        for block, widths in self.blocks.items():
            for at, width in enumerate(widths, 1):
                self.layers[f"conv{block}_{at}"] = nn.Conv2d(channels, width, 3, padding=1)
                channels = width
        self.layers["fc6"] = nn.Linear(512 * (side // 32) ** 2, 4096)
        self.layers["fc7"] = nn.Linear(4096, 4096)
        self.layers["fc8"] = nn.Linear(4096, 1000)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for block, widths in self.blocks.items():
            for at in range(1, len(widths) + 1):
                x = self.relu_of(f"conv{block}_{at}", x)
            x = F.max_pool2d(x, 2)
        x = self.relu_of("fc7", self.relu_of("fc6", x.flatten(1)))
        return {"fc8": self.layers["fc8"](x)}


class GoogLeNet(Reference):
    """In training mode with the two classifiers in the middle."""

    losses = {"loss1/classifier": 0.3, "loss2/classifier": 0.3, "loss3/classifier": 1.0}
    modules_of = {
        # channels in; 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; behind pooling
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }
    helpers = {"4a": ("loss1", 512), "4d": ("loss2", 528)}

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.layers["conv1/7x7_s2"] = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.layers["conv2/3x3_reduce"] = nn.Conv2d(64, 64, 1)
        self.layers["conv2/3x3"] = nn.Conv2d(64, 192, 3, padding=1)
        for module, (channels, one, reduce3, three, reduce5, five, pooled) in self.modules_of.items():
            name = f"inception_{module}"
            self.layers[f"{name}/1x1"] = nn.Conv2d(channels, one, 1)
            self.layers[f"{name}/3x3_reduce"] = nn.Conv2d(channels, reduce3, 1)
            self.layers[f"{name}/3x3"] = nn.Conv2d(reduce3, three, 3, padding=1)
            self.layers[f"{name}/5x5_reduce"] = nn.Conv2d(channels, reduce5, 1)
            self.layers[f"{name}/5x5"] = nn.Conv2d(reduce5, five, 5, padding=2)
            self.layers[f"{name}/pool_proj"] = nn.Conv2d(channels, pooled, 1)
        for name, channels in self.helpers.values():
            self.layers[f"{name}/conv"] = nn.Conv2d(channels, 128, 1)
            self.layers[f"{name}/fc"] = nn.Linear(128 * ((side // 16 - 2) // 3) ** 2, 1024)
            self.layers[f"{name}/classifier"] = nn.Linear(1024, 1000)
        self.layers["loss3/classifier"] = nn.Linear(1024, 1000)

    def inception(self, name: str, x: Tensor) -> Tensor:
        one = self.relu_of(f"{name}/1x1", x)
        three = self.relu_of(f"{name}/3x3", self.relu_of(f"{name}/3x3_reduce", x))
        five = self.relu_of(f"{name}/5x5", self.relu_of(f"{name}/5x5_reduce", x))
        pooled = self.relu_of(f"{name}/pool_proj", F.max_pool2d(x, 3, 1, padding=1))
        return torch.cat([one, three, five, pooled], 1)

    def helper(self, name: str, x: Tensor) -> Tensor:
        x = self.relu_of(f"{name}/conv", F.avg_pool2d(x, 5, 3)).flatten(1)
        return self.layers[f"{name}/classifier"](self.relu_of(f"{name}/fc", x))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores = {}
        x = respond(halved(self.relu_of("conv1/7x7_s2", x)))
        x = halved(respond(self.relu_of("conv2/3x3", self.relu_of("conv2/3x3_reduce", x))))
        for module in self.modules_of:
            x = self.inception(f"inception_{module}", x)
            if self.training and module in self.helpers:
                name = self.helpers[module][0]
                scores[f"{name}/classifier"] = self.helper(name, x)
            if module in ("3b", "4e"):
                x = halved(x)
        scores["loss3/classifier"] = self.layers["loss3/classifier"](x.mean((2, 3)))
        return scores


class ResNet50(Reference):
    """With the stride in the first convolution of a block, as its authors published it."""

    losses = {"fc1000": 1.0}
    stages = {2: (3, 64), 3: (4, 128), 4: (6, 256), 5: (3, 512)}

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self._add("conv1", "_conv1", 3, 64, 7, 2)
        channels = 64
        for stage, (count, width) in self.stages.items():
            for at in range(count):
                block, stride = f"{stage}{'abcdef'[at]}", 2 if at == 0 and stage > 2 else 1
                if at == 0:
                    self._add_branch(block, "branch1", channels, 4 * width, 1, stride)
                self._add_branch(block, "branch2a", channels, width, 1, stride)
                self._add_branch(block, "branch2b", width, width, 3, 1)
                self._add_branch(block, "branch2c", width, 4 * width, 1, 1)
                channels = 4 * width
        self.layers["fc1000"] = nn.Linear(2048, 1000)

    def _add(self, layer: str, norm: str, channels: int, width: int, kernel: int, stride: int) -> None:
        self.layers[layer] = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
        self.norms[norm] = nn.BatchNorm2d(width, eps=1e-5, momentum=1.0)

    def _add_branch(self, block: str, branch: str, *window: int) -> None:
        self._add(f"res{block}_{branch}", f"{block}_{branch}", *window)

    def branch(self, block: str, branch: str, x: Tensor) -> Tensor:
        return self.norms[f"{block}_{branch}"](self.layers[f"res{block}_{branch}"](x))

    def residual(self, block: str, x: Tensor) -> Tensor:
        y = F.relu(self.branch(block, "branch2a", x))
        y = F.relu(self.branch(block, "branch2b", y))
        y = self.branch(block, "branch2c", y)
        return F.relu(y + (self.branch(block, "branch1", x) if block.endswith("a") else x))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = halved(F.relu(self.norms["_conv1"](self.layers["conv1"](x))))
        for stage, (count, _) in self.stages.items():
            for at in range(count):
                x = self.residual(f"{stage}{'abcdef'[at]}", x)
        return {"fc1000": self.layers["fc1000"](x.mean((2, 3)))}
