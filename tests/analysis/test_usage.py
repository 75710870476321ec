"""How much of every site is used, worked out by hand."""

import pytest
import torch

from tests.paths.made import make, sites_of
from unweave.analysis.usage import usage
from unweave.errors import PathsError
from unweave.paths import Paths, Rows


def _paths():
    masks = {
        "a/relu:0": torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]], dtype=torch.bool),
        "b/relu:0": torch.tensor([[0, 0], [0, 0]], dtype=torch.bool),
        "c/relu:0": torch.tensor([[1], [1]], dtype=torch.bool),
    }
    return Paths(masks, Rows.of_classes([0, 1]), sites_of(4, 2, 1), {})


def test_usage_is_the_mean_share_of_kept_channels():
    table = usage(_paths())
    assert table["site"] == ("a/relu:0", "b/relu:0", "c/relu:0")
    assert table["channels"] == (4, 2, 1)
    assert table["usage"] == (0.5, 0.0, 1.0)
    assert table["least"] == (0.25, 0.0, 1.0)
    assert table["most"] == (0.75, 0.0, 1.0)


def test_channels_of_every_row_and_of_none_are_counted():
    table = usage(_paths())
    assert table["in_every_row"] == (1, 0, 1)
    assert table["in_no_row"] == (1, 2, 0)


def test_summary_is_the_share_of_all_channels():
    # Row 0 keeps 2 of 7 channels, row 1 keeps 4.
    assert usage(_paths()).summary["usage"] == pytest.approx((2 / 7 + 4 / 7) / 2)


def test_usage_of_one_row_is_its_own():
    table = usage(_paths()[1])
    assert table["usage"] == table["least"] == table["most"] == (0.75, 0.0, 1.0)
    assert table.title == "Share of channels used at each site, 1 rows"


def test_usage_takes_rows_of_inputs_too():
    paths = make(Rows.of_inputs(50), sites_of(10), scores=False)
    kept = paths.masks["a/relu:0"].sum(1).tolist()
    assert usage(paths)["usage"] == pytest.approx((sum(kept) / 500,))
    assert usage(paths)["most"] == pytest.approx((max(kept) / 10,))


def test_usage_without_rows_is_refused():
    with pytest.raises(PathsError, match="there are no rows whose usage could be measured"):
        usage(_paths()[:0])
