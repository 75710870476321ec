"""Which channels of a report have images: some of every class, at sites spread over the depth."""

import numpy as np
import torch

from unweave.network.sites import Site, Sites
from unweave.paths import Paths, Rows
from unweave.pipeline.report_channels import channels_with_images, in_words


def paths_of_many_classes(classes, sites=7, channels=500):
    """Class `c` keeps channel `c` and, with half its score, channel `c + 1`, at every site."""
    made = Sites(
        [Site(f"s{i}/relu:0", 1, channels, (channels, 2, 2)) for i in range(sites)], (3, 8, 8), "float32", None
    )
    scores = torch.zeros(classes, channels)
    rows = torch.arange(classes)
    scores[rows, rows % channels], scores[rows, (rows + 1) % channels] = 1.0, 0.5
    by_site = dict.fromkeys(made.names, scores)
    masks = {name: table > 0 for name, table in by_site.items()}
    return Paths(masks, Rows.of_classes(range(classes)), made, {}, by_site)


def test_every_class_has_a_channel_with_images_at_the_first_the_middle_and_the_last_site():
    paths = paths_of_many_classes(60)
    chosen = channels_with_images(paths)
    assert list(chosen) == ["s0/relu:0", "s3/relu:0", "s6/relu:0"]
    for channels in chosen.values():
        assert set(range(60)) <= set(channels) <= set(range(61))
    told = in_words(paths, chosen, True)
    assert told.count("61 of 500") == 3
    assert "at s3/relu:0 (60 of 60 classes keep one of them)" in told


def test_where_there_are_too_many_classes_those_with_images_are_spread_evenly_and_others_at_each_site():
    chosen = list(channels_with_images(paths_of_many_classes(400)).values())
    assert [len(channels) for channels in chosen] == [80, 80, 80]
    for channels in chosen:
        gaps = np.diff([-1, *sorted(channels), 400])
        assert gaps.max() <= 10  # 400 / 80 = 5 on average
    assert len(set().union(*chosen)) == 240
