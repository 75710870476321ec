"""Where a figure shows how similar a class is to itself under another seed."""

import numpy as np
from matplotlib.colors import same_color

from unweave.views.style import CHANCE


def words_of(figure):
    """Titles, how-to-read sentence and labels of axes, as one line."""
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    labels = [axes.get_ylabel() for axes in figure.axes]
    return " ".join([figure.get_suptitle(), *titles, figure.get_supxlabel(), *labels]).replace("\n", " ").strip()


def own_similarities(figure):
    """The heights of the thick red lines, in plots and in scales of colours: an array a line."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    red = [line for line in lines if same_color(line.get_color(), CHANCE) and line.get_linewidth() == 2]
    return [np.asarray(line.get_ydata(), float) for line in red]


def shows_own_similarity(figure, stable):
    """Whether the figure has the line of what `stable` measured: a value a site, or the mean over sites."""
    (drawn,) = own_similarities(figure) or [np.array([])]
    expected = np.asarray(stable.per_site["self_similarity"], float)
    if drawn.shape == expected.shape and np.allclose(drawn, expected):
        return True
    return drawn.size > 0 and np.allclose(drawn, float(stable.per_site.summary["self_similarity"]))
