"""One figure per measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unweave.analysis.accuracy import accuracy_histogram
from unweave.analysis.similarity import Similarity
from unweave.analysis.stability import Stability
from unweave.tables import Table
from unweave.views.control_plots import draw_other_similarity, draw_self_similarity
from unweave.views.style import CHANCE, ORIGINAL, RANDOM, SUB_ARCHITECTURE, label_sites, new_figure, short


def plot_accuracy(table: Table) -> Figure:
    """The ten-bin histogram of class accuracies, sub-architectures against the whole network (ICCV Fig. 2)."""
    counts = accuracy_histogram(table)
    figure, axes = new_figure(
        6.4,
        3.9,
        "Class accuracy: sub-architecture against whole network",
        "How to read: each bin counts the classes whose own images are recognised that often. Accuracy alone does not "
        "show that a sub-architecture refuses other classes; see the figure of false accepts.",
    )
    bins = np.arange(10)
    for column, name, colour, line in (
        ("original", "whole network", ORIGINAL, "-"),
        ("sub_architecture", "own sub-architecture", SUB_ARCHITECTURE, ":"),
    ):
        label = f"{name} (mean {table.summary[column]:.1%})"
        axes.plot(bins, counts[column], line, color=colour, marker="o", label=label, linewidth=2)
    axes.set_xticks(bins, counts["accuracy_percent"], rotation=30, fontsize=8)
    axes.set_xlabel("top-1 accuracy on the class's own images, %", fontsize=9)
    axes.set_ylabel("classes")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)
    return figure


def plot_specificity(table: Table) -> Figure:
    """Own-class accuracy against false accepts, one point per class, with whole network and random masks."""
    figure, axes = new_figure(
        6.4,
        4.8,
        "Own class against other classes",
        "How to read: up is right on the class's own images, left is refusing images of other classes; the top left "
        "corner is ideal. Points on the diagonal cannot tell their class from others.",
    )
    axes.plot([0, 1], [0, 1], color=CHANCE, linewidth=1, linestyle="--", label="cannot tell classes apart")
    for prefix, name, colour, marker in (
        ("random_", "random masks of the same sizes", RANDOM, "x"),
        ("original_", "whole network", ORIGINAL, "s"),
        ("", "own sub-architecture", SUB_ARCHITECTURE, "o"),
    ):
        if f"{prefix}own" not in table.columns:
            continue
        axes.scatter(
            table[f"{prefix}false_accepts"], table[f"{prefix}own"], color=colour, marker=marker, label=name, zorder=3
        )
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("false accepts: share of other classes' images called by this class", fontsize=9)
    axes.set_ylabel("own-class accuracy", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="best")
    return figure


def plot_usage(table: Table) -> Figure:
    """Share of channels used at each site (preprint Fig. 4)."""
    figure, axes = new_figure(
        max(6.0, 0.28 * len(table)),
        4.0,
        "Channels used at each site",
        "How to read: the line is the mean share of channels that a row keeps, the band spans the rows.",
    )
    positions = np.arange(len(table))
    axes.fill_between(positions, table["least"], table["most"], color=SUB_ARCHITECTURE, alpha=0.18, linewidth=0)
    axes.plot(positions, table["usage"], color=SUB_ARCHITECTURE, marker="o", markersize=4)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("kept channels / channels")
    label_sites(axes, table["site"])
    return figure


def plot_similarity(result: Similarity, stability: Stability | None = None) -> Figure:
    """Mean pairwise Jaccard similarity at each site (ICCV Fig. 4, first row).

    With `stability`, also what tells whether classes differ: the similarity of a class to itself and that to other
    classes, both under another seed, so that they differ in nothing but the class. Pairs within one run share its seed
    and are more alike than the same classes of two runs; they are no measure of it.
    """
    table = result.per_site
    if stability is None:
        claim = (
            "Similarity only separates classes where it is below that of a class to itself under another seed, which "
            "was not measured here: give runs of other seeds."
        )
    else:
        apart = stability.per_site.summary["sites_told_apart"]
        claim = (
            "Lines with circles are of pairs in this one run. Classes differ more than one does from itself only where "
            "the squares (a class and other classes, other seed) are clearly below the thick red line (a class and "
            f"itself, other seed): triangles, {apart} of {len(table)} sites."
        )
    figure, axes = new_figure(
        max(6.0, 0.28 * len(table)),
        4.0,
        "Similarity of the sub-architectures at each site",
        "How to read: 1 means that all rows keep the same channels, the grey line what random sets of the same sizes "
        f"share. {claim}",
    )
    positions = np.arange(len(table))
    axes.fill_between(positions, table["lowest_pair"], table["highest_pair"], color=SUB_ARCHITECTURE, alpha=0.18, lw=0)
    axes.plot(
        positions,
        table["similarity"],
        color=SUB_ARCHITECTURE,
        marker="o",
        markersize=4,
        label="pairs of classes, this run",
    )
    axes.plot(positions, table["expected_by_chance"], color=ORIGINAL, linestyle="--", label="random sets, same sizes")
    if stability is not None:
        draw_other_similarity(axes, stability)
        draw_self_similarity(axes, stability)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Jaccard similarity")
    axes.legend(frameon=False, fontsize=8)
    label_sites(axes, table["site"])
    return figure


def plot_similarity_matrix(result: Similarity, stability: Stability | None = None) -> Figure:
    """Row by row similarity, averaged over sites; with `stability`, the diagonal is each class's similarity to itself
    under other seeds, and the scale has a line at their mean."""
    count = len(result.names)
    side = float(np.clip(0.32 * count + 2.2, 4.4, 12))
    diagonal = (
        "the diagonal, of a class to itself under another seed, was not measured: give runs of other seeds."
        if stability is None
        else "on the diagonal, of a class to itself under another seed (mean: the red line in the scale). Two classes "
        "at or above it are not told apart."
    )
    figure, axes = new_figure(
        side,
        side,
        "Similarity, row by row",
        f"How to read: Jaccard similarity of two rows' channels, mean over sites; {diagonal}",
    )
    shown = result.matrix.copy()
    np.fill_diagonal(shown, np.nan if stability is None else stability.classes["self_similarity"])
    image = axes.imshow(shown, cmap="viridis")
    bar = figure.colorbar(image, ax=axes, shrink=0.75)
    if stability is not None:
        bar.ax.axhline(float(stability.per_site.summary["self_similarity"]), color=CHANCE, linewidth=2)
    if count <= 60:
        names = [short(name, 18) for name in result.names]
        axes.set_xticks(range(count), names, rotation=60, ha="right", fontsize=7, parse_math=False)
        axes.set_yticks(range(count), names, fontsize=7, parse_math=False)
    if count <= 12:
        middle = (np.nanmin(shown) + np.nanmax(shown)) / 2
        for i in range(count):
            for j in range(count):
                if not np.isnan(shown[i, j]):
                    colour = "white" if shown[i, j] < middle else "black"
                    axes.text(j, i, f"{shown[i, j]:.2f}", ha="center", va="center", fontsize=6, color=colour)
    return figure


def plot_elbow(sweep: Mapping[str, Any]) -> Figure:
    """Reconstruction error against size over the betas tried (ICCV Fig. 6). `sweep`: `paths.manifest["elbow"]`."""
    figure, axes = new_figure(
        6.0,
        4.2,
        f"Choosing beta: {sweep['chosen']:g}",
        "How to read: each point is a search with one beta; the elbow is the point farthest below the line between the "
        "two ends.",
    )
    sizes, errors, betas = sweep["size"], sweep["reconstruction"], sweep["betas"]
    ends = [int(np.argmin(sizes)), int(np.argmax(sizes))]
    axes.plot([sizes[i] for i in ends], [errors[i] for i in ends], color=CHANCE, linestyle="--", linewidth=1)
    axes.plot(sizes, errors, color=SUB_ARCHITECTURE, marker="o")
    chosen = list(betas).index(sweep["chosen"])
    axes.scatter([sizes[chosen]], [errors[chosen]], s=140, facecolors="none", edgecolors=CHANCE, linewidths=2, zorder=3)
    previous = (float("inf"), float("inf"))
    span = (max(sizes) - min(sizes) or 1, max(errors) - min(errors) or 1)
    for size, error, beta in zip(sizes, errors, betas, strict=True):
        # Names of points that would lie on each other are left out.
        if abs(size - previous[0]) / span[0] + abs(error - previous[1]) / span[1] > 0.06:
            axes.annotate(f"{beta:g}", (size, error), textcoords="offset points", xytext=(6, 5), fontsize=8)
            previous = (size, error)
    axes.set_xlabel("size: what the penalty weighs, without beta (sum over sites)", fontsize=9)
    axes.set_ylabel("reconstruction error (sum over sites)", fontsize=9)
    return figure
