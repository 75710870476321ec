import pytest
import torch

from tests.surgery.cutting import cut, images, kept
from tests.tiny import TinyPlain
from unweave.errors import SettingError
from unweave.surgery.cost import extraction_cost


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    network = TinyPlain().randomised()
    return network, cut(network, images(3, 8, 8), {"features.0.2/relu:0": kept(4, 0, 3)}, classes=[1])


def test_sizes_are_counted_by_hand(plain):
    table = extraction_cost(*plain, images(3, 8, 8), batches=())
    # 8x8 and 4x4 positions; two of four channels, one of three class scores
    whole = 64 * 4 * 27 + 16 * 6 * 36 + 6 * 3
    cut_down = 64 * 2 * 27 + 16 * 6 * 18 + 6 * 1
    assert table["multiply_accumulates"] == (whole, cut_down)
    assert table["parameters"] == (4 * 27 + 6 * 36 + 20 + 21, 2 * 28 + 6 * 19 + 7)
    assert table["bytes"][1] == 4 * table["parameters"][1]
    assert table.summary["multiply_accumulates_ratio"] == pytest.approx(whole / cut_down)


def test_times_are_of_both_at_every_batch_size_and_the_verdict_follows_from_them(plain):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        table = extraction_cost(*plain, images(3, 8, 8), batches=(1, 4), repeats=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for size in (1, 4):
        before, after = table[f"milliseconds_{size}"]
        assert before > 0
        assert table.summary[f"verdict_{size}"] == ("faster" if after < before else "not faster")


def test_batches_of_nothing_are_refused(plain):
    with pytest.raises(SettingError, match="batches"):
        extraction_cost(*plain, images(3, 8, 8), batches=(0,))
