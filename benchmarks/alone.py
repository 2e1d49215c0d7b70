"""AlexNet trained by hand, in a process that does nothing else.

python -m benchmarks.alone plain|tuned BATCH THREADS
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F

from .handwritten.alexnet import alexnet, quick_alexnet

ITERATIONS = 5


def main(how: str, batch: int, threads: int) -> None:
    torch.set_num_threads(threads)
    fast = how == "tuned"
    order = torch.channels_last if fast else torch.contiguous_format
    model = (quick_alexnet if fast else alexnet)().to(memory_format=order)  # type: ignore[call-overload]
    images, labels = torch.ones(batch, 3, 227, 227).contiguous(memory_format=order), torch.zeros(batch).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005, fused=fast)
    for _ in range(ITERATIONS):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        print(loss.item())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
