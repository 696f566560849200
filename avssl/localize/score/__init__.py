"""Localization scores: exact, in float64, one item at a time.

Definitions follow the literature where it has one, named in each part. What the usual scores do not tell is added:
whether the model listens (`swap_gap`, `two_things`) and whether it stays dark when nothing in the picture sounds
(`lit_area` at the one threshold of `choose_threshold`). All shares are fractions 0 to 1. A cell is lit when its score
is >= the threshold, here and in the overlays.
"""

from avssl.localize.baselines import average_box, centre_disc, oracle, random_map, whole_image
from avssl.localize.masks import binarize, boxes_to_mask, consensus, truth_over_time, upsample
from avssl.localize.score.clips import SCORING_SIZE, ClipScore, score_clip, score_times
from avssl.localize.score.dark import Threshold, choose_threshold, listening_threshold, lit_area, lit_share
from avssl.localize.score.detection import Detection, confidence, detection
from avssl.localize.score.listening import swap_gap, two_things
from avssl.localize.score.negatives import auc_n, f_auc, f_loc, negative_threshold, pia
from avssl.localize.score.overlap import AUC_THRESHOLDS, auc, ciou, iauc, iiou, pointing, success_at
from avssl.localize.score.segments import f_measure, iou, mean_iou
from avssl.localize.score.spread import SIZES, bootstrap, by_size, size_of

__all__ = [
    "AUC_THRESHOLDS",
    "SCORING_SIZE",
    "SIZES",
    "ClipScore",
    "Detection",
    "Threshold",
    "auc",
    "auc_n",
    "average_box",
    "binarize",
    "bootstrap",
    "boxes_to_mask",
    "by_size",
    "centre_disc",
    "choose_threshold",
    "ciou",
    "confidence",
    "consensus",
    "detection",
    "f_auc",
    "f_loc",
    "f_measure",
    "iauc",
    "iiou",
    "iou",
    "listening_threshold",
    "lit_area",
    "lit_share",
    "mean_iou",
    "negative_threshold",
    "oracle",
    "pia",
    "pointing",
    "random_map",
    "score_clip",
    "score_times",
    "size_of",
    "success_at",
    "swap_gap",
    "truth_over_time",
    "two_things",
    "upsample",
    "whole_image",
]
