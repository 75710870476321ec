"""Figures of mosaics: the hit rate at each site, and what a site looks at."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unweave.analysis.feature_maps import FeatureMaps
from unweave.analysis.hit_rate import CHANCE as CHANCE_RATE
from unweave.tables import Table
from unweave.views.style import CHANCE, SUB_ARCHITECTURE, label_sites, new_figure, short

_MOST_SITES = 12


def plot_hit_rate(table: Table) -> Figure:
    """Hit rate at each site, with two standard errors and the line of chance (ICCV Fig. 4, second row)."""
    figure, axes = new_figure(
        max(6.0, 0.28 * len(table)),
        4.0,
        f"Hit rate on {table.summary['mosaics']} mosaics",
        "How to read: in mosaics of four classes, the share of a sub-architecture's most active pixels that lie on its "
        "own class. 0.25, the dashed line, is what any mask has that does not depend on the class; the band spans "
        "two standard errors.",
    )
    positions, rates = np.arange(len(table)), np.asarray(table["hit_rate"], float)
    errors = 2 * np.nan_to_num(np.asarray(table["standard_error"], float))
    axes.fill_between(positions, rates - errors, rates + errors, color=SUB_ARCHITECTURE, alpha=0.25, linewidth=0)
    axes.plot(positions, rates, color=SUB_ARCHITECTURE, marker="o", markersize=4, label="sub-architectures")
    axes.axhline(CHANCE_RATE, color=CHANCE, linestyle="--", label="any mask that does not depend on the class")
    known = rates[~np.isnan(rates)]
    axes.set_ylim(min([0.15, *(known - 0.02)]), max([0.5, *(known + 0.05)]))
    axes.set_ylabel("hit rate")
    axes.legend(frameon=False, fontsize=8)
    label_sites(axes, table["site"])
    return figure


def plot_feature_maps(result: FeatureMaps, mosaic: int = 0, most: int = _MOST_SITES) -> Figure:
    """The most active pixels of one mosaic (`mosaic`: position in `result`) at up to `most` sites, evenly spread, for
    its four classes and the whole network (ICCV Fig. 4, rows 3 and 4)."""
    usable = [s for s in range(len(result.sites)) if not np.isnan(result.kept[mosaic, 0, 0, s]).any()]
    sites = [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, min(most, len(usable))).astype(int))]
    picture = as_picture(result.mosaics[mosaic].float().cpu().numpy())
    figure = Figure(figsize=(0.95 * len(sites) + 2.6, 6.6), layout="constrained")
    axes = figure.subplots(5, len(sites) + 1, squeeze=False)
    figure.suptitle("What sub-architectures look at", x=0.01, ha="left", fontsize=11, fontweight="bold")
    share = float(result.kept[mosaic, 0, 0, sites[0]].mean())
    sentence = (
        "How to read: each row is the mosaic seen through the sub-architecture of the class that the frame marks, the "
        f"last row the whole network's; what is bright are the {share:.0%} of the pixels on which a site's channels "
        "are together most active. Numbers: the share of them inside the frame (0.25 by chance)."
    )
    lines = "\n".join(textwrap.wrap(sentence, int(figure.get_figwidth() * 16.5)))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color="#444444")
    hits = np.asarray(result.hits["sub_architecture"]).reshape(len(result), 4, len(result.sites))
    for row in range(5):
        quadrant, through = (row, 0) if row < 4 else (0, 1)
        _show(axes[row, 0], picture, None if row == 4 else quadrant)
        name = short(result.classes[mosaic][quadrant], 16) if row < 4 else "whole network"
        axes[row, 0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center", parse_math=False)
        for column, site in enumerate(sites, 1):
            kept = result.kept[mosaic, quadrant, through, site]
            _show(axes[row, column], highlighted(picture, kept), None if row == 4 else quadrant)
            if row < 4:
                axes[row, column].set_xlabel(f"{hits[mosaic, quadrant, site]:.2f}", fontsize=7, labelpad=1)
            if row == 0:
                axes[row, column].set_title(short(result.sites[site], 15), fontsize=6, parse_math=False)
    return figure


def as_picture(image: np.ndarray) -> np.ndarray:
    """`[height, width, 3]` in [0, 1] of an image `[channels, height, width]` on any scale: stretched to its own range,
    because preprocessing may have been anything."""
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) / (high - low if high > low else 1.0)
    colours = scaled[:3] if len(scaled) >= 3 else np.repeat(scaled[:1], 3, 0)
    return np.moveaxis(colours, 0, -1)


def highlighted(picture: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The picture, pale where `kept` `[height, width]` is 0, and in full where it is 1."""
    pale = 0.8 + 0.2 * picture.mean(-1, keepdims=True)
    weights = np.clip(kept, 0, 1)[..., None]
    return np.asarray(pale * (1 - weights) + picture * weights)


def _show(axes: Axes, picture: np.ndarray, quadrant: int | None) -> None:
    height, width = picture.shape[:2]
    axes.imshow(picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if quadrant is not None:
        down, right = divmod(quadrant, 2)
        x, y = right * width / 2 - 0.5, down * height / 2 - 0.5
        axes.plot(
            [x, x + width / 2, x + width / 2, x, x],
            [y, y, y + height / 2, y + height / 2, y],
            color=CHANCE,
            linewidth=1,
            clip_on=False,
        )
