"""The figure of misjudgements."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from unweave.analysis.misjudgements import Misjudgements
from unweave.views.style import CHANCE, ORIGINAL, SUB_ARCHITECTURE, new_figure, short

_MOST_CLASSES = 30


def plot_misjudgements(result: Misjudgements, *, own_similarity: float | None = None) -> Figure:
    """Similarity of each class to its wrong labels and to all others (ICCV Table 1), and the permutations beside it.

    `own_similarity`: that of a class to itself under other seeds, a red line.
    """
    table, summary = result.classes, result.classes.summary
    mis, oth = np.asarray(table["mis"], float), np.asarray(table["oth"], float)
    shown = np.flatnonzero(~np.isnan(mis - oth))
    shown = shown[np.argsort(-(mis - oth)[shown], kind="stable")]
    claim = (
        " How similar a class is to itself under another seed was not measured: give runs of other seeds."
        if own_similarity is None
        else " Classes at or above the red line share as much as a class does with itself under another seed."
    )
    chance = "" if np.isnan(summary["p"]) else f"; p = {summary['p']:.3f} ({summary['permutations']} permutations)"
    figure, axes = new_figure(
        max(6.4, 0.3 * min(len(shown), _MOST_CLASSES) + 2.5),
        4.4,
        f"Mis. {summary['mis']:.3f}, Oth. {summary['oth']:.3f}, difference {summary['difference']:+.3f}",
        "How to read: for each class, the similarity of its sub-architecture to those of labels that its images "
        "are wrongly given (dots), and to those of all others (bars). Dots above bars: the network confuses classes "
        f"that share channels{chance}. Of the most frequent confusions, {summary['share_shared']:.0%} are among the "
        f"three most similar classes; by chance {summary['share_by_chance']:.0%}.{claim}",
    )
    positions = np.arange(len(shown))
    axes.vlines(positions, np.minimum(mis, oth)[shown], np.maximum(mis, oth)[shown], color="#bbbbbb", linewidth=1)
    axes.scatter(positions, oth[shown], marker="_", s=110, color=ORIGINAL, label="other classes", linewidths=2)
    axes.scatter(positions, mis[shown], marker="o", s=28, color=SUB_ARCHITECTURE, label="wrong labels", zorder=3)
    for value, colour, line in ((summary["mis"], SUB_ARCHITECTURE, ":"), (summary["oth"], ORIGINAL, ":")):
        axes.axhline(float(value), color=colour, linestyle=line, linewidth=1)
    if own_similarity is not None:
        axes.axhline(own_similarity, color=CHANCE, linewidth=2, label="a class to itself, other seed")
    if len(result.permuted):
        axes.axhspan(
            *(float(summary["oth"]) + np.quantile(result.permuted, (0.025, 0.975))),
            color=CHANCE,
            alpha=0.12,
            linewidth=0,
            label="Mis., classes named at random (95 %)",
        )
    axes.set_ylabel("Jaccard similarity, mean over sites")
    if len(shown) <= _MOST_CLASSES:
        names = [short(table["name"][row], 18) for row in shown]
        axes.set_xticks(positions, names, rotation=60, ha="right", fontsize=7, parse_math=False)
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(shown)} classes, the largest difference first", fontsize=9)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure
