"""Figures of how classes relate: the clustered heatmap, and the interpretability score: its pairs, and networks."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from unweave.analysis.clusters import Clusters
from unweave.tables import Table
from unweave.views.input_plots import CLASS_COLOURS
from unweave.views.lettering import has_letters
from unweave.views.style import CHANCE, ORIGINAL, SUB_ARCHITECTURE, new_figure, short

_MOST_NAMED = 60


def plot_clusters(result: Clusters, *, own_similarity: float | None = None) -> Figure:
    """Similarities in the order of the tree, drawn above and beside them, with coloured groups (preprint Fig. 7;
    there values are rescaled to [-0.5, 1], here they are the similarities).

    `own_similarity`: that of a class to itself under other seeds, a line in the scale of colours.
    """
    count = len(result.names)
    side = float(np.clip(0.2 * count + 4.2, 5.6, 12))
    figure = Figure(figsize=(side + 1.6, side + 0.4), layout="constrained")
    grouped = bool(result.groups)
    parts = figure.subplots(
        3, 3, gridspec_kw={"width_ratios": (1, 0.18, 6), "height_ratios": (1, 0.18, 6), "wspace": 0.01, "hspace": 0.01}
    )
    for place in (parts[0, 0], parts[0, 1], parts[1, 0], parts[1, 1]):
        place.axis("off")
    _draw_tree(parts[0, 2], result, upright=True)
    _draw_tree(parts[2, 0], result, upright=False)
    colours = np.array([CLASS_COLOURS[g % len(CLASS_COLOURS)] if g >= 0 else "#ffffff" for g in result.group_of])
    for axes, shape in ((parts[1, 2], (1, count)), (parts[2, 1], (count, 1))):
        axes.axis("off")
        if grouped:
            strip = np.array([_rgb(colour) for colour in colours[result.order]]).reshape(*shape, 3)
            axes.imshow(strip, aspect="auto", interpolation="nearest")
    _draw_heatmap(figure, parts[2, 2], result, own_similarity)
    figure.suptitle("Classes clustered by their channels", x=0.01, ha="left", fontsize=11, fontweight="bold")
    sentence = _how_to_read(result, own_similarity)
    lines = "\n".join(textwrap.wrap(sentence, int(figure.get_figwidth() * 16.5)))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color="#444444")
    if grouped:
        handles = [
            Patch(color=CLASS_COLOURS[i % len(CLASS_COLOURS)], label=name)
            for i, name in enumerate(_drawn_groups(result))
        ]
        legend = figure.legend(handles=handles[:30], loc="outside upper right", ncols=4, frameon=False, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _drawn_groups(result: Clusters) -> list[str]:
    """What groups are called in the figure: by their place where no font has their name's letters."""
    return [short(name, 24) if has_letters(short(name, 24)) else f"group {i}" for i, name in enumerate(result.groups)]


def _how_to_read(result: Clusters, own_similarity: float | None) -> str:
    sentence = (
        "How to read: the sooner the tree joins two classes, the more channels they share (average linkage on 1 - "
        "Jaccard similarity, mean over sites)."
    )
    found = dict(zip(result.agreement["measure"], result.agreement["value"], strict=True))
    index = found.get("groups and clusters, adjusted Rand index")
    if index is not None:
        sentence += (
            " Colours: groups that were given; the tree finds them with an adjusted Rand index of "
            f"{index:.2f} (1: the same, 0: by chance)."
        )
    if any(not has_letters(short(name, 24)) for name in result.groups):
        sentence += " Groups whose names no font here can draw are called by their place in `groups`, from 0."
    known = found.get("hierarchy and tree, cophenetic correlation")
    if known is not None:
        sentence += (
            f" How far the tree and the hierarchy that was given set classes apart: correlation {known:.2f} (1: alike, "
            "0: unrelated)."
        )
    if own_similarity is not None:
        sentence += (
            f" The red line in the scale, {own_similarity:.2f}, is the similarity of a class to itself under another "
            "seed: classes at or above it are not told apart."
        )
    else:
        sentence += " How similar a class is to itself under another seed was not measured: give runs of other seeds."
    return sentence


def _draw_heatmap(figure: Figure, axes: Axes, result: Clusters, own_similarity: float | None) -> None:
    shown = result.matrix[np.ix_(result.order, result.order)].copy()
    np.fill_diagonal(shown, np.nan)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    if own_similarity is not None:
        margin = 0.03 * (high - low)  # a line at the very end of the scale would be hidden
        low, high = min(low, own_similarity - margin), max(high, own_similarity + margin)
    image = axes.imshow(shown, cmap="viridis", aspect="auto", interpolation="nearest", vmin=low, vmax=high)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, location="right")
    if own_similarity is not None:
        bar.ax.axhline(own_similarity, color=CHANCE, linewidth=2)
    axes.set_xticks([])
    axes.set_yticks([])
    if len(result.names) <= _MOST_NAMED:
        names = [short(result.names[row], 18) for row in result.order]
        size = 7 if len(names) <= 40 else 5
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=size, parse_math=False)
        axes.yaxis.tick_right()
        axes.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)


def _draw_tree(axes: Axes, result: Clusters, *, upright: bool) -> None:
    """The tree above the heatmap, or, lying, beside it. (SciPy's drawing recurses, too deep for a thousand rows.)"""
    count = len(result.names)
    places, heights = np.zeros(2 * count - 1), np.zeros(2 * count - 1)
    places[result.order] = np.arange(count)
    lines = []
    for number, (left, right, height, _) in enumerate(result.linkage, count):
        a, b = int(left), int(right)
        lines.append([(places[a], heights[a]), (places[a], height), (places[b], height), (places[b], heights[b])])
        places[number], heights[number] = (places[a] + places[b]) / 2, height
    if not upright:
        lines = [[(-y, x) for x, y in line] for line in lines]
    axes.add_collection(LineCollection(lines, colors="#444444", linewidths=0.8 if count <= 200 else 0.3))
    top = float(heights.max()) * 1.03 or 1.0
    along, across = (-0.5, count - 0.5), (0, top)
    axes.set_xlim(*(along if upright else (-top, 0)))
    axes.set_ylim(*(across if upright else along[::-1]))
    axes.axis("off")


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def plot_pairs(
    table: Table, similarities: np.ndarray, products: np.ndarray, *, own_similarity: float | None = None
) -> Figure:
    """Of one network, the similarities `M` of all pairs of classes and the products `a_i a_j M`, with both readings of
    mu and their scores (preprint Eq. 12).

    `table`: from `interpretability`; `similarities`, `products`: one a pair; `own_similarity`: that of a class to
    itself under other seeds, a red line.
    """
    claim = (
        "How similar a class is to itself under another seed was not measured: give runs of other seeds."
        if own_similarity is None
        else "Pairs whose M is at the red line or right of it share as much as a class does with itself, other seed."
    )
    figure, axes = new_figure(
        6.4,
        4.6,
        f"Interpretability of {table.summary['classes']} classes",
        f"How to read: bars count the {len(products)} pairs of classes. The score is the mean squared distance of the "
        "blue bars (similarity times both accuracies) from mu, the dashed line: of the products, then it is their "
        "variance, or of the similarities alone (grey bars), then it also grows with how far accuracies are from 1. "
        f"{claim}",
    )
    low, high = min(similarities.min(), products.min()), max(similarities.max(), products.max())
    bins = np.linspace(low, high if high > low else low + 1, min(30, max(5, int(len(products) ** 0.5))) + 1)
    readings = dict(zip(table["mu_of"], zip(table["mu"], table["score"], strict=True), strict=True))
    for reading, values, sign, colour in (
        ("similarities", similarities, "M", ORIGINAL),
        ("products", products, r"a$_i$ a$_j$ M", SUB_ARCHITECTURE),
    ):
        mu, score = readings[reading]
        axes.hist(values, bins.tolist(), color=colour, alpha=0.5, label=f"{sign} of all pairs")
        axes.axvline(mu, color=colour, linestyle="--", linewidth=2, label=f"mu of {sign} {mu:.3f}: score {score:.3g}")
    if own_similarity is not None:
        axes.axvline(own_similarity, color=CHANCE, linewidth=2, label="a class to itself, other seed")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Jaccard similarity, mean over sites", fontsize=9)
    axes.set_ylabel("pairs of classes")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure


def plot_interpretability(table: Table) -> Figure:
    """Top-1 accuracy against interpretability, a point a network (preprint Fig. 6). `table`: from
    `compare_interpretability`."""
    figure, axes = new_figure(
        6.4,
        4.4,
        table.title,
        "How to read: to the right, similarities between classes differ more (the preprint calls this interpretable); "
        "up, the whole network is right more often. The score also depends on how many channels are kept, the "
        "percentage beside each name.",
    )
    axes.scatter(table["score"], table["top1"], color=SUB_ARCHITECTURE, s=40, zorder=3)
    for name, x, y, kept in zip(table["network"], table["score"], table["top1"], table["usage"], strict=True):
        axes.annotate(
            f"{short(name, 20)}, {kept:.0%}",
            (x, y),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
        )
    axes.margins(0.2)
    axes.set_xlabel("interpretability: variance over pairs of accuracy-weighted similarities", fontsize=9)
    axes.set_ylabel("top-1 accuracy of the whole network")
    return figure
