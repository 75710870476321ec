"""Figures of controls: other masks and fillings, keeping and removing channels, and other seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from unweave.analysis.stability import Stability
from unweave.tables import Table
from unweave.views.style import CHANCE, ORIGINAL, RANDOM, SUB_ARCHITECTURE, label_sites, new_figure

_MASK_COLOURS = {"sub-architecture": SUB_ARCHITECTURE, "random": RANDOM, "complement": "#8c6bb1"}
_OTHER_CLASSES = "#6b4aa0"


def plot_ablation(table: Table) -> Figure:
    """Balanced accuracy of sub-architectures, random masks and complements, by what dropped channels hold."""
    figure, axes = new_figure(
        6.8,
        4.2,
        "Is it these channels that matter?",
        "How to read: balanced one-against-rest accuracy, mean over classes (bars) and of the worst class (marks); 0.5 "
        "cannot tell a class from the rest, the grey line is the whole network. The sub-architecture should stand "
        "above random masks of its size (bar: mean; line: lowest and highest draw), and its complement near 0.5, "
        "whatever dropped channels hold instead.",
    )
    fillings = list(dict.fromkeys(table["dropped"][1:]))
    masks = list(dict.fromkeys(table["mask"][1:]))
    width = 0.8 / len(masks)
    for number, mask in enumerate(masks):
        rows = [row for row in range(1, len(table)) if table["mask"][row] == mask]
        places = (
            np.array([fillings.index(table["dropped"][row]) for row in rows]) + (number - (len(masks) - 1) / 2) * width
        )
        colour = _MASK_COLOURS[mask]
        axes.bar(places, [table["balanced"][row] for row in rows], 0.92 * width, color=colour, label=mask)
        if "balanced_lowest" in table.columns:
            low, high = ([table[f"balanced_{end}"][row] for row in rows] for end in ("lowest", "highest"))
            axes.vlines(places, low, high, color="black", linewidth=1)
        lowest = [table["worst_balanced"][row] for row in rows]
        axes.scatter(places, lowest, marker="_", s=160, color="black", linewidths=1.5, zorder=3)
    axes.axhline(float(table["balanced"][0]), color=ORIGINAL, linestyle="--", label="whole network")
    axes.axhline(0.5, color=CHANCE, linestyle=":", linewidth=1)
    words = {"zero": "zero", "mean": "their mean", "resample": "another image's values"}
    axes.set_xticks(range(len(fillings)), [words[filling] for filling in fillings])
    axes.set_xlabel("what dropped channels hold", fontsize=9)
    axes.set_ylabel("balanced accuracy")
    axes.set_ylim(0, 1.02)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return figure


def plot_keep_curve(table: Table) -> Figure:
    """Balanced accuracy over the share of channels that are kept or removed, the highest scored first."""
    summary = table.summary
    figure, axes = new_figure(
        6.4,
        4.4,
        "Keeping and removing the highest scored channels",
        "How to read: keeping few channels should do (blue high on the left), and removing few should hurt (red low on "
        "the left); 0.5 cannot tell a class from the rest. Where blue runs with the random channels, scores rank "
        "nothing (band: lowest and highest draw). Areas under the curves in brackets.",
    )
    shares = table["share"]
    for curve, colour, line, words in (
        ("keep", SUB_ARCHITECTURE, "-", "highest scored kept (sufficient)"),
        ("random", RANDOM, "--", "random ones kept"),
        ("remove", CHANCE, "-", "highest scored removed (necessary)"),
    ):
        label = f"{words} [{summary[f'{curve}_area']:.2f}]"
        axes.plot(shares, table[f"{curve}_balanced"], line, color=colour, marker="o", markersize=4, label=label)
    if "random_balanced_lowest" in table.columns:
        ends = (table["random_balanced_lowest"], table["random_balanced_highest"])
        axes.fill_between(shares, *ends, color=RANDOM, alpha=0.2, linewidth=0)
    axes.axhline(0.5, color=ORIGINAL, linestyle=":", linewidth=1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of every site's channels", fontsize=9)
    axes.set_ylabel("balanced accuracy, mean over classes")
    low = min(min(table[f"{curve}_balanced"]) for curve in ("keep", "random", "remove"))
    axes.set_ylim(min(0.4, low - 0.02), 1.02)
    figure.legend(loc="outside upper left", frameon=False, fontsize=8)
    return figure


def plot_stability(result: Stability) -> Figure:
    """Similarity of a class to itself and to others under other seeds, at each site."""
    table = result.per_site
    apart, runs = table.summary["sites_told_apart"], table.summary["runs"]
    figure, axes = new_figure(
        max(6.0, 0.28 * len(table)),
        4.0,
        f"The same classes with other seeds ({runs} runs)",
        "How to read: red, a class compared with itself under another seed (band: lowest to highest class); squares, "
        "with other classes under another seed. Classes are told apart where the squares are clearly below red: "
        f"triangles, {apart} of {len(table)} sites (95 % interval over classes).",
    )
    draw_other_similarity(axes, result)
    draw_self_similarity(axes, result)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Jaccard similarity")
    axes.legend(frameon=False, fontsize=8)
    label_sites(axes, table["site"])
    return figure


def draw_other_similarity(axes: Axes, result: Stability) -> None:
    """How similar a class in one run is to other classes in another: what the red line is compared with."""
    table = result.per_site
    style: dict[str, Any] = {"color": _OTHER_CLASSES, "marker": "s", "markersize": 4}
    axes.plot(np.arange(len(table)), table["other_similarity"], label="a class to others, other seed", **style)


def draw_self_similarity(axes: Axes, result: Stability) -> None:
    """The line below which the similarity to other classes has to be, and triangles at the sites where it is."""
    table = result.per_site
    positions = np.arange(len(table))
    axes.fill_between(positions, table["self_lowest"], table["self_highest"], color=CHANCE, alpha=0.12, linewidth=0)
    axes.plot(positions, table["self_similarity"], color=CHANCE, linewidth=2, label="a class to itself, other seed")
    apart = np.flatnonzero(table["told_apart"])
    axes.scatter(apart, np.full(len(apart), 0.03), marker="^", s=22, color=CHANCE, zorder=3)
