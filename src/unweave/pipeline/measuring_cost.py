"""What measuring will take, estimated from one batch before it begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import nn

from unweave.analysis.class_rows import class_rows
from unweave.analysis.hit_rate import MOSAICS
from unweave.analysis.keep_curve import OTHERS, SHARES
from unweave.analysis.specificity import CONTROLS
from unweave.data.labelled import LabelledImages
from unweave.estimates import Estimate, duration, fastest
from unweave.network.shared_copy import shared_copy
from unweave.paths import Paths
from unweave.pipeline.studies import ABLATION_OTHERS
from unweave.pipeline.subject import Subject, others_asked

_TIMED = 16
_OF_CLASSES = {"accuracy", "interpretability", "compare_interpretability", "ablation", "keep_curve", "misjudgements"}


@dataclass(frozen=True)
class MeasuringCost(Estimate):
    """What measuring will take: `rows` of paths, `images` at hand, `forward_passes` of single images, expected
    `seconds` (drawing is not counted)."""

    rows: int
    images: int
    forward_passes: int
    seconds: float

    def words(self) -> str:
        """Counts and time, for a person."""
        return f"{self.rows} rows on {self.images} images: about {duration(self.seconds)}"


def forward_passes(names: Sequence[str], paths: Paths, images: LabelledImages) -> int:
    """How many images the measures `names` run through the network, with masks or without.

    Accuracy: every row's own images, through the row and through the whole network. Specificity: all images through the
    whole network, through every row and through every row's random masks. Ablation: each row's own images and some
    others, through its mask, the complement and random masks with three fillings; the keep curve: through the channels
    of highest score, the others, and random ones, at each share. Hit rate: each mosaic through the rows of its four
    classes. Misjudgements: the images of all rows through the whole network. Exciting: all images through the whole
    network.
    """
    passes = 0
    own = [len(row.own(images)) for row in class_rows(paths, "measuring")] if set(names) & _OF_CLASSES else []
    if {"accuracy", "interpretability", "compare_interpretability"} & set(names):
        passes += 2 * sum(own)
    if "ablation" in names:
        passes += ablation_passes(own, images, ABLATION_OTHERS)
    if "keep_curve" in names:
        passes += keep_curve_passes(own, images, OTHERS)
    if "hit_rate" in names:
        passes += 4 * MOSAICS
    if "exciting" in names:
        passes += len(images)
    if "misjudgements" in names:
        passes += sum(own)
    if "specificity" in names:
        passes += specificity_passes(paths, images, others_asked(len(paths), len(images)))
    return passes


def specificity_passes(paths: Paths, images: LabelledImages, others: int | None) -> int:
    """With `others` images of other classes a row, None: all."""
    asked = len(images) if others is None else min(len(images), others + len(images) // max(1, len(paths)))
    return len(images) + len(paths) * asked * (1 + CONTROLS)


def ablation_passes(own: Sequence[int], images: LabelledImages, others: int) -> int:
    """Of rows with `own` images each, and at most so many of others."""
    return 3 * (2 + CONTROLS) * _asked(own, images, others) + 3 * len(images)


def keep_curve_passes(own: Sequence[int], images: LabelledImages, others: int) -> int:
    """Likewise; nothing and everything are the same for all curves, and everything is the whole network."""
    return ((2 + CONTROLS) * (len(SHARES) - 2) + 1) * _asked(own, images, others) + len(images)


def _asked(own: Sequence[int], images: LabelledImages, others: int) -> int:
    return sum(count + min(others, len(images) - count) for count in own)


def measuring_cost(names: Sequence[str], subject: Subject) -> MeasuringCost:
    """About what the measures `names` take, from the time that a few images take to be read and computed."""
    rows, images = len(subject.paths), len(subject.images or ())
    if subject.network is None or subject.images is None:
        return MeasuringCost(rows, images, 0, 0.0)
    passes = forward_passes(names, subject.paths, subject.images)
    found = MeasuringCost(rows, images, passes, seconds_to_measure(subject.network, subject.images, passes))
    if "compare_interpretability" not in names:
        return found
    return reduce(_sum, (measuring_cost(["accuracy"], one) for one in subject.beside.values()), found)


def seconds_to_measure(network: nn.Module, images: LabelledImages, passes: int) -> float:
    """To read all images once, and to run the network on `passes` of them: from a few, and as many others before them,
    which warm up."""
    few = images.intact(min(2 * _TIMED, len(images)))
    copied, timed = shared_copy(network), []
    device = next((p.device for p in copied.parameters()), torch.device("cpu"))
    for some in (few[::2], few[1::2]):
        if not len(some):
            continue
        started = time.perf_counter()
        batch = images.images(some)
        read = time.perf_counter()
        with torch.inference_mode():
            copied(batch.to(device))
        timed.append(((read - started) / len(some), (time.perf_counter() - read) / len(some)))
    reading, running = map(fastest, zip(*timed, strict=True))
    return len(images) * reading + passes * running


def _sum(first: MeasuringCost, second: MeasuringCost) -> MeasuringCost:
    added = (getattr(first, field.name) + getattr(second, field.name) for field in fields(MeasuringCost))
    return MeasuringCost(*added)
