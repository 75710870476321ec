"""Mosaics, and which pixels a site looks at, worked out by hand."""

import numpy as np
import pytest
import torch

from tests.analysis.by_hand import ReadOut, Torn, grouped, keeping, pictures
from unweave.analysis.class_rows import ClassRow
from unweave.analysis.mosaics import (
    check_mosaics,
    draw_mosaics,
    first_readable,
    has_positions,
    share_in_quadrant,
    summed_channels,
    tiled,
    top_pixels,
)
from unweave.analysis.mosaics import pictures as pictures_of
from unweave.data.labelled import labelled
from unweave.errors import DataError, PathsError, SettingError
from unweave.network.sites import Site, Sites

ROWS = [ClassRow((index,)) for index in range(4)]
IMAGES = labelled(pictures([0, 1, 2, 3] * 3))


def test_a_mosaic_shows_four_different_classes_by_images_of_theirs():
    drawn = draw_mosaics(ROWS, IMAGES, 50)
    assert all(len(set(rows)) == 4 for rows in drawn.rows.tolist())
    assert np.array_equal(IMAGES.labels[drawn.images], drawn.rows)
    assert len({tuple(rows) for rows in drawn.rows.tolist()}) > 10


def test_more_mosaics_begin_with_the_same_ones_and_another_seed_draws_others():
    few, many = draw_mosaics(ROWS, IMAGES, 5), draw_mosaics(ROWS, IMAGES, 20)
    assert np.array_equal(few.images, many.images[:5])
    assert not np.array_equal(few.images, draw_mosaics(ROWS, IMAGES, 5, seed=1).images)


def test_fewer_than_four_classes_with_images_are_refused():
    with pytest.raises(DataError, match="a mosaic shows four classes, 3 of the 4 rows have images"):
        draw_mosaics(ROWS, labelled(pictures([0, 1, 2, 2])), 10)


def test_rows_that_share_a_class_and_bad_settings_are_refused():
    with pytest.raises(PathsError, match="class 1 is in several rows"):
        draw_mosaics([ClassRow((0, 1)), *ROWS[1:]], IMAGES, 10)
    with pytest.raises(SettingError, match="mosaics must be a whole number from 1, found 0"):
        draw_mosaics(ROWS, IMAGES, 0)
    with pytest.raises(SettingError, match="seed must be a whole number from 0, found -1"):
        draw_mosaics(ROWS, IMAGES, 1, -1)


def test_what_mosaics_cannot_be_made_of_is_refused_without_reading_an_image():
    network, unread = ReadOut(), labelled(Torn(pictures([0, 1, 2, 3]), range(4)))
    paths = keeping(network, [[0], [1], [2], [3]])
    check_mosaics(paths, unread)
    with pytest.raises(DataError, match="a mosaic shows four classes, 2 of the 4 rows have images"):
        check_mosaics(paths, labelled(pictures([0, 1])))
    with pytest.raises(PathsError, match="class 1 is in several rows"):
        check_mosaics(grouped(network, [[0], [1]], [(0, 1), (1, 2)]))
    for shape, positions, message in (((4, 2, 2), (), "no site of these paths has positions"), ((4,), (), "pictures")):
        sites = Sites([Site("relu:0", 1, 4, (4, *positions))], shape, "float32", None)
        with pytest.raises(DataError, match=message):
            check_mosaics(keeping(network, [[0], [1], [2], [3]], sites=sites))


def test_the_first_mosaics_without_a_damaged_image_are_found():
    drawn = draw_mosaics(ROWS, IMAGES, 30)
    torn = labelled(Torn(pictures([0, 1, 2, 3] * 3), set(drawn.images[0][:1].tolist())))
    whole = np.flatnonzero(~np.isin(drawn.images, drawn.images[0][0]).any(1)).tolist()
    assert whole[0] > 0
    for most in (1, 2, 30):
        assert first_readable(drawn, torn, most) == whole[:most]
    one_class_damaged = labelled(Torn(pictures([0, 1, 2, 3] * 3), {0, 4, 8}))
    assert first_readable(drawn, one_class_damaged, 1) == []


def test_quadrants_are_where_their_images_are_put():
    parts = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 3, 4, 4)
    assert tiled(parts, resize=False)[0, 0].tolist() == [[0] * 4 + [1] * 4] * 4 + [[2] * 4 + [3] * 4] * 4
    small = tiled(parts)
    assert small.shape == (1, 3, 4, 4)
    corners = small[0, 0][[0, 0, 3, 3], [0, 3, 0, 3]]
    assert torch.allclose(corners, torch.arange(4.0))
    with pytest.raises(DataError, match="mosaics are made of pictures"):
        tiled(torch.zeros(1, 4, 5))


def test_a_mosaic_with_a_damaged_image_is_left_out():
    torn = labelled(Torn(pictures([0, 1, 2, 3] * 3), {0, 4}))
    drawn = draw_mosaics(ROWS, torn, 30)
    whole = ~np.isin(drawn.images, [0, 4]).any(1)
    found = list(pictures_of(drawn, torn, resize=False))
    assert np.concatenate([numbers for numbers, _ in found]).tolist() == np.flatnonzero(whole).tolist()
    for numbers, batch in found:
        corners = batch[:, :, [0, 0, 3, 3], [0, 3, 0, 3]]  # [mosaics, channels, quadrants]
        assert torch.equal(corners.argmax(1), torch.from_numpy(drawn.rows[numbers]))


def test_channels_are_summed_and_tokens_laid_out_as_a_square():
    value = torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2)
    assert torch.equal(summed_channels(value, Site("a", 1, 3, (3, 2, 2))), value.sum(1))
    tokens = torch.arange(5.0).view(1, 5, 1).expand(1, 5, 7)
    assert torch.equal(summed_channels(tokens, Site("a", 2, 7, (5, 7))), torch.tensor([[[7.0, 14], [21, 28]]]))
    assert torch.equal(summed_channels(tokens[:, :4], Site("a", 2, 7, (4, 7))), torch.tensor([[[0.0, 7], [14, 21]]]))
    assert summed_channels(tokens[:, :3], Site("a", 2, 7, (3, 7))) is None
    assert summed_channels(torch.zeros(2, 9), Site("a", 1, 9, (9,))) is None
    assert summed_channels(value, Site("a/bmm:0", 1, 3, (3, 2, 2))) is None  # heads, tokens, features
    assert summed_channels(value.bfloat16(), Site("a", 1, 3, (3, 2, 2))).dtype == torch.float32


@pytest.mark.parametrize(
    ("site", "known"),
    [
        (Site("relu:0", 1, 3, (3, 2, 2)), True),
        (Site("add:0", 2, 7, (5, 7)), True),
        (Site("add:0", 2, 7, (4, 7)), True),
        (Site("add:0", 2, 7, (3, 7)), False),
        (Site("relu:0", 1, 3, (3,)), False),
        (Site("a/bmm:0", 1, 3, (3, 2, 2)), False),
    ],
)
def test_a_site_has_positions_if_maps_are_made_of_its_value(site, known):
    assert has_positions(site) == known
    assert (summed_channels(torch.zeros(2, *site.shape), site) is not None) == known


def test_the_highest_pixels_are_kept_and_ties_share_what_is_left():
    maps = torch.zeros(1, 4, 4)
    maps[0, 0, 0], maps[0, 3] = 9.0, 2.0
    weights = top_pixels(maps, (4, 4), 3 / 16)[0]
    assert weights[0, 0] == 1
    assert torch.allclose(weights[3], torch.full((4,), 0.5))  # two pixels among four that are alike
    assert weights.sum() == 3


def test_a_constant_map_looks_everywhere_also_when_it_is_resized():
    weights = top_pixels(torch.full((2, 3, 3), 0.1), (7, 7), 0.05)
    assert torch.allclose(weights, torch.tensor(0.05))
    shares = share_in_quadrant(weights, torch.tensor([0, 3]))
    assert torch.allclose(shares, torch.tensor(0.25))


def test_shares_of_a_map_in_the_four_quadrants_sum_to_one_also_at_odd_sizes():
    weights = torch.rand(1, 5, 7).expand(4, 5, 7)
    shares = share_in_quadrant(weights, torch.arange(4))
    assert shares.sum() == pytest.approx(1)
    upper_left = weights[0, :2, :3].sum() + weights[0, 2, :3].sum() / 2 + weights[0, :2, 3].sum() / 2
    assert shares[0] == pytest.approx(float((upper_left + weights[0, 2, 3] / 4) / weights[0].sum()))
