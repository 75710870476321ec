"""The figure of `benchmarks.connections`: usage, similarity and hit rate site by site, and the scores."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unweave.files import replacing
from unweave.views.style import CHANCE

IMAGES = Path(__file__).parent.parent / "docs" / "images"
COLOURS = {"plain": "#5b6470", "residual": "#b3433b", "dense": "#1f6fb4"}
OBJECTIVES = ("released", "selective")
_READ = (
    "How to read: one thick line a kind of network, mean over training seeds (thin lines) and searches. Dotted: how "
    "similar a class is to itself under another seed of the search; similarity between classes says something only "
    "where it is clearly below. Hit rate: 0.25 is what any mask has that does not depend on the class. Score: dots, a "
    "training seed each; left the masks as found, right the half of every site's channels with the highest scores, so "
    "that all networks keep equally many."
)


def draw(result: Mapping[str, Any], name: str) -> Path:
    """Write `docs/images/NAME.png` from what `benchmarks.connections` kept."""
    networks = result["raw"]["networks"]
    figure = Figure(figsize=(10.5, 12), layout="constrained")
    axes = figure.subplots(4, 2, sharey="row", squeeze=False)
    top1 = ", ".join(f"{kind} {100 * np.mean(found):.0f} %" for kind, found in result["top1"].items())
    figure.suptitle(
        f"Plain, residual and dense twins (top-1: {top1})", x=0.01, ha="left", fontsize=12, fontweight="bold"
    )
    for column, objective in enumerate(OBJECTIVES):
        axes[0, column].set_title(f"objective {objective}", fontsize=10, loc="left")
        for kind, colour in COLOURS.items():
            same = [one for one in networks if one["kind"] == kind]
            for row, measure in enumerate(("usage", "similarity", "hit_rate")):
                _lines(axes[row, column], [_values(one[objective], measure) for one in same], kind, colour)
            own = [one[f"{objective}_stability"]["self_similarity"] for one in same]
            axes[1, column].plot(np.mean(own, 0), ":", color=colour, linewidth=1.5)
        axes[2, column].axhline(0.25, color=CHANCE, linestyle="--", linewidth=1)
        _scores(axes[3, column], networks, objective)
        for row in range(3):
            axes[row, column].set_xticks(*_ticks(networks[0][objective][0]["sites"]), rotation=45, fontsize=7)
    for row, label in enumerate(("channels kept (share)", "similarity of classes", "hit rate", "score (thousandths)")):
        axes[row, 0].set_ylabel(label, fontsize=9)
    axes[3, 0].set_ylim(bottom=0)  # once both columns, which share it, hold all their points
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.supxlabel("\n".join(textwrap.wrap(_READ, 165)), x=0.01, ha="left", fontsize=8, color="#444444")
    target = IMAGES / f"{name}.png"
    with replacing(target) as draft:
        figure.savefig(draft, format="png", dpi=110, metadata={"Software": None})
    return target


def _values(searches: list[Mapping[str, Any]], measure: str) -> np.ndarray:
    """By site, mean over searches."""
    return np.mean([one[measure] for one in searches], 0)


def _lines(axes: Axes, seeds: list[np.ndarray], kind: str, colour: str) -> None:
    for values in seeds:
        axes.plot(values, color=colour, linewidth=0.7, alpha=0.5)
    axes.plot(np.mean(seeds, 0), color=colour, linewidth=2.2, marker="o", markersize=4, label=kind)


def _scores(axes: Axes, networks: list[Mapping[str, Any]], objective: str) -> None:
    for group, masks in enumerate(("as_found", "half")):
        for place, (kind, colour) in enumerate(COLOURS.items()):
            values = [
                1000 * np.mean([search[masks]["score"] for search in one[objective]])
                for one in networks
                if one["kind"] == kind
            ]
            where = group * 4 + place
            axes.plot([where] * len(values), values, "o", color=colour, alpha=0.6, markersize=6)
            axes.plot([where - 0.3, where + 0.3], [np.mean(values)] * 2, color=colour, linewidth=2.2)
    names = [f"{kind}\n{masks}" for masks in ("as found", "half kept") for kind in COLOURS]
    axes.set_xticks([0, 1, 2, 4, 5, 6], names, fontsize=8)


def _ticks(sites: list[str]) -> tuple[range, list[str]]:
    return range(len(sites)), [named(site) for site in sites]


def named(site: str) -> str:
    """`parts.unit21/relu:0` is unit 2.1, the first of the second stage."""
    part = site.removeprefix("parts.").replace("/", ".").split(".")[0]
    return f"unit {part[4]}.{part[5:]}" if part.startswith("unit") else part.rstrip("12")
