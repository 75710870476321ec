"""What all figures share: colours, sizes, saving."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unweave.files import replacing
from unweave.places import place
from unweave.views.lettering import make_legible

SUB_ARCHITECTURE = "#1f6fb4"
ORIGINAL = "#5b6470"
RANDOM = "#e08a1e"
CHANCE = "#b3433b"


def new_figure(width: float, height: float, title: str, how_to_read: str) -> tuple[Figure, Axes]:
    """A figure with one plot, a title, and one sentence below that says how to read it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    sentence = "\n".join(textwrap.wrap(how_to_read, int(width * 16.5)))
    figure.supxlabel(sentence, x=0.01, ha="left", fontsize=8, color="#444444")
    return figure, axes


def short(name: str, length: int = 24) -> str:
    """A name that fits beside an axis: its end, where names of values differ."""
    return name if len(name) <= length else "…" + name[-(length - 1) :]


def label_sites(axes: Axes, names: tuple[str, ...]) -> None:
    """Sites along the horizontal axis, in forward order; by name where they fit, else every so many."""
    every = max(1, -(-len(names) // 30))
    positions = range(0, len(names), every)
    axes.set_xticks(
        list(positions), [short(names[p]) for p in positions], rotation=60, ha="right", fontsize=7, parse_math=False
    )
    axes.set_xlabel("site, in forward order" + (f" (every {every}th named)" if every > 1 else ""), fontsize=9)


def save_figure(figure: Figure, stem: str | Path) -> list[Path]:
    """Write `STEM.png` and `STEM.svg`, each whole or not at all; equal figures give equal files."""
    make_legible(figure)
    stem = place(stem)
    written = []
    for kind in ("png", "svg"):
        target = stem.with_name(f"{stem.name}.{kind}")
        with replacing(target) as draft:
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            # Without a salt, identifiers inside the SVG differ from run to run.
            with rc_context({"svg.hashsalt": "unweave"}), warnings.catch_warnings():
                # Of what is not a class's name, a group's say: drawn as boxes; the tables have it in full.
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                figure.savefig(draft, format=kind, dpi=130, metadata=metadata)
        written.append(target)
    return written
