"""What excites a row's channels most, as a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from unweave.tables import Table
from unweave.views.mosaic_plots import as_picture
from unweave.views.style import short


def plot_exciting(table: Table, row: str, pictures: Mapping[int, Tensor]) -> Figure:
    """The images that excite each of one row's channels most: a line a channel, the strongest image first.

    `table`: of that row alone, columns `site`, `channel`, `score`, `kept`, `position`, `label`, `activation`, the
    strongest image of a channel first; `pictures`: by position, `[channels, height, width]` on any scale.
    """
    lines: dict[tuple[str, int, float, bool], list[tuple[int, str, float]]] = {}
    columns = (table[name] for name in ("site", "channel", "score", "kept", "position", "label", "activation"))
    for site, channel, score, kept, position, label, activation in zip(*columns, strict=True):
        lines.setdefault((site, channel, score, kept), []).append((position, label, activation))
    wide = max(map(len, lines.values()))
    figure = Figure(figsize=(1.2 * wide + 2.4, 1.42 * len(lines) + 1.5), layout="constrained")
    axes = figure.subplots(len(lines), wide, squeeze=False)
    figure.suptitle(
        f"What excites the channels of {short(row, 30)} most", x=0.01, ha="left", fontsize=11, fontweight="bold",
        parse_math=False,
    )  # fmt: skip
    sentence = (
        "How to read: each line is one channel, those with the highest scores for the row first at each site; its "
        "images are those that it answers most strongly in the untouched network, with their class and its mean "
        "activation: at 0 no image excites it. A channel of the class alone shows the class alone."
    )
    figure.supxlabel(
        "\n".join(textwrap.wrap(sentence, int(figure.get_figwidth() * 16.5))),
        x=0.01,
        ha="left",
        fontsize=8,
        color="#444444",
    )
    for place, ((site, channel, score, kept), images) in enumerate(lines.items()):
        for column in range(wide):
            one = axes[place, column]
            one.set_xticks([])
            one.set_yticks([])
            one.spines[:].set_visible(False)
            if column < len(images):
                position, label, activation = images[column]
                one.imshow(as_picture(pictures[position].float().cpu().numpy()), interpolation="nearest")
                one.set_xlabel(f"{short(label, 14)}\n{activation:.3g}", fontsize=7, labelpad=1, parse_math=False)
        text = f"channel {channel}\n{short(site, 22)}\nscore {score:.2f}{'' if kept else ', not kept'}"
        axes[place, 0].set_ylabel(text, fontsize=7, rotation=0, ha="right", va="center", parse_math=False)
    return figure
