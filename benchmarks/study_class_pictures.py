"""Pictures of `studies_*.json` that show single classes or sites, a panel a method, for `docs/measured.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from unweave.views.style import CHANCE, ORIGINAL, SUB_ARCHITECTURE, label_sites, new_figure, short

Methods = Mapping[str, dict[str, Any]]
_BINS = np.linspace(0, 1, 11)


def usage(name: str, methods: Methods, colours: Mapping[str, str]) -> Figure:
    """Share of channels that rows use at each site (preprint Fig. 6), a line a method."""
    sites = _tables(next(iter(methods.values())), "usage")[0]["site"]
    figure, axes = new_figure(
        max(8.4, 0.3 * len(sites)),
        4.6,
        f"{name}: channels used at each site",
        "How to read: at each site, in forward order, the share of channels that a class's sub-architecture keeps; "
        "mean over classes and seeds. Attribution and random masks keep as many as `released` here, by construction.",
    )
    own_size = [method for method in methods if not method.startswith(("attribute", "random"))]
    for method, result in ((method, methods[method]) for method in own_size):
        axes.plot(_average(result, "usage", "usage"), color=colours[method], marker="o", markersize=3.5, label=method)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("channels used")
    axes.set_ylim(0, 1.03)
    label_sites(axes, tuple(sites))
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def accuracies(name: str, methods: Methods, colours: Mapping[str, str]) -> Figure:
    """Histogram of the classes' own accuracies (ICCV Fig. 3), a panel a method."""
    figure, places = _panels(
        methods,
        2.1,
        f"{name}: accuracy on each class's own images",
        "How to read: number of classes by the share of their own images that their sub-architecture calls by their "
        "name (blue, mean over seeds), and that the whole network does (outline). A class near 100 % may be called by "
        "its name whatever is shown: see the false accepts.",
    )
    for method, axes in places:
        own, whole = (_average(methods[method], "accuracy", one) for one in ("sub_architecture", "original"))
        axes.hist(own, _BINS, color=SUB_ARCHITECTURE, alpha=0.85)
        axes.hist(whole, _BINS, histtype="step", color=ORIGINAL, linewidth=1.3)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_title(method, fontsize=9)
        axes.set_ylabel("classes", fontsize=8)
    return figure


def similarities(name: str, methods: Methods, colours: Mapping[str, str]) -> Figure:
    """Similarity of every two classes, clustered (preprint Fig. 7), a panel a method; the first seed."""
    from scipy.cluster.hierarchy import average, leaves_list
    from scipy.spatial.distance import squareform

    figure, places = _panels(
        methods,
        3.0,
        f"{name}: similarity of classes, clustered",
        "How to read: the darker, the more channels two classes share (Jaccard, mean over sites; first seed); rows and "
        "columns stand in the order of the tree that average linkage makes of the same similarities. Every panel has "
        "its own range, in its title: where it is narrow, classes hardly differ.",
        shared=False,
    )
    for method, axes in places:
        result = methods[method]
        matrix, names = np.array(result["raw"]["similarity_matrix"]), _tables(result, "accuracy")[0]["name"]
        others = ~np.eye(len(matrix), dtype=bool)
        low, high = matrix[others].min(), matrix[others].max()
        apart = 1 - (matrix + matrix.T) / 2
        np.fill_diagonal(apart, 0)
        order = leaves_list(average(squareform(np.maximum(apart, 0), checks=False)))
        axes.imshow(matrix[np.ix_(order, order)], cmap="Blues", vmin=low, vmax=max(high, low + 1e-6))
        told = [short(names[row], 12) for row in order]
        axes.set_xticks(range(len(told)), told, rotation=90, fontsize=6)
        axes.set_yticks(range(len(told)), told, fontsize=6)
        axes.set_title(f"{method}: {low:.2f} to {high:.2f}", fontsize=9)
    return figure


def misjudgements(name: str, methods: Methods, colours: Mapping[str, str]) -> Figure | None:
    """Each class's similarity to the labels it is wrongly given against that to all others (ICCV Fig. 5)."""
    points = {method: _mis_and_oth(result) for method, result in methods.items()}
    there = {method: methods[method] for method, found in points.items() if len(found)}
    if not there:
        return None
    figure, places = _panels(
        there,
        2.6,
        f"{name}: are wrong labels those of similar classes?",
        "How to read: a dot is a class; to the right, how similar its sub-architecture is to those of the labels that "
        "its images are never given; up, to those that they are wrongly given (mean over seeds). Above the line, "
        "misjudged images are called by similar classes. Every panel has its own range.",
        shared=False,
    )
    for method, axes in places:
        found = points[method]
        room = 0.1 * np.ptp(found) + 1e-3
        ends = [found.min() - room, found.max() + room]
        axes.plot(ends, ends, color=CHANCE, linewidth=1)
        axes.scatter(found[:, 1], found[:, 0], color=SUB_ARCHITECTURE, s=16, zorder=3)
        axes.set_title(f"{method}: {100 * (found[:, 0] - found[:, 1]).mean():+.1f} points", fontsize=9)
        axes.tick_params(labelsize=7)
    return figure


def _mis_and_oth(result: dict[str, Any]) -> np.ndarray:
    """`[classes that have both with every seed, 2]`"""
    tables = _tables(result, "misjudgements")
    found = np.array([[table[one] for one in ("mis", "oth")] for table in tables], dtype=float).mean(0).T
    return found[~np.isnan(found).any(1)]


def _tables(result: dict[str, Any], measure: str) -> list[dict[str, Any]]:
    """The columns of every seed."""
    return [result["raw"][str(seed)][measure]["columns"] for seed in result["seeds"]]


def _average(result: dict[str, Any], measure: str, column: str) -> np.ndarray:
    return np.asarray(np.mean([np.asarray(table[column], float) for table in _tables(result, measure)], 0))


def _panels(
    methods: Methods, size: float, title: str, sentence: str, *, shared: bool = True
) -> tuple[Figure, Iterator[tuple[str, Axes]]]:
    columns = min(4, len(methods))
    rows = -(-len(methods) // columns)
    figure = Figure(figsize=(max(6.6, (size + 0.4) * columns), size * rows + 1.3), layout="constrained")
    places = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
    for axes in places.flat[len(methods) :]:
        axes.axis("off")
    for axes in places.flat:
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    lines = "\n".join(textwrap.wrap(sentence, int(figure.get_figwidth() * 16.5)))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color="#444444")
    return figure, zip(methods, places.flat, strict=False)
