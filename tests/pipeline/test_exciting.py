"""What excites the channels of some rows, as tables and figures."""

import pytest
import torch

from unweave.data.labelled import labelled
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows
from unweave.pipeline.exciting import measure_exciting
from unweave.pipeline.subject import Excited, Subject
from unweave.runs.folder import RunFolder


@pytest.fixture
def figures(monkeypatch):
    """The (class, row) pairs of the table that each figure is drawn from."""
    drawn = []

    def plot_exciting(table, row, pictures):
        drawn.append((set(table["class"]), row, set(table["channel"])))

    monkeypatch.setattr("unweave.views.exciting_plots.plot_exciting", plot_exciting)
    monkeypatch.setattr("unweave.views.style.save_figure", lambda figure, stem: [])
    return drawn


def test_rows_of_the_same_name_have_a_figure_each_of_their_own_channels(plain, noise, tmp_path, figures):
    sites = find_sites(plain, torch.zeros(1, 3, 8, 8))
    last = sites[-1]
    scores = {site.name: torch.zeros(2, site.channels) for site in sites}
    scores[last.name][0, 1] = scores[last.name][1, 2] = 1.0
    masks = {name: table > 0 for name, table in scores.items()}
    paths = Paths(masks, Rows.of_classes([1, 2], ["crane", "crane"]), sites, {"network": fingerprint(plain)}, scores)
    subject = Subject(paths, plain, labelled(noise), show_progress=False, excited=Excited((0, 1), (last.name,), 1))
    table = measure_exciting(subject, RunFolder(tmp_path)).tables["exciting"]
    assert figures == [({1}, "crane", {1}), ({2}, "crane", {2})]
    assert set(zip(table["class"], table["row"], table["channel"], strict=True)) == {(1, "crane", 1), (2, "crane", 2)}
