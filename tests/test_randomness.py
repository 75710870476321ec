"""Random numbers by key."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave.randomness import generator, normal, order

positions = st.lists(st.integers(0, 300), min_size=1, max_size=40, unique=True)


@given(positions, st.data(), st.integers(0, 2**31))
def test_leaving_images_out_does_not_change_the_order_of_others(images, data, seed):
    some = data.draw(st.lists(st.sampled_from(images), min_size=1, unique=True))
    full = order(np.array(sorted(images)), seed, 3, 1)
    left = order(np.array(sorted(some)), seed, 3, 1)
    assert left.tolist() == [image for image in full.tolist() if image in set(some)]


@given(positions, st.randoms())
def test_order_does_not_depend_on_how_images_are_listed(images, random):
    mixed = list(images)
    random.shuffle(mixed)
    assert order(np.array(mixed), 1, 2).tolist() == order(np.array(images), 1, 2).tolist()


@given(positions)
def test_order_holds_every_image_once(images):
    assert sorted(order(np.array(images), 5).tolist()) == sorted(images)


def test_order_depends_on_every_part_of_its_key():
    images = np.arange(50)
    orders = [tuple(order(images, *key).tolist()) for key in ((0, 1, 2), (9, 1, 2), (0, 9, 2), (0, 1, 9))]
    assert len(set(orders)) == 4
    assert orders[0] != tuple(range(50))


def test_order_of_no_images_is_empty():
    assert len(order(np.array([], dtype=np.int64), 0, 1)) == 0


def test_generators_do_not_read_or_move_global_state():
    torch.manual_seed(1)
    np.random.seed(1)
    first, torch_state = normal("scores", 0, 1, size=(5,)), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(first, normal("scores", 0, 1, size=(5,)))
    torch.manual_seed(1)
    np.random.seed(1)
    normal("scores", 0, 1, size=(5,))
    order(np.arange(9), 0)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_generators_do_not_read_each_other():
    first = generator("noise", 0, 1)
    start = first.random(3)
    generator("noise", 0, 1).random(100)
    both = generator("noise", 0, 1).random(6)
    assert np.array_equal(np.concatenate([start, first.random(3)]), both)


@pytest.mark.parametrize("other", [("spread", 0, 1), ("scores", 1, 0), ("scores", 7, 1), ("scores", 0, 7)])
def test_purpose_and_key_tell_streams_apart(other):
    assert not np.array_equal(generator("scores", 0, 1).random(4), generator(*other).random(4))


def test_unknown_purpose_is_refused():
    with pytest.raises(ValueError, match="not in tuple"):
        generator("weather", 0)


def test_normal_numbers_are_standard_and_single_precision():
    numbers = normal("noise", 3, size=(100, 100))
    assert numbers.dtype == torch.float32
    assert numbers.shape == (100, 100)
    assert abs(float(numbers.mean())) < 0.04
    assert float(numbers.std()) == pytest.approx(1, abs=0.03)


def test_streams_stay_as_they_are():
    # a change of any of these changes every saved result
    assert generator("order", 0, 1, 2).integers(0, 1000, 4).tolist() == [656, 981, 326, 264]
    assert order(np.arange(6), 0, 1, 2).tolist() == [3, 1, 4, 5, 2, 0]
