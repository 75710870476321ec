"""Figures of what inputs do: states of filters, and the map of their paths."""

from __future__ import annotations

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox

from unweave.analysis.embedding import Embedding
from unweave.tables import Table
from unweave.views.style import label_sites, new_figure, short

_STATE_COLOURS = {"energetic": "#d55e00", "dynamic": "#56b4e9", "silent": "#d9d9d9"}
_STATE_WORDS = {"energetic": "energetic: all select it", "dynamic": "dynamic: some do", "silent": "silent: none does"}

CLASS_COLOURS = (
    "#332288", "#88ccee", "#117733", "#ddcc77", "#cc6677", "#44aa99", "#aa4499", "#999933", "#882255", "#6e6e6e",
)  # fmt: skip
"""Told apart with any colour vision (Paul Tol's "muted" set); from the eleventh class on, with other markers."""
_MARKERS = ("o", "^", "s", "v", "D", "P", "X", "<", ">", "*")
_UNKNOWN = "#c8c8c8"
_MOST_IN_LEGEND = len(CLASS_COLOURS) * len(_MARKERS)
"""With more classes, two would look the same."""
_MOST_NAMED, _MOST_LARGE, _ROWS, _COLUMN_WIDTH = 12, 20, 34, 1.3
"""Classes named on the map; in a legend of usual size; rows of a small one; inches that each column more takes."""


def plot_filter_states(table: Table) -> Figure:
    """The share of filters in each state, stacked, at each site (ECCV Fig. 4). `table`: from `filter_states`."""
    figure, axes = new_figure(
        max(6.4, 0.28 * len(table) + 1.5),
        4.2,
        table.title,
        "How to read: each bar is one layer. Dynamic filters are what makes paths differ between inputs; energetic "
        "ones serve every input, silent ones none and could be removed.",
    )
    positions, below = np.arange(len(table)), np.zeros(len(table))
    for state in ("energetic", "dynamic", "silent"):
        shares = np.asarray(table[f"{state}_share"], float)
        label = f"{_STATE_WORDS[state]} ({table.summary[f'{state}_share']:.0%} of all)"
        axes.bar(positions, shares, bottom=below, width=0.86, color=_STATE_COLOURS[state], label=label)
        below += shares
    axes.set_xlim(-0.6, len(table) - 0.4)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("share of the layer's filters")
    label_sites(axes, table["site"])
    handles, words = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        words,
        loc="outside upper left",
        ncols=3,
        columnspacing=1.2,
        handlelength=1.2,
        frameon=False,
        fontsize=8,
    )
    return figure


def plot_embedding(result: Embedding) -> Figure:
    """The map of inputs' paths, a colour a class (ECCV Fig. 3). `result`: from `embedding`.

    A legend has the names of up to 100 classes; the largest of up to 12 are named on the map too, as far as no name
    covers another.
    """
    table = result.separation
    before = table["space"].index("PCA")
    classes = len(result.class_names)
    columns = 1 if not _MOST_LARGE < classes <= _MOST_IN_LEGEND else -(-(classes + 1) // _ROWS)
    figure, axes = new_figure(
        7.2 + (columns - 1) * _COLUMN_WIDTH,
        5.4,
        result.title,
        "How to read: each point is the path of one input; near ones select much the same filters. Distances between "
        "groups, and axes, mean nothing. Before the map was made (PCA), "
        f"{table['agreement_10'][before]:.0%} of the ten nearest paths were of an input's class, by chance "
        f"{table['agreement_by_chance'][before]:.0%}; silhouette {table['silhouette'][before]:.2f}. {result.how}."
        + (f" Classes have no legend, because there are more than {_MOST_IN_LEGEND}." * (classes > _MOST_IN_LEGEND)),
    )
    size = float(np.clip(9000 / len(result.labels), 4, 36))
    unknown = result.labels < 0
    if unknown.any():
        x, y = result.coordinates[unknown].T
        axes.scatter(x, y, s=size / 2, color=_UNKNOWN, label="unknown")
    for number, (index, name) in enumerate(result.class_names.items()):
        x, y = result.coordinates[result.labels == index].T
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        marker = _MARKERS[number // len(CLASS_COLOURS) % len(_MARKERS)]
        axes.scatter(x, y, s=size, color=colour, marker=marker, linewidths=0, alpha=0.85, label=short(name, 18))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if classes <= _MOST_IN_LEGEND:
        _add_legend(figure, columns, 8.0 if classes <= _MOST_LARGE else 6.5, size)
    if classes <= _MOST_NAMED:
        _name_groups(figure, axes, result)
    return figure


def _add_legend(figure: Figure, columns: int, text_size: float, point_size: float) -> None:
    legend = figure.legend(
        loc="outside right center",
        ncols=columns,
        columnspacing=0.8,
        handletextpad=0.3,
        labelspacing=0.5 if columns == 1 else 0.35,
        frameon=False,
        fontsize=text_size,
        markerscale=max(1.0, text_size / 2 / point_size**0.5),
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _name_groups(figure: Figure, axes: Axes, result: Embedding) -> None:
    """A class's name above the point of it that is most in its middle, unless a larger class's name is there."""
    outline = [patheffects.withStroke(linewidth=3, foreground="white")]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # places on the page are settled now
    taken: list[Bbox] = []
    for index in sorted(result.class_names, key=lambda one: -int((result.labels == one).sum())):
        points = result.coordinates[result.labels == index]
        middle = points[np.abs(points - np.median(points, 0)).sum(1).argmin()]
        name = axes.annotate(
            short(result.class_names[index], 18),
            middle,
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            path_effects=outline,
            parse_math=False,
        )
        place = name.get_window_extent().padded(2)
        if any(place.overlaps(other) for other in taken):
            name.remove()
        else:
            taken.append(place)
