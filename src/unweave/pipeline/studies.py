"""The measures of class sub-architectures by name: compute, keep the tables, draw the figures."""

from __future__ import annotations

from pathlib import Path

from unweave.analysis.ablation import ablation
from unweave.analysis.feature_maps import feature_maps
from unweave.analysis.hit_rate import hit_rate
from unweave.analysis.interpretability import compare_interpretability, interpretability, pairs
from unweave.analysis.keep_curve import keep_curve
from unweave.analysis.misjudgements import misjudgements
from unweave.pipeline.subject import Measured, Subject
from unweave.runs.folder import RunFolder
from unweave.tables import Table

ABLATION_OTHERS = 200
"""Images of other classes that a row is asked about under each mask and filling."""


def measure_hit_rate(subject: Subject, folder: RunFolder) -> Measured:
    """Hit rate on 1,000 mosaics."""
    from unweave.views.mosaic_plots import plot_hit_rate
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("hit_rate")
    table = hit_rate(
        network,
        subject.paths,
        images,
        seed=subject.seed,
        device=subject.device,
        show_progress=subject.show_progress,
    )
    files = save_figure(plot_hit_rate(table), folder.figure("hit_rate"))
    return Measured("hit_rate", *_kept(folder, files, hit_rate=table))


def measure_feature_maps(subject: Subject, folder: RunFolder) -> Measured:
    """What sites look at in some mosaics."""
    from unweave.views.mosaic_plots import plot_feature_maps
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("feature_maps")
    result = feature_maps(
        network, subject.paths, images, chosen=subject.mosaics_shown, seed=subject.seed, device=subject.device
    )
    files = []
    for place, number in enumerate(dict.fromkeys(result.hits["mosaic"])):
        files += save_figure(plot_feature_maps(result, place), folder.figure(f"feature_maps_{number}"))
    tables, written = _kept(folder, files, feature_maps=result.hits)
    return Measured("feature_maps", tables, written, printed=False)


def measure_misjudgements(subject: Subject, folder: RunFolder) -> Measured:
    """Similarity to the labels that images are wrongly given."""
    from unweave.views.misjudgement_plots import has_confusion_ranks, plot_confusion_ranks, plot_misjudgements
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("misjudgements")
    result = misjudgements(
        network,
        subject.paths,
        images,
        seed=subject.seed,
        device=subject.device,
        show_progress=subject.show_progress,
    )
    files = save_figure(
        plot_misjudgements(result, own_similarity=subject.own_similarity), folder.figure("misjudgements")
    )
    if has_confusion_ranks(result):
        files += save_figure(plot_confusion_ranks(result), folder.figure("confusion_ranks"))
    tables = {"misjudgements": result.classes, "misjudged_images": result.images}
    return Measured("misjudgements", *_kept(folder, files, **tables))


def measure_interpretability(subject: Subject, folder: RunFolder) -> Measured:
    """Interpretability score, by both readings."""
    from unweave.views.cluster_plots import plot_pairs
    from unweave.views.style import save_figure

    table = interpretability(subject.paths, subject.accuracy)
    similarities, products = pairs(subject.paths, subject.accuracy)
    figure = plot_pairs(table, similarities, products, own_similarity=subject.own_similarity)
    files = save_figure(figure, folder.figure("interpretability"))
    return Measured("interpretability", *_kept(folder, files, interpretability=table))


def measure_compare_interpretability(subject: Subject, folder: RunFolder) -> Measured:
    """Interpretability against discriminability of several networks."""
    from unweave.views.cluster_plots import plot_interpretability
    from unweave.views.style import save_figure

    networks = {subject.name: subject, **subject.beside}
    table = compare_interpretability({name: (one.paths, one.accuracy) for name, one in networks.items()})
    files = save_figure(plot_interpretability(table), folder.figure("compare_interpretability"))
    return Measured("compare_interpretability", *_kept(folder, files, compare_interpretability=table))


def measure_clusters(subject: Subject, folder: RunFolder) -> Measured:
    """The tree of classes, with groups and hierarchy where known."""
    from unweave.views.cluster_plots import plot_clusters
    from unweave.views.style import save_figure

    result = subject.clusters
    files = save_figure(plot_clusters(result, own_similarity=subject.own_similarity), folder.figure("clusters"))
    tables = {"cluster_agreement": result.agreement, "clusters": result.leaves}
    return Measured("clusters", *_kept(folder, files, **tables))


def measure_ablation(subject: Subject, folder: RunFolder) -> Measured:
    """Other masks and other fillings."""
    from unweave.views.control_plots import plot_ablation
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("ablation")
    table = ablation(
        network,
        subject.paths,
        images,
        others=ABLATION_OTHERS,
        seed=subject.seed,
        device=subject.device,
        show_progress=subject.show_progress,
    )
    files = save_figure(plot_ablation(table), folder.figure("ablation"))
    return Measured("ablation", *_kept(folder, files, ablation=table))


def measure_keep_curve(subject: Subject, folder: RunFolder) -> Measured:
    """Keeping and removing the highest scored channels."""
    from unweave.views.control_plots import plot_keep_curve
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("keep_curve")
    table = keep_curve(
        network,
        subject.paths,
        images,
        seed=subject.seed,
        device=subject.device,
        show_progress=subject.show_progress,
    )
    files = save_figure(plot_keep_curve(table), folder.figure("keep_curve"))
    return Measured("keep_curve", *_kept(folder, files, keep_curve=table))


def measure_stability(subject: Subject, folder: RunFolder) -> Measured:
    """The same classes with other seeds."""
    from unweave.views.control_plots import plot_stability
    from unweave.views.style import save_figure

    result = subject.stability
    assert result is not None
    files = save_figure(plot_stability(result), folder.figure("stability"))
    tables = {"stability": result.per_site, "stability_classes": result.classes}
    return Measured("stability", *_kept(folder, files, **tables))


def _kept(folder: RunFolder, figures: list[Path], **tables: Table) -> tuple[dict[str, Table], list[Path]]:
    """The tables, and the files that they and the figures are kept in."""
    files = [file for name, table in tables.items() for file in table.save(folder.table(name))]
    return tables, files + figures
