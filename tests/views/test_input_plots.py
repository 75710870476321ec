"""Figures of inputs show their tables' numbers, and say how to read them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.paths.made import make, sites_of
from tests.views.test_plots import all_text
from unweave.analysis.embedding import Embedding, embedding
from unweave.analysis.states import filter_states
from unweave.paths import Paths, Rows
from unweave.tables import Table
from unweave.views.input_plots import CLASS_COLOURS, plot_embedding, plot_filter_states
from unweave.views.style import save_figure


def states():
    masks = {"a/relu:0": torch.tensor([[1, 0, 1, 0], [1, 0, 0, 1]]).bool(), "b/relu:0": torch.ones(2, 5).bool()}
    return filter_states(Paths(masks, Rows.of_inputs(2), sites_of(4, 5), {}))


def map_of(classes, unknown=0):
    labels = np.array([*np.repeat(np.arange(classes), 2), *[-1] * unknown])
    places = np.random.default_rng(0).normal(size=(len(labels), 2))
    scores = {"silhouette": 0.25, "agreement_10": 0.5, "agreement_by_chance": 0.125}
    table = Table("", {"space": ("PCA", "map"), **{name: (value, 0.0) for name, value in scores.items()}}, {})
    names = {c: f"class ${c}$" for c in range(classes)}
    return Embedding(places, labels, names, tuple(map(str, labels)), table, "Paths of some inputs", "made so")


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_bars_of_a_layer_are_its_shares_one_above_the_other():
    axes = plot_filter_states(states()).axes[0]
    drawn = [[(bar.get_y(), bar.get_height()) for bar in container] for container in axes.containers]
    energetic, dynamic, silent = drawn
    assert energetic == [(0, 0.25), (0, 1)]
    assert dynamic == [(0.25, 0.5), (1, 0)]
    assert silent == [(0.75, 0.25), (1, 0)]


def test_the_legend_of_states_has_the_shares_of_all_filters():
    assert legend_of(plot_filter_states(states())) == [
        "energetic: all select it (67% of all)",
        "dynamic: some do (22% of all)",
        "silent: none does (11% of all)",
    ]


def test_every_class_has_its_points_a_colour_or_marker_and_a_name():
    figure = plot_embedding(map_of(12))
    drawn = figure.axes[0].collections
    looks = {(tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes()) for points in drawn}
    assert len(CLASS_COLOURS) < len(looks) == len(drawn) == 12
    assert legend_of(figure) == [f"class ${c}$" for c in range(12)]
    assert [len(points.get_offsets()) for points in drawn] == [2] * 12


def test_inputs_of_unknown_class_are_drawn_apart():
    figure = plot_embedding(map_of(2, unknown=3))
    assert legend_of(figure)[0] == "unknown"
    assert len(figure.axes[0].collections[0].get_offsets()) == 3


def boxes(texts):
    return [text.get_window_extent() for text in texts]


def apart(found):
    return not any(one.overlaps(other) for number, one in enumerate(found) for other in found[:number])


@pytest.mark.parametrize("classes", [10, 20, 21, 100])
def test_no_name_covers_another_or_leaves_the_page(classes):
    figure = plot_embedding(map_of(classes, unknown=1))
    figure.draw_without_rendering()
    legend = boxes(figure.legends[0].get_texts())
    assert len(legend) == classes + 1
    assert apart(legend)
    assert apart(boxes(figure.axes[0].texts))
    assert all(figure.bbox.contains(*corner) for box in legend for corner in (box.min, box.max))
    assert not any(box.overlaps(figure.axes[0].bbox) for box in legend)
    assert not any(box.overlaps(figure._supxlabel.get_window_extent()) for box in legend)


def test_of_names_in_one_place_the_largest_class_s_is_on_the_map():
    crowded = replace(map_of(3), coordinates=np.zeros((6, 2)), labels=np.array([0, 1, 1, 1, 2, 2]))
    figure = plot_embedding(crowded)
    assert [text.get_text() for text in figure.axes[0].texts] == ["class $1$"]
    assert legend_of(figure) == [f"class ${c}$" for c in range(3)]


def test_a_map_of_more_classes_than_looks_says_that_it_has_no_legend():
    figure = plot_embedding(map_of(101))
    assert legend_of(figure) == []
    assert "no legend, because there are more than 100" in all_text(figure).replace("\n", " ")


def test_the_map_says_its_scores_and_how_it_was_made():
    text = all_text(plot_embedding(map_of(3)))
    assert "50% of the ten nearest paths" in text
    assert "by chance 12%; silhouette 0.25. made so." in text


@pytest.mark.parametrize("name", ["states", "map"])
def test_figures_say_how_to_read_them_and_are_saved_whole(name, tmp_path):
    paths = make(Rows.of_inputs(6, labels=[0, 1] * 3), sites_of(10, 20))
    figure = plot_filter_states(filter_states(paths)) if name == "states" else plot_embedding(embedding(paths))
    assert "How to read:" in all_text(figure)
    png, svg = save_figure(figure, tmp_path / name)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().rstrip().endswith("</svg>")
