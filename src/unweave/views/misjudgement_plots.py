"""The figure of misjudgements."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unweave.analysis.misjudgements import Misjudgements
from unweave.errors import PathsError
from unweave.views.style import CHANCE, ORIGINAL, SUB_ARCHITECTURE, new_figure, short

_MOST_CLASSES = 30


def plot_misjudgements(result: Misjudgements, *, own_similarity: float | None = None) -> Figure:
    """Similarity of each class to its wrong labels and to all others (ICCV Table 1), and the permutations beside it.

    `own_similarity`: that of a class to itself under other seeds, a red line. Where no class can be compared, the
    figure says why, and has no plot.
    """
    table, summary = result.classes, result.classes.summary
    if np.isnan(summary["difference"]):
        return _nothing_compared(result)
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
        f"that share channels{chance}.{_confusions(result)}{claim}",
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


def plot_confusion_ranks(result: Misjudgements) -> Figure:
    """How many of the wrong answers name one of the classes most similar to the image's, against the number of these.

    Raises
    ------
    PathsError
        If there is nothing to tell apart (`has_confusion_ranks`).
    """
    if not has_confusion_ranks(result):
        raise PathsError(
            why_nothing_compared(result) or "all pairs of classes are equally similar, or equally often confused"
        )
    others = len(result.classes) - 1
    reached = _reached(result, others)
    figure, axes = new_figure(
        6.4,
        4.0,
        "Are wrong answers those of similar classes?",
        "How to read: of the wrong answers, the share that names one of the classes most similar to the image's own, "
        "by how many of these are counted (equally similar ones by chance). Clearly above the dashed line: similar "
        "classes are confused. "
        f"{in_words(result)}",
    )
    axes.plot(
        np.arange(others + 1),
        reached,
        color=SUB_ARCHITECTURE,
        marker="o" if others <= _MOST_CLASSES else "",
        markersize=4,
    )
    axes.plot([0, others], [0, 1], color=CHANCE, linestyle="--", linewidth=1, label="classes named at random")
    axes.set_xlabel("most similar classes that are counted")
    axes.set_ylabel(f"share of {len(result.images)} wrong answers")
    axes.set_xlim(0, others)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def _reached(result: Misjudgements, others: int) -> np.ndarray:
    """`[others + 1]`: share of the wrong answers that name one of the 0, 1, 2, ... most similar classes. One of several
    equally similar classes counts by its chance to be among them."""
    tied = np.asarray(result.images["tied"], dtype=float)
    above = np.asarray(result.images["rank"]) - (tied + 1) / 2
    return np.asarray(np.clip((np.arange(others + 1)[:, None] - above) / tied, 0, 1).mean(1))


def has_confusion_ranks(result: Misjudgements) -> bool:
    """Whether wrong answers name classes that have rows, and some more often, and some more similar, than others."""
    return len(result.images) > 0 and not np.isnan(float(result.classes.summary["correlation"]))


def in_words(result: Misjudgements) -> str:
    """What the rank correlation of confusion and similarity is, in a sentence; empty where there is none."""
    summary = result.classes.summary
    value, p = float(summary["correlation"]), float(summary["correlation_p"])
    if np.isnan(value):
        return ""
    chance = "" if np.isnan(p) else f" (p = {p:.3f}, one-sided, {summary['permutations']} permutations)"
    return (
        "Over all pairs of classes, how often one is called the other has a rank correlation of "
        f"{value:+.2f} with how similar they are{chance}; 0 is none."
    )


def why_nothing_compared(result: Misjudgements) -> str:
    """Why no class has both Mis. and Oth., in sentences; empty where one has."""
    summary = result.classes.summary
    misjudged, elsewhere = int(summary["misjudged"]), int(summary["without_row"])
    if summary["classes_compared"]:
        return ""
    if not misjudged:
        return "The network misjudges none of these images, so there is nothing to compare."
    wrong = f"The network misjudges {misjudged} of these images"
    if misjudged == elsewhere:
        return (
            f"{wrong}, and the labels that it gives are of classes without a row, whose similarity is not known: "
            "search these classes too."
        )
    left_out = f" ({elsewhere} of them, called by classes without a row, are left out)" if elsewhere else ""
    return (
        f"{wrong}{left_out}, and calls each class that it misjudges by every other one that has a row, so that none is "
        "left to compare wrong labels with. How often counts instead: the figure of wrong answers by similarity."
    )


def _nothing_compared(result: Misjudgements) -> Figure:
    sentence = f"How to read: nothing is drawn. {why_nothing_compared(result)}{_confusions(result)}"
    figure, axes = new_figure(6.4, 1.6, "No class can be compared", sentence)
    axes.set_axis_off()
    return figure


def _confusions(result: Misjudgements) -> str:
    shared, chance = (result.classes.summary[name] for name in ("share_shared", "share_by_chance"))
    if np.isnan(shared):
        return ""
    share = f" Of the most frequent confusions, {shared:.0%} are among the three most similar classes"
    return f"{share}; by chance {chance:.0%}."
