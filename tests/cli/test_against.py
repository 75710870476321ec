"""`--against`, as typed: the line of a class's similarity to itself is in every figure of similarity."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from tests.cli.conftest import USER_FILE
from tests.views.own_similarity import own_similarities, shows_own_similarity, words_of
from unweave.analysis.stability import stability
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows
from unweave.pipeline.inputs import Inputs
from unweave.runs.folder import RunFolder
from unweave.zoo.user_file import result_in_file

OF_SIMILARITY = ("similarity", "similarity_matrix", "clusters", "misjudgements", "stability")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs `seed0` and `seed1` of ten digits, as a search leaves them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.py").write_text(USER_FILE)
    network, example = result_in_file(f"{folder}/mine.py:network"), torch.zeros(2, 1, 8, 8)
    sites, rows = find_sites(network, example), Rows.of_classes(range(10))
    for seed in (0, 1):
        numbers = torch.Generator().manual_seed(seed)
        scores = {site.name: torch.randn(10, site.channels, generator=numbers) for site in sites}
        masks = {site: table > 0 for site, table in scores.items()}
        manifest = Paths.from_masks(masks, network, example).manifest
        run = RunFolder(folder / f"seed{seed}")
        Paths(masks, rows, sites, manifest, scores).save(run.paths_file)
        inputs = Inputs(f"{folder}/mine.py:network", "digits", "digits").as_settings()
        run.write_inputs({"inputs": inputs, "seed": seed})
    return folder


@pytest.fixture
def runs(made, tmp_path):
    """The two run folders, and what the stability of their paths is."""
    folders = [shutil.copytree(made / name, tmp_path / name) for name in ("seed0", "seed1")]
    return *folders, stability([Paths.load(RunFolder(folder).paths_file) for folder in folders])


@pytest.fixture
def saved(monkeypatch):
    """Figures of similarity by the name of the file that they would be saved in."""
    figures = {}

    def keep(figure, stem):
        if stem.name != "confusion_ranks":  # of ranks: no similarity is drawn in it
            figures[stem.name] = figure
        return []

    monkeypatch.setattr("unweave.views.style.save_figure", keep)
    return figures


@pytest.mark.parametrize("measure", [name for name in OF_SIMILARITY if name != "similarity_matrix"])
def test_every_figure_of_similarity_of_a_measure_has_the_line(unweave, runs, saved, measure):
    first, second, stable = runs
    ran = unweave("analyse", first, "--against", second, "--measure", measure)
    assert ran.status == 0, ran.err
    assert saved.keys() == ({"similarity", "similarity_matrix"} if measure == "similarity" else {measure})
    for name, figure in saved.items():
        assert shows_own_similarity(figure, stable), name


def test_the_pairs_of_the_interpretability_score_are_drawn_with_both_readings_of_mu(unweave, runs, saved):
    first, second, stable = runs
    assert unweave("analyse", first, "--against", second, "--measure", "interpretability").status == 0
    axes = saved["interpretability"].axes[0]
    assert [sum(bar.get_height() for bar in bars) for bars in axes.containers] == [45, 45]
    vertical = {line.get_label().partition(":")[0]: line.get_xdata()[0] for line in axes.get_lines()}
    assert vertical.pop("a class to itself, other seed") == stable.per_site.summary["self_similarity"]
    assert len(vertical) == 2


def test_the_matrix_has_a_class_s_similarity_to_itself_on_its_diagonal(unweave, runs, saved):
    first, second, stable = runs
    assert unweave("analyse", first, "--against", second, "--measure", "similarity").status == 0
    shown = saved["similarity_matrix"].axes[0].get_images()[0].get_array()
    assert np.allclose(np.diag(shown), stable.classes["self_similarity"])


def test_without_another_seed_every_figure_of_similarity_says_that_the_line_is_missing(unweave, runs, saved):
    measures = [part for name in ("similarity", "clusters", "misjudgements") for part in ("--measure", name)]
    assert unweave("analyse", runs[0], *measures).status == 0
    assert saved.keys() == set(OF_SIMILARITY) - {"stability"}
    for name, figure in saved.items():
        assert not own_similarities(figure), name
        assert "give runs of other seeds" in words_of(figure), name


def test_every_figure_of_similarity_in_a_report_has_the_line_and_so_has_its_flow(unweave, runs, monkeypatch):
    first, second, stable = runs
    figures = []
    monkeypatch.setattr("unweave.views.report.render.figure_address", lambda figure: figures.append(figure) or "data:,")
    ran = unweave("report", first, "--against", second, "--mosaics", "0", "--others", "5")
    assert ran.status == 0, ran.err
    of_similarity = [figure for figure in figures if "ilarit" in words_of(figure)]
    assert len(of_similarity) == len(OF_SIMILARITY) - 1  # the matrix is the heatmap of the clusters
    for figure in of_similarity:
        assert shows_own_similarity(figure, stable), words_of(figure)
    page = (first / "report.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert [site["itself"] for site in data["sites"]] == list(stable.per_site["self_similarity"])
    assert data["exciting"].keys() <= {site["name"] for site in data["sites"]}
    assert all(data["exciting"].values())
