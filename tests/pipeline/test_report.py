"""The report as a whole, on a tiny network."""

import json
import re

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from tests.analysis.by_hand import ReadOut, Torn, as_searched, grouped, keeping, pictures
from tests.tiny import TinyPerceptron, labelled_noise
from tests.views.own_similarity import shows_own_similarity, words_of
from unweave.analysis.class_rows import class_rows
from unweave.analysis.exciting import exciting_images
from unweave.analysis.mosaics import draw_mosaics
from unweave.analysis.stability import stability
from unweave.data.labelled import labelled
from unweave.errors import DamagedImageError, PathsError, SettingError
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.pipeline import report_sections, subject
from unweave.pipeline.report import report
from unweave.pipeline.report_channels import channels_with_images, in_words
from unweave.search.attribute import attribute

IMAGE = torch.zeros(1, 3, 8, 8)


def some_paths(network, names=("cat", "dog", "owl"), seed=0):
    generator = torch.Generator().manual_seed(seed)
    sites = find_sites(network, IMAGE)
    masks = {site.name: torch.rand(3, site.channels, generator=generator) > 0.4 for site in sites}
    return Paths.from_masks(masks, network, IMAGE, classes=[0, 1, 2], names=list(names))


def scored_paths(network, seed=0):
    """Three classes that keep the channels with scores above -0.3."""
    made = some_paths(network)
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.randn(mask.shape, generator=generator) for name, mask in made.masks.items()}
    masks = {name: table > -0.3 for name, table in scores.items()}
    return Paths(masks, made.rows, made.sites, made.manifest, scores)


def data_of(page):
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_a_report_is_one_file_that_begins_with_four_answers(plain, noise, tmp_path):
    paths, other = some_paths(plain), some_paths(plain, seed=1)
    file = report(paths, plain, noise, file=tmp_path / "report.html", against=[other], show_progress=False)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    text = file.read_text()
    assert text.index("answer its class?") < text.index("What was done") < text.index("The path of a class")
    for question in ("refuse the others?", "beat random masks of its size?", "stay the same across seeds?"):
        assert question in text
    assert text.count("data:image/png") >= 4
    assert text.count("data:image/jpeg") >= 4
    assert "Not measured: a mosaic shows four classes, 3 of the 3 rows have images" in text
    assert "Is it these channels that matter?" in text
    assert "These paths have no scores" in text
    assert text.count(">balanced</th>") == 3


def test_the_flow_has_the_images_that_excite_the_strongest_channels_of_every_class(plain, noise, tmp_path, undrawn):
    paths = scored_paths(plain)
    page = report(paths, plain, noise, file=tmp_path / "r.html", show_progress=False).read_text()
    data = data_of(page)
    assert [site["name"] for site in data["sites"]] == list(paths.sites.names)
    assert data["exciting"]
    assert in_words(paths, channels_with_images(paths), True) in page
    shown = {name: [int(channel) for channel in channels] for name, channels in data["exciting"].items()}
    for name, channels in shown.items():
        for row in range(len(paths)):
            assert paths.scores[name][row].argmax().item() in channels
    table = exciting_images(plain, paths, noise, shown)
    expected = {(name, channel): [] for name, channels in shown.items() for channel in channels}
    for name, channel, position in zip(table["site"], table["channel"], table["position"], strict=True):
        expected[name, channel].append(position)
    assert {(n, int(c)): images for n, one in data["exciting"].items() for c, images in one.items()} == expected
    assert data["pictures"].keys() == {str(position) for position in table["position"]}
    assert all(address.startswith("data:image/jpeg;base64,") for address in data["pictures"].values())


def test_the_flow_and_every_figure_of_similarity_have_a_class_s_similarity_to_itself(
    plain, noise, tmp_path, monkeypatch
):
    figures = []
    monkeypatch.setattr("unweave.views.report.render.figure_address", lambda figure: figures.append(figure) or "data:,")
    paths, other = scored_paths(plain), scored_paths(plain, seed=1)
    page = report(paths, plain, noise, file=tmp_path / "r.html", against=[other], show_progress=False).read_text()
    stable = stability([paths, other])
    assert [site["itself"] for site in data_of(page)["sites"]] == list(stable.per_site["self_similarity"])
    of_similarity = {words_of(figure): figure for figure in figures if "ilarit" in words_of(figure)}
    for begun in ("Similarity of the sub-architectures", "Classes clustered", "The same classes", "Mis. "):
        assert any(words.startswith(begun) for words in of_similarity), begun
    for words, figure in of_similarity.items():
        assert shows_own_similarity(figure, stable), words


def test_a_report_on_the_search_s_own_images_says_so_before_its_answers(plain, noise, tmp_path, undrawn):
    paths = some_paths(plain)
    searched = as_searched(paths, labelled(noise), np.arange(len(noise)))
    text = report(searched, plain, noise, file=tmp_path / "r.html", show_progress=False).read_text()
    assert text.index(f"All {len(noise)} images that were measured on are images that the search saw") < text.index(
        "answer its class?"
    )
    unseen = report(paths, plain, noise, file=tmp_path / "u.html", show_progress=False).read_text()
    assert "the search saw" not in unseen
    assert "validation images" not in unseen


def test_without_other_seeds_that_is_said(plain, noise, tmp_path, undrawn):
    file = report(some_paths(plain), plain, noise, file=tmp_path / "report.html", show_progress=False)
    assert "Search once more with another --seed" in file.read_text()


def test_any_name_can_stand_on_the_page(plain, noise, tmp_path):
    names = ("<b>a/b</b> $x$", "n" * 300, "кот 猫")
    text = report(some_paths(plain, names), plain, noise, file=tmp_path / "r.html", show_progress=False).read_text()
    assert "<b>a/b</b>" not in text
    for shown in ("&lt;b&gt;a/b&lt;/b&gt; $x$", *names[1:]):
        assert shown in text


@pytest.mark.parametrize(("setting", "least"), [("mosaics", 0), ("others", 1), ("seed", 0)])
def test_numbers_below_the_least_are_refused_before_anything_is_measured(plain, noise, tmp_path, setting, least):
    with pytest.raises(SettingError, match=f"^{setting} must be a whole number from {least}, found -3$"):
        report(some_paths(plain), plain, noise, file=tmp_path / "r.html", **{setting: -3})
    assert not list(tmp_path.iterdir())


class Counted(Dataset):
    """Pictures that are read from somewhere; one of them is damaged."""

    def __init__(self, data):
        self.data, self.targets, self.reads = data, data.tensors[1].tolist(), []

    def __len__(self):
        return len(self.data)

    def __getitem__(self, position):
        self.reads.append(position)
        if position == 1:
            raise DamagedImageError("truncated")
        return self.data[position]


def test_pictures_are_read_once_and_the_page_is_the_same(plain, noise, tmp_path, monkeypatch, undrawn):
    pages, counted = [], Counted(noise)
    for name in ("with", "without"):
        data = counted if name == "with" else Counted(noise)
        pages.append(report(some_paths(plain), plain, data, file=tmp_path / f"{name}.html", show_progress=False))
        monkeypatch.setattr(subject, "_MOST_REMEMBERED", 0)
    assert sorted(counted.reads) == list(range(len(noise)))
    assert len(data.reads) > 2 * len(noise)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert "1 damaged image left out" in pages[0].read_text()


def test_an_interrupted_report_leaves_the_old_file(plain, noise, tmp_path, monkeypatch, undrawn):
    file = tmp_path / "report.html"
    file.write_text("old")

    def interrupted(*arguments):
        assert len(list(tmp_path.iterdir())) == 2  # the draft is there, and has been written
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report(some_paths(plain), plain, noise, file=file, show_progress=False)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("report.html", "old")]


def test_rows_of_inputs_and_missing_images_are_refused(plain, noise, tmp_path):
    paths = some_paths(plain)
    inputs = Paths.from_masks(dict(paths.masks), plain, IMAGE)
    with pytest.raises(PathsError, match="a report is about classes"):
        report(inputs, plain, noise, file=tmp_path / "report.html")
    with pytest.raises(SettingError, match="needs the network and labelled images"):
        report(paths, plain)


def test_paths_with_scores_get_the_keep_curve_and_questions_are_limited(plain, noise, tmp_path, undrawn):
    file = report(scored_paths(plain), plain, noise, file=tmp_path / "r.html", others=2, show_progress=False)
    text = file.read_text()
    assert "channels kept and removed in the order of their scores" in text
    assert "for 3 of 3 classes, with at most 2 images of others each" in text
    assert "at most 2 images of other classes a row" in text


@pytest.mark.parametrize("seeds", [0, 1])
def test_one_class_alone_has_a_report_with_other_seeds_or_without(plain, tmp_path, undrawn, seeds):
    against = [some_paths(plain, seed=seed + 1)[0] for seed in range(seeds)]
    data = TensorDataset(torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))
    file = report(some_paths(plain)[0], plain, data, file=tmp_path / "r.html", against=against, show_progress=False)
    text = file.read_text()
    assert "No class has images of its own and of others" in text
    assert "cannot be told of fewer than three" in text
    assert "Search once more with another --seed" not in text
    assert "Similarity is not measured: it compares at least two classes" in text
    assert "it compares at least three single classes" in text


def by_hand(tmp_path, data, paths=None, network=None, mosaics=0):
    """The page on a network whose classes are its channels, or on another."""
    network = network or ReadOut()
    paths = paths or keeping(network, [[0], [1], [2]])
    return report(paths, network, data, file=tmp_path / "r.html", mosaics=mosaics, show_progress=False).read_text()


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ([0, 0, 1, 2], "The network misjudges none of these images, so there is nothing to compare."),
        ([3, 3, 1, 2], "The network misjudges 2 of these images, and the labels that it gives are of classes without"),
        (
            [1, 2, 1, 2],
            "The network misjudges 2 of these images, and calls each class that it misjudges by every other",
        ),
        ([1, 3, 1, 2], "1 of 2 misjudged images, called by classes without a row, are left out."),
    ],
)
def test_why_no_class_is_compared_is_true_to_the_images_that_are_misjudged(tmp_path, undrawn, shown, said):
    """Of four images, two of class 0."""
    text = by_hand(tmp_path, pictures(shown, [0, 0, 1, 2]))
    assert said in text
    assert ("misjudges none" in text) == (shown == [0, 0, 1, 2])


def test_wrong_answers_by_similarity_are_on_the_page_also_where_no_class_can_be_compared(tmp_path):
    network = ReadOut()
    data = pictures([1, 2, 2, 0, 1, 2], [0, 0, 1, 1, 1, 2])
    paths = keeping(network, [[0, 1], [1], [0, 2]])
    text = by_hand(tmp_path, data, paths, network)
    assert "calls each class that it misjudges by every other one that has a row" in text
    assert 'alt="wrong answers by similarity' in text
    apart = keeping(network, [[0], [1], [2]])
    assert 'alt="wrong answers by similarity' not in by_hand(tmp_path, data, apart, network)


def test_where_mosaics_cannot_be_looked_at_the_page_says_why(tmp_path, undrawn):
    network, four = ReadOut(), [[0], [1], [2], [3]]
    data = pictures([0, 1, 2, 3] * 3)
    sharing = grouped(network, four, [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert "Not measured: a mosaic shows rows that share no class; class 0 is" in by_hand(
        tmp_path, data, sharing, None, 4
    )
    torn = Torn(data, {0, 4, 8})
    said = "Not measured: each of the 4 mosaics has an image that cannot be read."
    assert said in by_hand(tmp_path, torn, keeping(network, four), None, 4)
    perceptron, example = TinyPerceptron(), torch.zeros(1, 3, 8, 8)
    masks = {site.name: torch.ones(4, site.channels, dtype=torch.bool) for site in find_sites(perceptron, example)}
    flat = Paths.from_masks(masks, perceptron, example, classes=range(4))
    text = by_hand(tmp_path, labelled_noise(24, classes=4), flat, perceptron, 4)
    assert "Not measured: no site of these paths has positions that could be pictured" in text


def test_the_first_mosaic_that_can_be_read_is_shown(tmp_path, undrawn, monkeypatch):
    shown = []

    def kept(*arguments, chosen, **settings):
        shown.extend(chosen)
        return measured(*arguments, chosen=chosen, **settings)

    measured = report_sections.feature_maps
    monkeypatch.setattr(report_sections, "feature_maps", kept)
    network, data = ReadOut(), pictures([0, 1, 2, 3] * 3)
    paths = keeping(network, [[0], [1], [2], [3]])
    drawn = draw_mosaics(class_rows(paths, "a mosaic"), labelled(data), 8).images
    damaged = drawn[0][0]
    text = by_hand(tmp_path, Torn(data, {damaged}), paths, network, 8)
    assert shown == [np.flatnonzero(~(drawn == damaged).any(1))[0]]
    assert "the most active pixels of a mosaic at some sites" in text


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"groups": {"pets": [0, 1]}}, SettingError, "at least two groups must have rows, found 1 of 1"),
        ({"distances": np.zeros((2, 2))}, SettingError, r"distances must be symmetric and \[3, 3\]"),
        ({"against": "fewer"}, PathsError, "run 1 is of other classes than run 0"),
    ],
)
def test_what_does_not_fit_the_paths_is_refused_before_the_network_runs(
    plain, noise, tmp_path, monkeypatch, settings, error, message
):
    monkeypatch.delattr("unweave.pipeline.report.specificity")
    if "against" in settings:
        settings = {"against": [some_paths(plain)[:2]]}
    with pytest.raises(error, match=message):
        report(some_paths(plain), plain, noise, file=tmp_path / "r.html", **settings)
    assert not list(tmp_path.iterdir())


def test_settings_of_attribution_are_told_in_words_that_need_no_code(plain, noise, tmp_path, undrawn):
    """Its rows have a line of their own, and sizes by site are told by their sites."""
    found = attribute(plain, noise, steps=1, keep=some_paths(plain), limit_per_class=4)
    text = report(found, plain, noise, file=tmp_path / "r.html", show_progress=False).read_text()
    settings = re.search(r"<dt>settings</dt>\s*<dd>(.*?)</dd>", text, re.DOTALL)[1]
    assert "limit_per_class 4" in settings
    assert f"keep ({', '.join(found.sites.names)})" in settings
    assert "{" not in settings
    assert "rows" not in settings
