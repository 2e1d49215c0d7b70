"""A small Faster R-CNN with hard example mining as a whole: both plans train it alike."""

from __future__ import annotations

import numpy as np
import pytest

from ..nets import net_of

CONV = 'param { lr_mult: 1 } convolution_param { weight_filler { type: "msra" } num_output: '
NET = f"""
layer {{ name: "in" type: "Input" top: "data" top: "im_info" top: "gt_boxes" input_param {{
  shape {{ dim: 1 dim: 3 dim: 64 dim: 96 }} shape {{ dim: 1 dim: 3 }} shape {{ dim: 2 dim: 5 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" {CONV} 8 kernel_size: 8 stride: 8 }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "score" type: "Convolution" bottom: "conv" top: "score" {CONV} 12 kernel_size: 1 }} }}
layer {{ name: "delta" type: "Convolution" bottom: "conv" top: "delta" {CONV} 24 kernel_size: 1 }} }}
layer {{ name: "score2" type: "Reshape" bottom: "score" top: "score2"
  reshape_param {{ shape {{ dim: 0 dim: 2 dim: -1 dim: 0 }} }} }}
layer {{ name: "anchors" type: "Python" bottom: "score" bottom: "gt_boxes" bottom: "im_info" bottom: "data"
  top: "rpn_labels" top: "rpn_targets" top: "rpn_inside" top: "rpn_outside" python_param {{
    module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "{{'feat_stride': 8, 'scales': [1, 2]}}" }} }}
layer {{ name: "rpn_loss" type: "SoftmaxWithLoss" bottom: "score2" bottom: "rpn_labels" top: "rpn_loss"
  propagate_down: 1 propagate_down: 0 loss_param {{ ignore_label: -1 }} }}
layer {{ name: "rpn_boxes" type: "SmoothL1Loss" bottom: "delta" bottom: "rpn_targets" bottom: "rpn_inside"
  bottom: "rpn_outside" top: "rpn_boxes" smooth_l1_loss_param {{ sigma: 3 }} }}
layer {{ name: "prob" type: "Softmax" bottom: "score2" top: "prob2" }}
layer {{ name: "prob2" type: "Reshape" bottom: "prob2" top: "prob"
  reshape_param {{ shape {{ dim: 0 dim: 12 dim: -1 dim: 0 }} }} }}
layer {{ name: "proposal" type: "Python" bottom: "prob" bottom: "delta" bottom: "im_info" top: "proposals"
  python_param {{ module: "rpn.proposal_layer" layer: "ProposalLayer"
    param_str: "{{'feat_stride': 8, 'scales': [1, 2], 'RPN_MIN_SIZE': 4}}" }} }}
layer {{ name: "picked" type: "Python" bottom: "proposals" bottom: "gt_boxes"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside" python_param {{
    module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
    param_str: "{{'num_classes': 3, 'BATCH_SIZE': 24}}" }} }}
layer {{ name: "maps" type: "Convolution" bottom: "conv" top: "maps" {CONV} 27 kernel_size: 1 }} }}
layer {{ name: "cells" type: "PSROIPooling" bottom: "maps" bottom: "rois" top: "cells"
  psroi_pooling_param {{ spatial_scale: 0.125 output_dim: 3 group_size: 3 }} }}
layer {{ name: "class" type: "Pooling" bottom: "cells" top: "class"
  pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param {{ pooled_h: 2 pooled_w: 2 spatial_scale: 0.125 }} }}
layer {{ name: "boxes" type: "InnerProduct" bottom: "pool" top: "boxes"
  inner_product_param {{ num_output: 12 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "each" type: "SoftmaxWithLossOHEM" bottom: "class" bottom: "labels" top: "a" top: "b" top: "loss1"
  loss_weight: 0 loss_weight: 0 loss_weight: 0 propagate_down: false propagate_down: false }}
layer {{ name: "each_box" type: "SmoothL1LossOHEM" bottom: "boxes" bottom: "targets" bottom: "inside"
  top: "c" top: "loss2" loss_weight: 0 loss_weight: 0 propagate_down: 0 propagate_down: 0 propagate_down: 0 }}
layer {{ name: "sum" type: "Eltwise" bottom: "loss1" bottom: "loss2" top: "loss" propagate_down: 0 propagate_down: 0 }}
layer {{ name: "hardest" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "loss" bottom: "labels" bottom: "inside"
  top: "hard_labels" top: "hard_weights" box_annotator_ohem_param {{ roi_per_img: 8 }}
  propagate_down: 0 propagate_down: 0 propagate_down: 0 propagate_down: 0 }}
layer {{ name: "unused" type: "Silence" bottom: "outside" bottom: "a" bottom: "b" bottom: "c" }}
layer {{ name: "class_loss" type: "SoftmaxWithLoss" bottom: "class" bottom: "hard_labels" top: "class_loss"
  propagate_down: 1 propagate_down: 0 loss_param {{ ignore_label: -1 }} }}
layer {{ name: "box_loss" type: "SmoothL1LossOHEM" bottom: "boxes" bottom: "targets" bottom: "hard_weights"
  top: "box_loss" propagate_down: 1 propagate_down: 0 propagate_down: 0
  loss_param {{ normalization: PRE_FIXED pre_fixed_normalizer: 8 }} }}
"""
LOSSES = ("rpn_loss", "rpn_boxes", "class_loss", "box_loss")


@pytest.mark.filterwarnings("ignore:overflow")
def test_both_plans_train_it_alike() -> None:
    found = []
    for observed in (True, False):
        net = net_of(NET, phase=0, observed=observed)
        chance = np.random.default_rng(1)
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = chance.normal(0, 0.05, blob.shape)
        net.blobs["data"].data[...] = chance.normal(0, 1, (1, 3, 64, 96))
        net.blobs["im_info"].data[...] = 64, 96, 1
        net.blobs["gt_boxes"].data[...] = [[4, 6, 30, 40, 1], [50, 10, 80, 60, 2]]
        net.forward_backward()
        losses = {name: net.blobs[name].data.item() for name in LOSSES}
        found.append((losses, {name: [blob.diff.copy() for blob in blobs] for name, blobs in net.params.items()}))
        if observed:
            assert net.blobs["rois"].shape == (24, 5, 1, 1)
            labels = net.blobs["hard_labels"].data
            assert (labels >= 0).sum() == 8
            assert net.blobs["loss"].shape == (24, 1, 1, 1)
    assert all(np.isfinite(loss) and loss > 0 for loss in found[0][0].values())
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for name, gradients in found[0][1].items():
        for one, other in zip(gradients, found[1][1][name], strict=True):
            assert one.any(), name
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * abs(one).max())
