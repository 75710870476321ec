"""The planted bench as a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from unweave.tables import Table
from unweave.views.style import CHANCE, new_figure

_COLOURS = ("#1f6fb4", "#e08a1e", "#3c8d5a")


def plot_planted(runs: Table) -> Figure:
    """AUROC of every method on every planted network. `runs`: as `planted_bench(...).runs`."""
    methods, kinds = list(dict.fromkeys(runs["method"])), list(dict.fromkeys(runs["kind"]))
    figure, axes = new_figure(
        8.0,
        1.6 + 0.36 * len(methods),
        "Which methods find planted channels",
        "How to read: each point is one network; the further right, the better the method's scores tell the channels "
        "that a class needs from the others. At the dashed line they do no better than chance.",
    )
    rows = list(zip(runs["method"], runs["kind"], runs["auroc"], strict=True))
    for offset, kind in enumerate(kinds):
        mine = [(methods.index(method), auroc) for method, own, auroc in rows if own == kind]
        heights = np.array([place for place, _ in mine]) + 0.2 * (offset - (len(kinds) - 1) / 2)
        axes.scatter([auroc for _, auroc in mine], heights, s=16, color=_COLOURS[offset % 3], label=kind)
    axes.axvline(0.5, color=CHANCE, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(methods)), methods, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("AUROC of scores, mean over sites", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="best")
    return figure
