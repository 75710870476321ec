import torch

from unweave.slicing.weights import FILLER, rounded_up, sliced


def test_slices_are_copies_in_the_order_given_and_fillers_are_filled():
    weight = torch.arange(6.0).view(3, 2)
    assert sliced(weight, 0, [2, FILLER, 0], 7.0).tolist() == [[4, 5], [7, 7], [0, 1]]
    whole = sliced(weight, 0, [0, 1, 2])
    whole[0] = 9
    assert weight[0].tolist() == [0, 1]


def test_an_order_is_rounded_up_to_a_multiple_or_to_all_that_there_are():
    assert rounded_up([0, 2, 5], 4, 8) == (0, 2, 5, FILLER)
    assert rounded_up([0, 2, 5], 8, 6) == (0, 2, 5, FILLER, FILLER, FILLER)
    assert rounded_up([0, 2], 1, 6) == (0, 2)
