"""The report's parts that are figures: controls, what classes share, where they look, why the network errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from unweave.analysis.ablation import ablation
from unweave.analysis.class_rows import class_rows
from unweave.analysis.clusters import Clusters, cluster
from unweave.analysis.feature_maps import feature_maps
from unweave.analysis.hit_rate import hit_rate
from unweave.analysis.keep_curve import keep_curve
from unweave.analysis.misjudgements import Misjudgements
from unweave.analysis.similarity import Similarity, similarity
from unweave.analysis.stability import Stability, stability
from unweave.analysis.usage import usage
from unweave.data.labelled import LabelledImages
from unweave.paths import Paths
from unweave.pipeline.groups import Groups, groups_of
from unweave.pipeline.subject import readable_mosaics, why_no_mosaics
from unweave.tables import Table

if TYPE_CHECKING:
    from unweave.views.report.content import Section

_MOST_CONTROLLED = 100
"""Rows whose controls are measured, and images of other classes that each is asked about: some forty passes for each
pair, which for a thousand classes would take longer than all else together."""
IMAGES_SEARCHED = 2000
"""At most, for those that excite a channel most."""


@dataclass(frozen=True, eq=False)
class Measuring:
    """What a report measures with. `others`: images of other classes that a row is asked about, None: all; `distances`:
    `[rows, rows]` in a known hierarchy; `named`: what the data of the `search` and of the `measures` are called."""

    network: nn.Module
    images: LabelledImages
    mosaics: int
    others: int | None
    seed: int
    groups: Groups | None
    distances: np.ndarray | None
    named: Mapping[str, str]
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Shared:
    """What classes share, as masks alone tell: `alike` of at least two rows, `clusters` of three, `stable` of two rows
    that were searched with other seeds; else None."""

    alike: Similarity | None
    clusters: Clusters | None
    stable: Stability | None

    @property
    def own_similarity(self) -> float | None:
        """Of a class to itself under other seeds, mean over sites: the line in figures of similarity."""
        return float(self.stable.per_site.summary["self_similarity"]) if self.stable is not None else None


def shared_by(paths: Paths, measuring: Measuring, against: Sequence[Paths]) -> Shared:
    """What the rows share; `against`: the same rows under other seeds.

    Raises
    ------
    PathsError, SettingError
        As `stability` and `cluster`.
    """
    stable = stability([paths, *against]) if against and len(paths) > 1 else None
    alike = similarity(paths) if len(paths) > 1 else None
    if alike is None or len(paths) < 3:
        return Shared(alike, None, stable)
    groups = measuring.groups if measuring.groups is not None else groups_of(None, paths)
    return Shared(alike, cluster(alike, groups=groups, distances=measuring.distances), stable)


def sections_of(
    paths: Paths, measuring: Measuring, found: Table, shared: Shared, wrong: Misjudgements | None
) -> list[Section]:
    """In the page's order. `found`: what `specificity` found."""
    sections = [
        _own_and_others(found),
        _controls(paths, measuring),
        _shared(paths, shared),
        _looks(paths, measuring),
        _errors(wrong, shared),
    ]
    return [section for section in sections if section is not None]


def _own_and_others(found: Table) -> Section:
    from unweave.views.plots import plot_accuracy, plot_specificity
    from unweave.views.report.content import Picture, Section

    columns = {"original": found["original_own"], "sub_architecture": found["own"]}
    means = {"original": found.summary["original_own"], "sub_architecture": found.summary["own"]}
    pictures = [
        Picture(plot_accuracy(Table(found.title, columns, {}, means)), "how many classes are recognised how often"),
        Picture(plot_specificity(found), "own-class accuracy and false accepts of every class"),
    ]
    return Section("Its own class, and the others", "", pictures)


def _controls(paths: Paths, measuring: Measuring) -> Section:
    from unweave.views.control_plots import plot_ablation, plot_keep_curve
    from unweave.views.report.content import Picture, Section

    network, images, options = measuring.network, measuring.images, measuring.options
    rows, others = controlled(paths, images, measuring.others)
    some = paths.select(rows)
    settings: dict[str, Any] = {"others": others, "seed": measuring.seed, **options}
    pictures = [Picture(plot_ablation(ablation(network, some, images, **settings)), "other masks, and other fillings")]
    text = f"Measured for {len(some)} of {len(paths)} classes, with at most {others} images of others each."
    if paths.scores is None:
        text += " These paths have no scores, so the curve of keeping and removing channels cannot be drawn."
    else:
        curve = keep_curve(network, some, images, **settings)
        pictures.append(Picture(plot_keep_curve(curve), "channels kept and removed in the order of their scores"))
    return Section("Is it these channels that matter?", text, pictures)


def controlled(paths: Paths, images: LabelledImages, others: int | None) -> tuple[list[int], int]:
    """Rows whose controls are measured, evenly spread, and how many images of others each is asked about at most."""
    with_images = [i for i, row in enumerate(class_rows(paths, "a report")) if len(row.own(images))]
    spread = np.linspace(0, len(with_images) - 1, min(_MOST_CONTROLLED, len(with_images))).round().astype(int)
    return [with_images[i] for i in spread], _MOST_CONTROLLED if others is None else min(_MOST_CONTROLLED, others)


def single_classes(paths: Paths) -> bool:
    """Whether misjudgements can be studied: at least three rows, of a class each."""
    return len(paths) >= 3 and all(len(members) == 1 for members in paths.rows.members)


def _shared(paths: Paths, shared: Shared) -> Section:
    from unweave.views.cluster_plots import plot_clusters
    from unweave.views.control_plots import plot_stability
    from unweave.views.plots import plot_similarity, plot_usage
    from unweave.views.report.content import Picture, Section

    pictures = [Picture(plot_usage(usage(paths)), "share of channels kept at every site")]
    text = ""
    if shared.alike is None:
        text = "Similarity is not measured: it compares at least two classes."
    else:
        figure = plot_similarity(shared.alike, shared.stable)
        pictures.append(Picture(figure, "similarity of sub-architectures at every site"))
    if shared.clusters is not None:
        described = "similarity of every two classes, in the order of a hierarchical clustering"
        pictures.append(Picture(plot_clusters(shared.clusters, own_similarity=shared.own_similarity), described))
    elif shared.alike is not None:
        text = "Clusters are not measured: they need at least three classes."
    if shared.stable is not None:
        pictures.append(Picture(plot_stability(shared.stable), "similarity of a class to itself under other seeds"))
    return Section("What classes share", text, pictures)


def _looks(paths: Paths, measuring: Measuring) -> Section | None:
    from unweave.views.mosaic_plots import plot_feature_maps, plot_hit_rate
    from unweave.views.report.content import Picture, Section

    if not measuring.mosaics:
        return None
    heading, images, seed = "Where in the image it looks", measuring.images, measuring.seed
    if reason := why_no_mosaics(paths, images):
        return Section(heading, f"Not measured: {reason}.")
    shown = readable_mosaics(paths, images, measuring.mosaics, seed, 1)
    if not shown:
        return Section(
            heading, f"Not measured: each of the {measuring.mosaics} mosaics has an image that cannot be read."
        )
    rates = hit_rate(measuring.network, paths, images, mosaics=measuring.mosaics, seed=seed, **measuring.options)
    device = measuring.options.get("device")
    maps = feature_maps(measuring.network, paths, images, chosen=shown, seed=seed, device=device)
    pictures = [
        Picture(plot_hit_rate(rates), "hit rate at every site"),
        Picture(plot_feature_maps(maps), "the most active pixels of a mosaic at some sites"),
    ]
    return Section(heading, "", pictures)


def _errors(wrong: Misjudgements | None, shared: Shared) -> Section:
    from unweave.views.misjudgement_plots import (
        has_confusion_ranks,
        plot_confusion_ranks,
        plot_misjudgements,
        why_nothing_compared,
    )
    from unweave.views.report.content import Picture, Section

    heading = "Why the network errs"
    if wrong is None:
        return Section(heading, "Not measured: it compares at least three single classes.")
    there = has_confusion_ranks(wrong)
    ranks = [Picture(plot_confusion_ranks(wrong), "wrong answers by similarity")] if there else []
    if reason := why_nothing_compared(wrong):
        return Section(heading, reason, ranks)
    misjudged, elsewhere = (wrong.classes.summary[name] for name in ("misjudged", "without_row"))
    text = f"{elsewhere} of {misjudged} misjudged images, called by classes without a row, are left out."
    figure = plot_misjudgements(wrong, own_similarity=shared.own_similarity)
    pictures = [Picture(figure, "similarity to wrong labels, and to other labels"), *ranks]
    return Section(heading, text if elsewhere else "", pictures)
