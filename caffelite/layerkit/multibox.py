"""What MultiBoxLoss and MultiBoxFocalLoss share: which predictions are to be which true boxes, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import ops
from ..errors import Fault, LayerError
from ..proto import MultiBoxLossParameter as Settings
from .base import Shape, exactly, torch
from .losses import BATCH_SIZE, FULL, NONE, VALID, LossLayer, normalization
from .run import Run

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_AREA = 1e-5
"""Smaller boxes do not take part where boxes are thinned out."""


class _Truth(NamedTuple):
    """The true boxes of one image: classes, G, and corners, G×4."""

    labels: Tensor
    boxes: Tensor


class _Match(NamedTuple):
    """Which predictions of one image, for one of the locations of each prior box, are to be a true box.

    Attributes:
        slot: which of a prior box's locations; 0 where it has only one.
        found: P numbers of true boxes, −1, or −2 for a box that is left out whatever the loss.
        overlaps: P.
    """

    slot: int
    found: Tensor
    overlaps: Tensor

    @property
    def priors(self) -> Tensor:
        """The numbers of the matched prior boxes."""
        return (self.found >= 0).nonzero().squeeze(1)


class MultiBox(LossLayer):
    """Base of the losses of SSD.  A type says what the softmax of confidences costs."""

    bottoms, tops = exactly(4), exactly(1)
    ungraded = frozenset({2, 3})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("multibox_loss_param")
        self.classes, self.background = int(settings.num_classes), int(settings.background_label_id)
        self.mode = normalization(self, VALID)
        self.mines = settings.mining_type != Settings.NONE
        self.slots = 1 if settings.share_location else self.classes
        self.require(self.classes >= 1, "multibox_loss_param.num_classes", "must be given, at least 1")
        self._check_between_fields()

    def _check_between_fields(self) -> None:
        settings, path = self.settings("multibox_loss_param"), "multibox_loss_param"
        if settings.HasField("do_neg_mining"):
            self.expect(
                settings.do_neg_mining == self.mines,
                "do_neg_mining contradicts mining_type, which has taken its place",
                f"{path}.do_neg_mining",
                "leave do_neg_mining out",
            )
        if settings.conf_loss_type == Settings.SOFTMAX:
            rule = f"must be a class from 0 to {self.classes - 1}"
            self.require(self.background < self.classes, f"{path}.background_label_id", rule)
        if not settings.share_location:
            rule = "must be NONE without share_location"
            self.expect(not self.mines, f"mining_type {rule}", f"{path}.mining_type", "mining_type: NONE")
        if settings.map_object_to_agnostic:
            rule = "must be 2 with map_object_to_agnostic: background and object"
            self.require(self.classes == 2, f"{path}.num_classes", rule)
            self.require(self.background == 0, f"{path}.background_label_id", "must be 0 with map_object_to_agnostic")
        if settings.mining_type == Settings.HARD_EXAMPLE:
            self.require(settings.sample_size > 0, f"{path}.sample_size", "must be positive")

    def warnings(self) -> list[Fault]:
        faults, settings = super().warnings(), self.settings("multibox_loss_param")
        mines = settings.mining_type != Settings.NONE
        if mines and settings.HasField("nms_param") and settings.nms_param.top_k == 0:
            message = "nms_param without top_k leaves no box to learn from but matched ones"
            faults.append(self.fault(message, "multibox_loss_param.nms_param", "set top_k", "warning"))
        return faults

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        loc, conf, prior, truth = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        flat = math.prod(prior)
        self.expect(flat % 8 == 0, f"needs prior boxes of shape 1×2×4P, got {prior}", "bottom[2]")
        self.rows = truth[2] if len(truth) > 2 else 1  # as many as it is high, of 8 numbers each, whatever its width
        fits = math.prod(truth) >= 8 * self.rows
        self.expect(fits, f"needs true boxes of shape 1×1×G×8, got {truth}", "bottom[3]")
        self.images, self.priors = loc[0], flat // 8
        for position, shape, each, what in ((0, loc, 4 * self.slots, "locations"), (1, conf, self.classes, "classes")):
            self.expect(
                math.prod(shape[1:]) == self.priors * each,
                f"needs {each} {what} for each of {self.priors} prior boxes, {self.priors * each} in all, "
                f"got shape {shape}",
                f"bottom[{position}]",
            )
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        loc = bottoms[0].reshape(self.images, self.priors, self.slots, 4)
        conf = bottoms[1].reshape(self.images, self.priors, self.classes)
        priors, variances = bottoms[2].detach().reshape(2, self.priors, 4).float().cpu()
        if not bool((variances > 0).all()):
            message = f"variances of prior boxes must be positive, got {float(variances.min()):g}"
            raise LayerError(self.fault(message, "bottom[2]"))
        truths = self._truths(bottoms[3].detach().reshape(-1)[: 8 * self.rows].reshape(-1, 8).float().cpu())
        prediction = _Prediction(self.settings("multibox_loss_param"), priors, variances, truths, loc, conf)
        if self.mines:
            prediction.mine()
        matches = sum(len(match.priors) for _, match in prediction.matches())
        by = max(1, {FULL: self.images * self.priors, VALID: matches, BATCH_SIZE: self.images, NONE: 1}[self.mode])
        counted = list(self.param.propagate_down) or [True, True]
        loss = loc.new_zeros(())
        if counted[0]:
            loss = loss + prediction.location_loss() * float(self.settings("multibox_loss_param").loc_weight) / by
        if counted[1]:
            scores, labels, targets = prediction.counted()
            if targets is None:
                loss = loss + self.cost(scores, labels) / by
            else:
                loss = loss + ops.multibox.logistic_costs(scores, targets).sum() / by
        return (loss,)

    def cost(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Σ of what the softmax of M×C scores costs where the classes are these M labels, 0-d."""
        raise NotImplementedError

    def _truths(self, rows: Tensor) -> dict[int, _Truth]:
        """The true boxes of each image that has any."""
        settings = self.settings("multibox_loss_param")
        items, labels = rows[:, 0].long(), rows[:, 1].long()
        here = items != -1
        if not settings.use_difficult_gt:
            here &= rows[:, 7] == 0
        agnostic = bool(settings.map_object_to_agnostic)
        wrong = here & ((labels < 0) | (labels == self.background) | ((labels >= self.classes) & (not agnostic)))
        if bool(wrong.any()):
            self._refuse(int(wrong.nonzero()[0]), rows)
        if agnostic:
            labels = torch.full_like(labels, self.background + 1)
        return {
            int(item): _Truth(labels[here & (items == item)], rows[here & (items == item), 3:7])
            for item in items[here].unique()
        }

    def _refuse(self, row: int, rows: Tensor) -> None:
        label = int(rows[row, 1])
        message = f"true box {row} must be of a class from 0 to {self.classes - 1}, got {label}"
        if label == self.background:
            message = f"true box {row} is of the background, class {label}"
        help = "num_classes counts the background; was the data made with the label map of these classes?"
        raise LayerError(self.fault(message, "bottom[3]", help))


class _Prediction:
    """What a net predicts for a batch, and what it should.

    Attributes:
        found: the matches of each image; none of an image without true boxes.
        negatives: of each image, the numbers of the prior boxes that should be background; None: all without a match.
    """

    def __init__(
        self, settings: Any, priors: Tensor, variances: Tensor, truths: dict[int, _Truth], loc: Tensor, conf: Tensor
    ) -> None:
        """`priors` and `variances`: P×4; `loc`: N×P×slots×4; `conf`: N×P×C.  All but these two are on the CPU."""
        self.settings = settings
        self.priors, self.variances, self.truths, self.loc, self.conf = priors, variances, truths, loc, conf
        self.background = int(settings.background_label_id)
        self.late = bool(settings.encode_variance_in_target)
        self.squared = settings.loc_loss_type == Settings.L2
        self.logistic = settings.conf_loss_type == Settings.LOGISTIC
        self.negatives: list[Tensor] | None = None
        self.found = [self._matched(image) if image in truths else [] for image in range(len(loc))]

    def matches(self) -> Iterator[tuple[int, _Match]]:
        """Each with its image."""
        return ((image, match) for image, matches in enumerate(self.found) for match in matches)

    def _decoded(self, image: int, slot: int) -> Tensor:
        """The boxes that an image's locations mean, on the CPU."""
        loc = self.loc[image, :, slot].detach().float().cpu()
        return ops.boxes.decode(self.priors, None if self.late else self.variances, loc, self.settings.code_type)

    # -- matching -------------------------------------------------------------------------------------------------

    def _matched(self, image: int) -> list[_Match]:
        truth, settings = self.truths[image], self.settings
        per_prediction = settings.match_type == Settings.PER_PREDICTION
        threshold = float(settings.overlap_threshold) if per_prediction else None

        def match(boxes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
            return ops.multibox.match(boxes, wanted, threshold, bool(settings.ignore_cross_boundary_bbox))

        if settings.use_prior_for_matching:
            found, overlaps = match(self.priors, truth.boxes)
            if settings.share_location:
                return [_Match(0, found, overlaps)]
            labels = torch.where(found >= 0, truth.labels[found.clamp(min=0)], self.background)
            return [
                _Match(slot, found.where(labels == slot, ops.multibox.NO_MATCH), overlaps) for slot in self._slots()
            ]
        if settings.share_location:
            return [_Match(0, *match(self._decoded(image, 0), truth.boxes))]
        matches = []
        for slot in self._slots():
            mine = (truth.labels == slot).nonzero().squeeze(1)
            found, overlaps = match(self._decoded(image, slot), truth.boxes[mine])
            if len(mine):
                found = torch.where(found >= 0, mine[found.clamp(min=0)], found)
            matches.append(_Match(slot, found, overlaps))
        return matches

    def _slots(self) -> list[int]:
        """The classes that have locations of their own."""
        return [slot for slot in range(self.loc.shape[2]) if slot != self.background]

    # -- mining ---------------------------------------------------------------------------------------------------

    def mine(self) -> None:
        """Leave only the hardest."""
        hard = self.settings.mining_type == Settings.HARD_EXAMPLE
        self.negatives = [torch.zeros(0, dtype=torch.long) for _ in self.found]
        costs = self._confidence_costs()
        for image, match in list(self.matches()):
            cost = costs[image] + self._location_costs(image, match) if hard else costs[image]
            chosen = self._hardest(image, match, cost.float().cpu())
            self.negatives[image] = (chosen & (match.found == ops.multibox.NO_MATCH)).nonzero().squeeze(1)
            if hard:
                found = torch.where((match.found >= 0) & ~chosen, ops.multibox.NO_MATCH, match.found)
                self.found[image] = [match._replace(found=found)]

    def _hardest(self, image: int, match: _Match, cost: Tensor) -> Tensor:
        """Which of the prior boxes are the hardest: P, bool."""
        settings = self.settings
        if settings.mining_type == Settings.HARD_EXAMPLE:
            candidates, most = torch.arange(len(cost)), int(settings.sample_size)
        else:
            eligible = (match.found == ops.multibox.NO_MATCH) & (match.overlaps < settings.neg_overlap)
            candidates, most = eligible.nonzero().squeeze(1), int(len(match.priors) * settings.neg_pos_ratio)
        cost = cost[candidates]
        if settings.HasField("nms_param") and settings.nms_param.nms_threshold > 0:
            boxes = self.priors if settings.use_prior_for_nms else self._decoded(image, 0)
            nms = settings.nms_param
            order = ops.boxes.nms(boxes[candidates], cost, nms.nms_threshold, nms.top_k, smallest=_LEAST_AREA)
        else:
            order = cost.sort(descending=True, stable=True).indices
        chosen = torch.zeros(len(self.priors), dtype=torch.bool)
        chosen[candidates[order[: max(0, most)]]] = True
        return chosen

    def _confidence_costs(self) -> Tensor:
        """What each prediction costs: N×P."""
        labels, scores = self._labels().to(self.conf.device), self.conf.detach()
        if self.logistic:
            return ops.multibox.logistic_costs(scores, torch.zeros_like(scores).scatter_(2, labels.unsqueeze(2), 1))
        return ops.multibox.softmax_costs(scores, labels)

    def _location_costs(self, image: int, match: _Match) -> Tensor:
        """What each matched location costs, and 0 for others: P."""
        predicted, wanted, by = self._compared(image, match)
        if by is not None:
            predicted, wanted = predicted / by, wanted / by
        costs = ops.multibox.location_costs((predicted - wanted).detach(), self.squared).sum(1)
        result = costs.new_zeros(len(self.priors))
        result[match.priors.to(result.device)] = costs
        return result

    # -- the loss -------------------------------------------------------------------------------------------------

    def _compared(self, image: int, match: _Match) -> tuple[Tensor, Tensor, Tensor | None]:
        """Locations of matched prior boxes and what they should be, M×4 each, and what both are to be divided by."""
        here, truth = match.priors, self.truths[image]
        priors, variances = self.priors[here], self.variances[here]
        boxes = truth.boxes[match.found[here]]
        wanted = ops.boxes.encode(priors, None if self.late else variances, boxes, self.settings.code_type)
        predicted = self.loc[image, here.to(self.loc.device), match.slot]
        wanted = wanted.to(predicted)
        if self.settings.bp_inside:
            corners = priors if self.settings.use_prior_for_matching else self._decoded(image, match.slot)[here]
            outside = (corners < 0) | (corners > 1)
            predicted = torch.where(outside.to(predicted.device), wanted, predicted)
        return predicted, wanted, variances.to(predicted) if self.late else None

    def location_loss(self) -> Tensor:
        """Σ over matched locations."""
        parts = [self._compared(image, match) for image, match in self.matches()]
        if not parts:
            return self.loc[:0].sum()
        predicted, wanted = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        by = torch.cat([part[2] for part in parts if part[2] is not None]) if self.late else None
        return ops.multibox.location_loss(predicted, wanted, by, self.squared)

    def _labels(self) -> Tensor:
        """What each prediction should be: N×P."""
        labels = torch.full(self.conf.shape[:2], self.background)
        for image, match in self.matches():
            labels[image, match.priors] = self.truths[image].labels[match.found[match.priors]]
        return labels

    def counted(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The confidences that count, M×C, and the classes they should be, M; and what each class should be, M×C, with
        LOGISTIC."""
        device = self.conf.device
        if self.negatives is None:
            scores, labels = self.conf.flatten(0, 1), self._labels().flatten().to(device)
            if not self.logistic:
                return scores, labels, None
            targets = torch.zeros(self.conf.shape)
            for image, match in self.matches():
                targets[image, match.priors, self.truths[image].labels[match.found[match.priors]]] = 1
            return scores, labels, targets.flatten(0, 1).to(scores)
        rows = []
        for image, (matches, negatives) in enumerate(zip(self.found, self.negatives, strict=True)):
            rows += [image * len(self.priors) + part for part in (*(match.priors for match in matches), negatives)]
        here = torch.cat(rows)
        labels, scores = self._labels().flatten()[here].to(device), self.conf.flatten(0, 1)[here.to(device)]
        if self.logistic:
            return scores, labels, torch.zeros_like(scores).scatter_(1, labels.unsqueeze(1), 1)
        return scores, labels, None
