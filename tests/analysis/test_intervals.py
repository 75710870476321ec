"""Intervals of means over rows: what they are by hand, and that they hold as often as they say."""

import math

import numpy as np
import pytest

from unweave.analysis.intervals import reach_of_mean


def test_answers_to_images_that_differ_count_image_by_image():
    """One row, six images of one label, three called: parts of 1/6 or 0, whose variance is (1/12)^2 * 6 / 5."""
    called = np.array([[1, 1, 1, 0, 0, 0]], dtype=bool)
    reach = reach_of_mean(called, np.ones((1, 6), dtype=bool), np.zeros(6, dtype=int))
    assert reach == pytest.approx(1.96 * math.sqrt(6 * (1 / 12) ** 2 * 6 / 5))


def test_rows_that_answer_alike_are_no_independent_witnesses():
    once = np.array([[1, 1, 1, 0, 0, 0]], dtype=bool)
    alike, asked = np.repeat(once, 4, 0), np.ones((4, 6), dtype=bool)
    labels = np.zeros(6, dtype=int)
    assert reach_of_mean(alike, asked, labels) == pytest.approx(reach_of_mean(once, asked[:1], labels))


def test_labels_that_are_always_answered_the_same_do_not_count_as_chance():
    """Within each label all answers are the same: what remains is Agresti and Coull's."""
    called = np.array([[1] * 50 + [0] * 50], dtype=bool)
    labels = np.repeat([0, 1], 50)
    reach = reach_of_mean(called, np.ones((1, 100), dtype=bool), labels)
    assert reach == pytest.approx(1.96 * math.sqrt(0.25 / 104))


def test_no_error_among_few_images_is_no_certainty():
    called = np.ones((2, 4), dtype=bool)
    expected = 1.96 * math.sqrt(2 * 0.75 * 0.25 / 8) / 2  # (4 + 2) / (4 + 4)
    assert reach_of_mean(called, called, np.zeros(4, dtype=int)) == pytest.approx(expected)


def test_only_what_was_asked_counts():
    called = np.array([[1, 0, 1, 1], [0, 0, 1, 0]], dtype=bool)
    asked = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    labels = np.zeros(4, dtype=int)
    assert reach_of_mean(called, asked, labels) == reach_of_mean(called[:1, :2], asked[:1, :2], labels[:2])
    assert math.isnan(reach_of_mean(called, np.zeros((2, 4), dtype=bool), labels))


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.6])
def test_intervals_hold_about_as_often_as_they_say(shared):
    """Ten rows asked about 1,000 images, some of which are hard for all rows: 20 % are called. 95 of 100 intervals must
    hold it; of 200, 180 to 198 are within three deviations."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 100)
    asked = labels[None] != np.arange(10)[:, None]
    held = 0
    for _ in range(200):
        rate = random.beta(0.2 * (1 - shared) / shared, 0.8 * (1 - shared) / shared, 1000) if shared else 0.2
        called = random.random((10, 1000)) < rate
        mean = np.mean([called[row, asked[row]].mean() for row in range(10)])
        held += abs(mean - 0.2) <= reach_of_mean(called, asked, labels)
    assert 180 <= held <= 198
