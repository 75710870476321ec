"""How long a report will take."""

import pytest

from tests.paths.made import make, sites_of
from tests.tiny import TinyPlain, labelled_noise
from unweave.analysis.keep_curve import SHARES
from unweave.data.labelled import labelled
from unweave.network.sites import Site, Sites
from unweave.paths import Paths, Rows
from unweave.pipeline.report_cost import report_cost, report_passes

IMAGES = labelled(labelled_noise(24))  # eight of each of three classes
EXCITING = 24


def some_paths(classes, *, scored=False):
    return make(Rows.of_classes(range(classes)), sites_of(5), scores=scored)


def test_every_measure_that_looks_at_images_is_counted():
    specificity, ablation = 24 * (1 + 2 * 4), 15 * 2 * 24 + 3 * 24
    found = report_passes(some_paths(2), IMAGES, mosaics=8, others=None)
    assert found == specificity + ablation + EXCITING
    with_scores = report_passes(some_paths(2, scored=True), IMAGES, mosaics=8, others=None)
    assert (
        with_scores - found == (5 * (len(SHARES) - 2) + 1) * 2 * 24 + 24
    )  # the ends of all curves: once, and the whole
    misjudged = report_passes(some_paths(3), IMAGES, mosaics=8, others=None) - found
    assert misjudged == 24 * 4 + 15 * 24 + 3 * 8


def test_fewer_questions_take_fewer_passes():
    asked = 2 + 24 // 2  # others, and about as many of its own as each of two rows has
    specificity, ablation = 24 + 2 * asked * 4, 15 * 2 * (8 + 2) + 3 * 24
    assert report_passes(some_paths(2), IMAGES, mosaics=0, others=2) == specificity + ablation + EXCITING


def test_mosaics_of_four_classes_are_seen_through_each_and_one_is_shown():
    images, paths = labelled(labelled_noise(24, classes=4)), some_paths(4)
    with_them, without = (report_passes(paths, images, mosaics=count, others=None) for count in (8, 0))
    assert with_them - without == 4 * (8 + 1)
    without_positions = Paths(
        paths.masks, paths.rows, Sites([Site("a/relu:0", 1, 5, (5,))], (3, 8, 8), "float32", None), {}
    )
    assert report_passes(without_positions, images, mosaics=8, others=None) == without


def test_time_grows_with_the_time_of_an_image(monkeypatch):
    # twelve images that warm up; the others are read in 3 seconds and run in 6
    ticks = iter([0.0, 90.0, 190.0, 200.0, 203.0, 209.0])
    monkeypatch.setattr("unweave.pipeline.measuring_cost.time.perf_counter", lambda: next(ticks))
    paths = some_paths(2)
    found = report_cost(paths, TinyPlain().randomised(), IMAGES, mosaics=0, others=2)
    passes = report_passes(paths, IMAGES, mosaics=0, others=2)
    assert (found.rows, found.images, found.forward_passes) == (2, 24, passes)
    assert found.seconds == pytest.approx(24 * 0.25 + passes * 0.5)
