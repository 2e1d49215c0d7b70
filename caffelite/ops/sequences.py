"""Sequences of classes that are spelt by more steps than they have labels (connectionist temporal classification)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def ctc_loss(scores: torch.Tensor, labels: torch.Tensor, blank: int) -> torch.Tensor:
    """Σ −log p(labels) / N, 0-d, of scores T×N×C and int64 labels N×L on the CPU; labels that are `blank` are none.

    A sequence that cannot spell its labels in T steps counts as 0, without a gradient.
    """
    steps, sequences, _ = scores.shape
    given = labels != blank
    targets, lengths = labels[given], given.sum(1)
    costs = F.ctc_loss(
        scores.log_softmax(2), targets.to(scores.device), torch.full((sequences,), steps), lengths, blank, "none", True
    )
    return costs.sum() / sequences


def best_path(scores: torch.Tensor, blank: int) -> list[list[int]]:
    """What N×T×C scores spell if every step is the class of its highest score, the first of equal ones."""
    best = scores.cpu().numpy().argmax(2).tolist()
    return [
        [now for before, now in zip([blank, *row], row, strict=False) if now not in (before, blank)] for row in best
    ]
