"""Keeping and removing channels by score, on a network whose answers are obvious."""

import pytest
import torch

from tests.analysis.by_hand import SITE, ReadOut, keeping, pictures
from unweave.analysis.keep_curve import _random_ranks, _ranks, keep_curve
from unweave.analysis.predictions import Predictor
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths

EVERY = pictures([0, 1, 2, 3] * 3)


def scored(network, scores, channels=((0,), (1,), (2,))):
    paths = keeping(network, channels)
    return Paths(paths.masks, paths.rows, paths.sites, paths.manifest, {SITE: torch.tensor(scores)})


# Each row's own channel has the highest score.
RIGHT = [[3.0, 1, 0, -1], [0, 9, 1, 2], [0.1, 0.2, 0.3, -5]]


def test_scores_that_rank_channels_well_are_sufficient_and_necessary():
    network = ReadOut()
    table = keep_curve(network, scored(network, RIGHT), EVERY, shares=(0, 0.25, 0.5, 1))
    assert table["share"] == (0, 0.25, 0.5, 1)
    assert table["keep_own"] == (0, 1, 1, 1)
    assert table["keep_false_accepts"] == (0, 0, 0, 0)
    assert table["keep_balanced"] == (0.5, 1, 1, 1)
    assert table["remove_balanced"] == (1, 0.5, 0.5, 0.5)
    assert table.summary["keep_area"] == pytest.approx(0.25 * 0.75 + 0.25 + 0.5)
    assert table.summary["remove_area"] == pytest.approx(0.25 * 0.75 + 0.25 * 0.5 + 0.5 * 0.5)
    assert table["random_balanced"][::3] == (0.5, 1)


def test_scores_that_rank_the_own_channel_last_are_neither():
    network = ReadOut()
    worst = [[-s for s in row] for row in RIGHT]
    summary = keep_curve(network, scored(network, worst), EVERY, shares=(0, 0.5, 1)).summary
    assert summary["keep_area"] == pytest.approx((0.5 + 0.75) / 2)
    assert summary["remove_area"] == pytest.approx((1 + 0.75) / 2)


def test_how_many_channels_a_share_is_where_sites_round():
    network = ReadOut()
    table = keep_curve(network, scored(network, RIGHT), EVERY, shares=(0, 0.1, 0.3, 0.9, 1))
    assert table["channels"] == (0, 0, 0.25, 1, 1)  # of four channels


def test_random_orders_are_averaged_and_their_ends_told():
    network = ReadOut()
    paths = scored(network, RIGHT)
    draws = [
        keep_curve(network, paths, EVERY, shares=(0, 0.5, 1), controls=1, seed=seed)["random_balanced"]
        for seed in (4, 5, 6)
    ]
    together = keep_curve(network, paths, EVERY, shares=(0, 0.5, 1), controls=3, seed=4)
    assert together["random_balanced"] == pytest.approx(tuple(sum(values) / 3 for values in zip(*draws, strict=True)))
    assert together["random_balanced_lowest"] == tuple(map(min, zip(*draws, strict=True)))
    assert together["random_balanced_highest"] == tuple(map(max, zip(*draws, strict=True)))
    assert len({values[1] for values in draws}) > 1


def test_what_the_curves_share_is_asked_once(monkeypatch):
    images_run = []
    run = Predictor.run
    monkeypatch.setattr(
        Predictor, "run", lambda self, images, tap: images_run.append(len(images)) or run(self, images, tap)
    )
    network = ReadOut()
    keep_curve(network, scored(network, RIGHT), EVERY, shares=(0, 0.5, 1), controls=1)
    whole, asked = len(EVERY), 3 * len(EVERY)
    nothing_kept, half_of_three_curves = asked, 3 * asked
    assert sum(images_run) == whole + nothing_kept + half_of_three_curves


def test_of_equal_scores_the_lower_channel_comes_first():
    ranks = _ranks(scored(ReadOut(), [[1.0, 2, 2, 0]] * 3))
    assert ranks[SITE][0].tolist() == [2, 0, 1, 3]


def test_random_channels_are_those_of_the_random_control():
    network = ReadOut()
    paths = scored(network, RIGHT, channels=([0, 1], [1, 2], [2, 3]))
    assert torch.equal(_random_ranks(paths, 5)[SITE] < 2, paths.random_control(5).masks[SITE])


def test_classes_without_images_are_named_and_left_out_of_the_means():
    network = ReadOut()
    table = keep_curve(network, scored(network, RIGHT), pictures([0, 1, 2, 2], [0, 1, 0, 3]), shares=(0.25, 1))
    assert table["keep_own"] == (0.75, 0.75)
    assert table["keep_false_accepts"] == (0, 0)  # that of class 2, which has no images here, is a half
    assert "1 of 3 without images left out (2)" in table.title


def test_at_most_a_hundred_other_images_are_asked_unless_told_otherwise():
    network = ReadOut()
    data = pictures([0] * 5 + [3] * 150)
    paths = scored(network, RIGHT)["0"]
    assert "105 images" in keep_curve(network, paths, data, shares=(0, 1)).title
    assert "155 images" in keep_curve(network, paths, data, shares=(0, 1), others=None).title


@pytest.mark.parametrize(("setting", "least"), [("controls", 1), ("others", 0), ("seed", 0)])
def test_counts_and_seeds_that_are_not_whole_or_too_low_are_refused(setting, least):
    network = ReadOut()
    for value in (least - 1, 1.5):
        with pytest.raises(SettingError, match=f"{setting} must be a whole number from {least}, found {value}"):
            keep_curve(network, scored(network, RIGHT), EVERY, **{setting: value})


def test_paths_without_scores_and_bad_shares_are_refused():
    network = ReadOut()
    with pytest.raises(PathsError, match="ranks channels by their scores, which these paths do not have"):
        keep_curve(network, keeping(network, [[0]]), EVERY)
    for shares in ((0.5,), (0.5, 0.2), (0, 1.5), (-0.1, 1), (0.5, 0.5)):
        with pytest.raises(SettingError, match="shares must ascend, from 0 to 1"):
            keep_curve(network, scored(network, RIGHT), EVERY, shares=shares)
