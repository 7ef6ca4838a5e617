"""Label maps brought to other grids: refined to that of an upsampled scan, coarsened to a thick one. No files."""

from saint_cli.labels.coarsen import coarsen_labels
from saint_cli.labels.convert import convert_labels
from saint_cli.labels.grids import GridRelation, LabelPlan, orient_labels, place_labels, plan_labels
from saint_cli.labels.measure import LabelVolume, label_volumes
from saint_cli.labels.planes import resample_label_planes
from saint_cli.labels.refine import refine_labels

__all__ = [
    "GridRelation",
    "LabelPlan",
    "LabelVolume",
    "coarsen_labels",
    "convert_labels",
    "label_volumes",
    "orient_labels",
    "place_labels",
    "plan_labels",
    "refine_labels",
    "resample_label_planes",
]
