"""What measures refuse before any is taken."""

import numpy as np
import pytest

from tests.analysis.by_hand import ReadOut, Torn, grouped, keeping, pictures
from unweave.data.labelled import labelled
from unweave.errors import DataError, PathsError, SettingError
from unweave.pipeline.measures import run_measures
from unweave.pipeline.subject import Subject
from unweave.runs.folder import RunFolder

EVERY = pictures([0, 1, 2, 3] * 3)
FOUR = [[0], [1], [2], [3]]


@pytest.fixture(scope="module")
def network():
    return ReadOut()


@pytest.mark.parametrize(
    ("measure", "settings", "error", "message"),
    [
        ("clusters", {"groups": {"pets": [0, 1]}}, SettingError, "at least two groups must have rows, found 1 of 1"),
        ("clusters", {"distances": np.zeros((2, 2))}, SettingError, "distances must be symmetric and"),
        ("similarity", {"against": "fewer"}, PathsError, "run 1 is of other classes than run 0"),
        ("hit_rate", {"paths": "sharing"}, PathsError, "a mosaic shows rows that share no class; class 0 is in"),
        ("hit_rate", {"images": pictures([0, 1, 2])}, DataError, "a mosaic shows four classes, 3 of the 4 rows have"),
        ("feature_maps", {"images": Torn(EVERY, {0, 4, 8})}, DataError, "each of the first 1000 mosaics has an image"),
        ("feature_maps", {"images": Torn(EVERY, {0, 4, 8}), "mosaics": (3, 7)}, DataError, "each of mosaics 3, 7 has"),
    ],
)
def test_what_a_later_measure_refuses_is_refused_before_the_first(network, tmp_path, measure, settings, error, message):
    paths = keeping(network, FOUR)
    settings = {"paths": paths, "images": EVERY, **settings}
    if settings.get("against"):
        settings["against"] = [keeping(network, FOUR[:3])]
    if settings["paths"] == "sharing":
        settings["paths"] = grouped(network, FOUR, [(0, 1), (1, 2), (2, 3), (0, 3)])
    subject = Subject(network=network, **{**settings, "images": labelled(settings["images"])})
    with pytest.raises(error, match=message):
        run_measures(["usage", measure], subject, RunFolder(tmp_path))
    assert not list(tmp_path.iterdir())


def test_wrong_answers_are_drawn_by_similarity_where_some_classes_are_more_similar_than_others(network, tmp_path):
    data = labelled(pictures([1, 1, 2, 0, 0, 1, 3, 3], [0, 0, 0, 0, 1, 1, 3, 3]))
    for kept, drawn in (([[0, 1], [1], [0, 2], [3]], True), (FOUR, False)):
        folder = RunFolder(tmp_path / str(drawn))
        run_measures(["misjudgements"], Subject(keeping(network, kept), network, data), folder)
        assert folder.figure("confusion_ranks").with_suffix(".png").is_file() == drawn
        assert folder.figure("misjudgements").with_suffix(".png").is_file()


def test_mosaics_are_pictured_that_can_be_read(network, tmp_path):
    torn, paths = labelled(Torn(EVERY, {0})), keeping(network, FOUR)
    subject = Subject(paths, network, torn)
    run_measures(["feature_maps"], subject, RunFolder(tmp_path))
    drawn = {file.stem for file in (tmp_path / "figures").glob("*.png")}
    assert drawn == {f"feature_maps_{number}" for number in subject.mosaics_shown}
    assert len(drawn) == 2
