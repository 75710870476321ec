"""What a report will take, estimated from one batch before it begins."""

from __future__ import annotations

from torch import nn

from unweave.analysis.class_rows import class_rows
from unweave.data.labelled import LabelledImages
from unweave.paths import Paths
from unweave.pipeline.measuring_cost import (
    MeasuringCost,
    ablation_passes,
    keep_curve_passes,
    seconds_to_measure,
    specificity_passes,
)
from unweave.pipeline.report_sections import IMAGES_SEARCHED, controlled, single_classes
from unweave.pipeline.subject import others_asked, why_no_mosaics


def report_passes(paths: Paths, images: LabelledImages, *, mosaics: int, others: int | None) -> int:
    """How many images a report runs through the network, with masks or without: for its measures, each as
    `forward_passes` counts it, and for the images that excite channels."""
    asked = others_asked(len(paths), len(images)) if others is None else others
    own = [len(row.own(images)) for row in class_rows(paths, "a report")]
    rows, of_others = controlled(paths, images, asked)
    chosen = [own[row] for row in rows]
    passes = specificity_passes(paths, images, asked) + ablation_passes(chosen, images, of_others)
    if paths.scores is not None:
        passes += keep_curve_passes(chosen, images, of_others)
    if single_classes(paths):
        passes += sum(own)
    if mosaics and not why_no_mosaics(paths, images):
        passes += 4 * (mosaics + 1)  # one of them is shown as well
    return passes + min(IMAGES_SEARCHED, len(images))


def report_cost(
    paths: Paths, network: nn.Module, images: LabelledImages, *, mosaics: int, others: int | None
) -> MeasuringCost:
    """About what a report takes, drawing apart, from the time that a few images take to be read and computed.

    Raises
    ------
    PathsError
        If rows are inputs.
    """
    passes = report_passes(paths, images, mosaics=mosaics, others=others)
    return MeasuringCost(len(paths), len(images), passes, seconds_to_measure(network, images, passes))
