"""Figures of controls, clusters, mosaics and misjudgements show their tables' numbers, whatever classes are called."""

import numpy as np
import pytest
import torch

from tests.paths.made import make, sites_of
from tests.views.own_similarity import words_of
from unweave.analysis.clusters import cluster
from unweave.analysis.feature_maps import FeatureMaps
from unweave.analysis.interpretability import interpretability, pairs
from unweave.analysis.misjudgements import Misjudgements
from unweave.analysis.similarity import similarity
from unweave.analysis.stability import stability
from unweave.errors import PathsError
from unweave.paths import Rows
from unweave.tables import Table
from unweave.views.cluster_plots import plot_clusters, plot_interpretability, plot_pairs
from unweave.views.control_plots import plot_ablation, plot_keep_curve, plot_stability
from unweave.views.exciting_plots import plot_exciting
from unweave.views.misjudgement_plots import plot_confusion_ranks, plot_misjudgements
from unweave.views.mosaic_plots import as_picture, highlighted, plot_feature_maps, plot_hit_rate
from unweave.views.plots import plot_similarity, plot_similarity_matrix
from unweave.views.style import CHANCE, save_figure

NAMES = ("<b>cat</b>", "a/b\\c", "x" * 300, "猫の名前", "a $dollar$ name")
ROWS, SITES = Rows.of_classes(range(5), NAMES), sites_of(12, 20, 8)
PATHS = make(ROWS, SITES)


def runs():
    """Three runs, the last site of which alone is the same in all."""
    others = [make(ROWS, SITES, seed) for seed in (1, 2)]
    last = SITES.names[-1]
    from unweave.paths import Paths

    return [PATHS, *(Paths({**r.masks, last: PATHS.masks[last]}, ROWS, SITES, r.manifest) for r in others)]


def excited():
    """Two channels of a row."""
    columns = {
        "site": ("a/relu:0",) * 3,
        "channel": (3, 3, 1),
        "score": (0.5, 0.5, -0.2),
        "kept": (True, True, False),
        "position": (7, 2, 7),
        "label": (NAMES[4], NAMES[2], NAMES[4]),
        "activation": (0.25, 0.125, 0.0),
    }
    return Table("", columns, {})


def exciting():
    return plot_exciting(excited(), NAMES[4], {2: torch.rand(1, 4, 4), 7: torch.rand(3, 4, 4)})


def hits():
    columns = {
        "site": ("a", "b", "c"),
        "hit_rate": (0.25, float("nan"), 0.6),
        "standard_error": (0.01, float("nan"), 0.02),
    }
    return Table("", columns, {}, {"mosaics": 40})


def ablations():
    masks = ("whole network", "sub-architecture", "sub-architecture", "complement", "complement", "random", "random")
    figures = (0.9, 0.8, 0.7, 0.5, 0.5, 0.6, 0.6)
    columns = {"mask": masks, "dropped": ("", *("zero", "mean") * 3), "balanced": figures}
    return Table("", {**columns, "worst_balanced": tuple(f - 0.1 for f in figures)}, {})


def curves():
    columns = {"share": (0, 0.5, 1), "keep_balanced": (0.5, 0.9, 0.95), "remove_balanced": (0.95, 0.6, 0.5)}
    areas = {"keep_area": 0.8, "remove_area": 0.6, "random_area": 0.7}
    return Table("", {**columns, "random_balanced": (0.5, 0.7, 0.95)}, {}, areas)


def misjudged(p=0.01):
    columns = {"name": NAMES, "mis": (0.5, 0.4, float("nan"), 0.6, 0.3), "oth": (0.3, 0.35, 0.2, 0.4, 0.35)}
    summary = {"mis": 0.45, "oth": 0.35, "difference": 0.1, "p": p, "permutations": 4, "share_shared": 0.5}
    summary |= {"share_by_chance": 0.75, "correlation": 0.25, "correlation_p": p}
    images = Table("", {"rank": (1, 1, 3.5, 1, 2), "tied": (1, 1, 2, 1, 1)}, {})
    return Misjudgements(Table("", columns, {}, summary), images, np.arange(4) / 100, np.arange(4) / 10)


NAN = float("nan")
NOT_COMPARED = [
    ((0, 0, NAN), "The network misjudges none of these images, so there is nothing to compare."),
    ((7, 7, NAN), "misjudges 7 of these images, and the labels that it gives are of classes without a row, whose"),
    ((7, 0, 0.5), "misjudges 7 of these images, and calls each class that it misjudges by every other one that has a"),
    ((7, 2, 0.5), "7 of these images (2 of them, called by classes without a row, are left out), and calls each class"),
]


def not_compared(misjudged, without_row, share_shared):
    summary = {**dict.fromkeys(("mis", "oth", "difference", "p"), NAN), "permutations": 0, "share_by_chance": 0.75}
    summary |= {"classes_compared": 0, "misjudged": misjudged, "without_row": without_row, "share_shared": share_shared}
    columns = {"name": NAMES, "mis": (0.5, *[NAN] * 4), "oth": (NAN,) * 5}
    return Misjudgements(
        Table("", columns, {}, summary), Table("", {"rank": (), "tied": ()}, {}), np.empty(0), np.empty(0)
    )


def maps():
    kept = np.zeros((1, 4, 2, 3, 6, 6), np.float32)
    kept[..., :2, :2] = 1
    kept[:, :, :, 1] = np.nan
    shares = tuple(0.1 * i for i in range(12))
    return FeatureMaps(
        torch.rand(1, 3, 6, 6), kept, (NAMES[:4],), ("a", "b", "c"), Table("", {"sub_architecture": shares}, {})
    )


def networks():
    columns = {"network": ("<one>", "$two$"), "score": (0.01, 0.02), "top1": (0.9, 0.8), "usage": (0.5, 0.25)}
    return Table("Interpretability", columns, {})


def accuracies():
    return Table("", {"name": NAMES, "sub_architecture": (1.0, 0.9, 0.8, 0.7, float("nan"))}, {})


def pairs_of_classes():
    table = interpretability(PATHS, accuracies())
    return plot_pairs(table, *pairs(PATHS, accuracies()), own_similarity=0.8)


FIGURES = {
    "pairs": pairs_of_classes,
    "hit_rate": lambda: plot_hit_rate(hits()),
    "feature_maps": lambda: plot_feature_maps(maps()),
    "exciting": exciting,
    "ablation": lambda: plot_ablation(ablations()),
    "keep_curve": lambda: plot_keep_curve(curves()),
    "stability": lambda: plot_stability(stability(runs())),
    "misjudgements": lambda: plot_misjudgements(misjudged()),
    "confusion_ranks": lambda: plot_confusion_ranks(misjudged()),
    "misjudgements_not_compared": lambda: plot_misjudgements(not_compared(7, 2, 0.5), own_similarity=0.8),
    "clusters": lambda: plot_clusters(cluster(PATHS, groups={"$soft$": [0, 1], "<hard>": [2, 3]}), own_similarity=0.8),
    "interpretability": lambda: plot_interpretability(networks()),
    "similarity": lambda: plot_similarity(similarity(PATHS), stability(runs())),
    "similarity_matrix": lambda: plot_similarity_matrix(similarity(PATHS), stability(runs())),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_say_how_to_read_them_and_are_saved_whole(name, tmp_path):
    figure = FIGURES[name]()
    assert "How to read:" in figure.get_supxlabel()
    png, svg = save_figure(figure, tmp_path / name)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().rstrip().endswith("</svg>")
    assert "<b>cat" not in svg.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([f"{name}.png", f"{name}.svg"])


def test_the_hit_rate_has_the_line_of_chance_at_a_quarter():
    rates, chance = plot_hit_rate(hits()).axes[0].get_lines()
    assert np.array_equal(rates.get_ydata(), [0.25, np.nan, 0.6], equal_nan=True)
    assert set(chance.get_ydata()) == {0.25}
    assert chance.get_color() == CHANCE


def test_feature_maps_leave_sites_without_positions_out_and_frame_the_class():
    figure = plot_feature_maps(maps())
    assert len(figure.axes) == 5 * 3
    shown = [axes.get_xlabel() for axes in figure.axes]
    assert [label for label in shown if label] == ["0.00", "0.20", "0.30", "0.50", "0.60", "0.80", "0.90", "1.10"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [1] * 12 + [0] * 3


def test_pictures_are_stretched_to_their_range_and_pale_where_nothing_is_kept():
    picture = as_picture(np.array([[[-1.0, 3.0]]]))
    assert picture.tolist() == [[[0, 0, 0], [1, 1, 1]]]
    assert as_picture(np.full((3, 1, 1), 7.0)).tolist() == [[[0, 0, 0]]]
    assert highlighted(picture, np.array([[1.0, 0.0]])).tolist() == [[[0, 0, 0], [1, 1, 1]]]
    assert highlighted(picture, np.array([[0.0, 0.0]]))[0, 0].tolist() == pytest.approx([0.8] * 3)


def test_bars_of_an_ablation_are_its_balanced_accuracies():
    axes = plot_ablation(ablations()).axes[0]
    drawn = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers}
    assert drawn == {"sub-architecture": [0.8, 0.7], "complement": [0.5, 0.5], "random": [0.6, 0.6]}


def test_the_keep_curve_draws_its_three_curves_with_their_areas():
    lines = plot_keep_curve(curves()).axes[0].get_lines()
    assert [list(line.get_ydata()) for line in lines[:3]] == [[0.5, 0.9, 0.95], [0.5, 0.7, 0.95], [0.95, 0.6, 0.5]]
    assert [line.get_label()[-6:] for line in lines[:3]] == ["[0.80]", "[0.70]", "[0.60]"]


def test_the_pairs_of_classes_are_counted_around_both_readings_of_mu_with_their_scores():
    table, (similarities, products) = interpretability(PATHS, accuracies()), pairs(PATHS, accuracies())
    axes = pairs_of_classes().axes[0]
    counted = [[bar.get_height() for bar in bars] for bars in axes.containers]
    edges = [bar.get_x() for bar in axes.containers[0]]
    edges.append(edges[-1] + axes.containers[0][-1].get_width())
    assert counted == [np.histogram(values, edges)[0].tolist() for values in (similarities, products)]
    assert [sum(counts) for counts in counted] == [6, 6]  # the class without accuracy has no pairs
    lines = axes.get_lines()
    assert [line.get_xdata()[0] for line in lines] == [*reversed(table["mu"]), 0.8]
    for line, score in zip(lines, reversed(table["score"]), strict=False):
        assert line.get_label().endswith(f"score {score:.3g}")


def test_similarity_draws_the_line_of_a_class_s_similarity_to_itself_where_it_is_known():
    measured = stability(runs())
    figure = plot_similarity(similarity(PATHS), measured)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert np.allclose(lines["a class to itself, other seed"], measured.per_site["self_similarity"])
    assert np.allclose(lines["a class to others, other seed"], measured.per_site["other_similarity"])
    assert np.allclose(lines["pairs of classes, this run"], similarity(PATHS).per_site["similarity"])
    words = figure.get_supxlabel().replace("\n", " ")
    assert "the squares (a class and other classes, other seed) are clearly below the thick red line" in words
    assert "was not measured here" in plot_similarity(similarity(PATHS)).get_supxlabel().replace("\n", " ")
    triangles = figure.axes[0].collections[-1].get_offsets()[:, 0].tolist()
    assert triangles == np.flatnonzero(measured.per_site["told_apart"]).tolist()
    assert 2 in triangles


def test_the_matrix_has_each_class_s_similarity_to_itself_on_the_diagonal():
    measured = stability(runs())
    shown = plot_similarity_matrix(similarity(PATHS), measured).axes[0].get_images()[0].get_array()
    assert np.allclose(np.diag(shown), measured.classes["self_similarity"])


def test_clusters_draw_the_heatmap_in_the_tree_s_order_and_a_join_a_pair():
    result = cluster(PATHS)
    figure = plot_clusters(result)
    tree, heatmap = figure.axes[2], figure.axes[8]
    shown = heatmap.get_images()[0].get_array()
    expected = result.matrix[np.ix_(result.order, result.order)]
    assert np.allclose(shown[0, 1:], expected[0, 1:])
    assert len(tree.collections[0].get_segments()) == 4
    heights = sorted(segment[:, 1].max() for segment in tree.collections[0].get_segments())
    assert np.allclose(heights, result.linkage[:, 2])


def test_a_thousand_classes_are_drawn_without_names():
    result = cluster(make(Rows.of_classes(range(300)), sites_of(30)))
    assert len(plot_clusters(result).axes[8].get_xticks()) == 0


def test_misjudged_classes_are_drawn_by_difference_and_undefined_ones_left_out():
    axes = plot_misjudgements(misjudged()).axes[0]
    assert [label.get_text()[:5] for label in axes.get_xticklabels()] == ["<b>ca", "猫の名前", "a/b\\c", "a $do"]
    assert "p = 0.010 (4 permutations)" in plot_misjudgements(misjudged()).get_supxlabel().replace("\n", " ")
    assert "p =" not in plot_misjudgements(misjudged(float("nan"))).get_supxlabel()


@pytest.mark.parametrize(("counted", "reason"), NOT_COMPARED)
def test_where_no_class_can_be_compared_the_figure_says_why_and_nothing_that_is_not_known(counted, reason):
    words = words_of(plot_misjudgements(not_compared(*counted)))
    assert words.startswith("No class can be compared")
    assert reason in words
    assert "nan" not in words
    assert ("50% are among the three most similar classes; by chance 75%" in words) == (counted[2] == 0.5)


def test_wrong_answers_are_counted_by_how_similar_their_class_is():
    figure = plot_confusion_ranks(misjudged())
    curve, chance = (line.get_xydata().tolist() for line in figure.axes[0].lines)
    assert curve == [[0, 0], [1, pytest.approx(3 / 5)], [2, pytest.approx(4 / 5)], [3, pytest.approx(9 / 10)], [4, 1]]
    assert chance == [[0, 0], [4, 1]]
    words = words_of(figure)
    assert "correlation of +0.25 with how similar they are (p = 0.010, one-sided, 4 permutations); 0 is none." in words
    assert "p =" not in words_of(plot_confusion_ranks(misjudged(NAN)))


def test_wrong_answers_of_which_none_has_a_row_have_no_figure():
    with pytest.raises(PathsError, match="the labels that it gives are of classes without a row"):
        plot_confusion_ranks(not_compared(7, 7, NAN))


def test_every_figure_of_similarity_has_the_line_of_a_class_s_similarity_to_itself_or_says_that_it_is_missing():
    axes = plot_misjudgements(misjudged(), own_similarity=0.7).axes[0]
    assert {line.get_label(): line.get_ydata()[0] for line in axes.get_lines()}["a class to itself, other seed"] == 0.7
    bare = plot_misjudgements(misjudged()), plot_clusters(cluster(PATHS)), plot_similarity_matrix(similarity(PATHS))
    for figure in bare:
        assert "give runs of other seeds" in figure.get_supxlabel().replace("\n", " ")


def test_a_line_is_a_channel_of_the_row_with_the_images_that_excite_it():
    axes = np.array(exciting().axes).reshape(2, 2)
    assert [one.get_ylabel() for one in axes[:, 0]] == [
        "channel 3\na/relu:0\nscore 0.50",
        "channel 1\na/relu:0\nscore -0.20, not kept",
    ]
    assert [[len(one.images) for one in line] for line in axes] == [[1, 1], [1, 0]]
    assert axes[0, 0].get_xlabel() == f"…{NAMES[4][-13:]}\n0.25"
