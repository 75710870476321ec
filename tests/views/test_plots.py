"""Figures show the numbers of their tables, and say how to read them."""

import numpy as np
import pytest
import torch

from tests.tiny import TinyPlain, labelled_noise
from unweave.analysis.accuracy import accuracy
from unweave.analysis.similarity import similarity
from unweave.analysis.specificity import specificity
from unweave.analysis.usage import usage
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.views import plots
from unweave.views.style import save_figure, short

NAMES = ("a $dollar$ name", "名前", "x" * 300)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TinyPlain().randomised()


@pytest.fixture(scope="module")
def paths(network):
    torch.manual_seed(0)
    example = torch.zeros(2, 3, 8, 8)
    masks = {site.name: torch.rand(3, site.channels) > 0.4 for site in find_sites(network, example)}
    return Paths.from_masks(masks, network, example, classes=[0, 1, 2], names=NAMES)


def all_text(figure):
    axes = figure.axes[0]
    legend = [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []
    return " ".join([axes.get_title(loc="left"), figure.get_supxlabel(), *legend]).replace("\n", " ")


def figures(network, paths):
    images = labelled_noise(30)
    sweep = {"betas": (0.1, 1.0, 10.0), "size": (3.0, 2.0, 1.0), "reconstruction": (0.0, 0.1, 2.0), "chosen": 1.0}
    return {
        "accuracy": plots.plot_accuracy(accuracy(network, paths, images)),
        "specificity": plots.plot_specificity(specificity(network, paths, images, controls=1)),
        "usage": plots.plot_usage(usage(paths)),
        "similarity": plots.plot_similarity(similarity(paths)),
        "similarity_matrix": plots.plot_similarity_matrix(similarity(paths)),
        "elbow": plots.plot_elbow(sweep),
    }


def test_every_figure_says_how_to_read_it_and_is_saved_whole(network, paths, tmp_path):
    for name, figure in figures(network, paths).items():
        assert "How to read:" in all_text(figure)
        png, svg = save_figure(figure, tmp_path / name)
        assert png.read_bytes().startswith(b"\x89PNG")
        assert svg.read_text().rstrip().endswith("</svg>")
    assert not list(tmp_path.glob(".*"))


def test_equal_figures_give_equal_files(paths, tmp_path):
    first = save_figure(plots.plot_usage(usage(paths)), tmp_path / "first")
    second = save_figure(plots.plot_usage(usage(paths)), tmp_path / "second")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_usage_draws_the_table_s_mean(paths):
    table = usage(paths)
    (line,) = plots.plot_usage(table).axes[0].get_lines()
    assert np.allclose(line.get_ydata(), table["usage"])


def test_accuracy_draws_both_histograms_with_their_means(network, paths):
    table = accuracy(network, paths, labelled_noise(30))
    figure = plots.plot_accuracy(table)
    whole, own = figure.axes[0].get_lines()
    assert sum(whole.get_ydata()) == sum(own.get_ydata()) == 3
    assert f"{table.summary['sub_architecture']:.1%}" in all_text(figure)


def test_specificity_leaves_controls_out_where_there_are_none(network, paths):
    table = specificity(network, paths, labelled_noise(30), controls=0)
    assert "random" not in all_text(plots.plot_specificity(table))


def test_similarity_draws_what_chance_gives(paths):
    result = similarity(paths)
    lines = plots.plot_similarity(result).axes[0].get_lines()
    assert np.allclose(lines[1].get_ydata(), result.per_site["expected_by_chance"])


def test_elbow_marks_the_chosen_beta():
    sweep = {"betas": (0.1, 1.0, 10.0), "size": (3.0, 2.0, 1.0), "reconstruction": (0.0, 0.1, 2.0), "chosen": 1.0}
    axes = plots.plot_elbow(sweep).axes[0]
    (marked,) = axes.collections
    assert marked.get_offsets().tolist() == [[2.0, 0.1]]
    assert "1" in axes.get_title(loc="left")


def test_short_keeps_the_end_of_a_long_name():
    assert short("layer1.0.relu/relu:1", 8) == "…/relu:1"
    assert short("short") == "short"
    assert len(short("x" * 300)) == 24
