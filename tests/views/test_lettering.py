"""Names in letters that fonts have are drawn; others are called by their class index, and listed."""

from tests.paths.made import make, sites_of
from unweave.analysis.clusters import cluster
from unweave.analysis.similarity import similarity
from unweave.paths import Rows
from unweave.views.cluster_plots import plot_clusters
from unweave.views.lettering import has_letters, make_legible, numbered, numbers_of
from unweave.views.plots import plot_similarity_matrix
from unweave.views.report.content import Content, Picture, Section
from unweave.views.report.render import render
from unweave.views.style import save_figure

UNDRAWN = "\U000f0001\U000f0002"  # a private area: no font has these
LONG = "\U000f0003" * 300
PATHS = make(Rows.of_classes([3, 7, 9, 12], ["кот", UNDRAWN, LONG, "dog"]), sites_of(12, 20))


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_a_name_is_drawn_if_some_installed_font_has_all_its_letters():
    assert has_letters("кот Ωμέγα …")
    assert not has_letters(UNDRAWN)


def test_rows_whose_names_no_font_has_are_called_by_their_class_index():
    figure = plot_similarity_matrix(similarity(PATHS))
    assert make_legible(figure, numbers_of(PATHS)) == {"class 7": UNDRAWN, "class 9": LONG}
    assert ticks(figure.axes[0]) == ["кот", "class 7", "class 9", "dog"]
    assert "are class indices; tables have the names" in figure.get_supxlabel()


def test_a_figure_that_is_saved_for_a_run_has_no_boxes_and_one_whose_names_can_be_drawn_is_as_it_was(tmp_path):
    with numbered(PATHS):
        figure = plot_clusters(cluster(PATHS))
        save_figure(figure, tmp_path / "clusters")
    assert sorted(ticks(figure.axes[8])) == sorted(["кот", "class 7", "class 9", "dog"])
    latin = make(Rows.of_classes(range(3), ["a", "b", "c"]), sites_of(12))
    plain = plot_similarity_matrix(similarity(latin))
    before = plain.get_supxlabel()
    assert make_legible(plain, numbers_of(latin)) == {}
    assert plain.get_supxlabel() == before


def test_groups_whose_names_no_font_has_are_called_by_their_place():
    groups = {"animals": ["кот", "dog"], UNDRAWN: [7, 9]}
    figure = plot_clusters(cluster(PATHS, groups=groups))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["animals", "group 1"]
    assert "called by their place in `groups`, from 0" in figure.get_supxlabel().replace("\n", " ")
    drawn = plot_clusters(cluster(PATHS, groups={"animals": ["кот", "dog"], "rest": [7, 9]}))
    assert "place" not in drawn.get_supxlabel()


def test_the_page_lists_index_and_name_beside_the_figure(monkeypatch):
    monkeypatch.setattr("unweave.views.report.render.figure_address", lambda figure: "data:,")
    flow = {"rows": [], "sites": [], "exciting": {}, "pictures": {}}
    sections = [Section("Shared", "", [Picture(plot_similarity_matrix(similarity(PATHS)), "similarity")])]
    text = render(Content("t", [], [], flow, "", ([], []), sections, [], numbers_of(PATHS)))
    assert f'<figcaption class="read">class 7: {UNDRAWN}</figcaption>' in text
    assert f"class 9: {LONG}</figcaption>" in text
    assert "class 3:" not in text
