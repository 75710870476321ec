"""The demo's network."""

import pytest
import torch

from unweave.data.digits import Digits
from unweave.network.sites import find_sites
from unweave.zoo.digits import DigitsNetwork, train_digits_network


@pytest.fixture(scope="module")
def trained():
    """Trained for four passes, a third of the demo's."""
    return train_digits_network(seed=0, epochs=4)


def test_training_reaches_most_digits(trained):
    held_out = Digits(train=False)
    with torch.no_grad():
        right = (trained(held_out.images).argmax(1) == held_out.targets).float().mean()
    assert right > 0.9


def test_network_comes_in_evaluation_mode(trained):
    assert not any(module.training for module in trained.modules())


def test_network_has_a_site_after_the_stem_and_every_block():
    sites = find_sites(DigitsNetwork(), torch.zeros(2, 1, 8, 8))
    assert [site.channels for site in sites] == [32, 32, 64, 64]


def _state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_training_depends_on_the_seed_alone_and_leaves_the_random_state():
    first = _state(train_digits_network(seed=1, epochs=1))
    torch.rand(17)
    before = torch.get_rng_state()
    with torch.no_grad():
        again = _state(train_digits_network(seed=1, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_other_seeds_give_other_networks():
    first, second = (_state(train_digits_network(seed=seed, epochs=1)) for seed in (1, 2))
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
