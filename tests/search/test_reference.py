"""What the untouched network does, and keeping it."""

import numpy as np
import pytest
import torch

from tests.search.problems import prepared_small
from unweave.errors import NumericError
from unweave.network.sites import Site
from unweave.search.reference import Reference, Store, available_memory, bytes_per_image, observe


@pytest.fixture(scope="module")
def small():
    return prepared_small()


def batch_of(positions):
    """Values that tell where they belong: image `p` is full of `p`."""
    column = torch.tensor(positions, dtype=torch.float32)
    pictures = column[:, None, None, None] + torch.arange(12.0).view(3, 2, 2) / 100
    return Reference(pictures, [pictures * 2, column[:, None] + torch.arange(4.0)], column[:, None] * 3)


def test_observe_records_what_hooks_see(small):
    prepared, images, network = small
    seen = []
    handles = [
        m.register_forward_hook(lambda module, inputs, output: seen.append(output)) for m in network.site_modules
    ]
    batch = images.images([0, 5, 9])
    expected = network(batch)
    for handle in handles:
        handle.remove()
    found = observe(prepared.tapped, batch)
    assert torch.allclose(found.scores, expected)
    assert len(found.activations) == 3
    assert all(torch.allclose(a, b) for a, b in zip(found.activations, seen, strict=True))
    assert not found.scores.requires_grad
    assert found.images is batch


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_observe_names_first_site_that_is_not_finite(small, bad):
    prepared, images, _ = small
    batch = images.images([0, 1]).clone()
    batch[1, 0, 0, 0] = bad
    with pytest.raises(NumericError, match="NaN or infinity, first at site 'relu_a/relu:0'"):
        observe(prepared.tapped, batch)


def test_store_gives_back_what_was_put_in_any_order():
    store = Store(np.array([7, 3, 11, 2]))
    assert not store.full
    store.put(np.array([11, 7]), batch_of([11, 7]))
    assert not store.full
    store.put(np.array([2, 3]), batch_of([2, 3]))
    assert store.full
    for positions in ([2, 3, 7, 11], [11], [3, 11]):
        found, expected = store.get(np.array(positions)), batch_of(positions)
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.scores, expected.scores)
        assert all(torch.equal(a, b) for a, b in zip(found.activations, expected.activations, strict=True))


def test_store_keeps_pictures_channels_last():
    store = Store(np.array([0, 1]))
    store.put(np.array([0, 1]), batch_of([0, 1]))
    assert store.get(np.array([1, 0])).images.is_contiguous(memory_format=torch.channels_last)


def test_store_does_not_share_memory_with_what_was_put():
    store, batch = Store(np.array([4])), batch_of([4])
    store.put(np.array([4]), batch)
    batch.images.zero_()
    assert torch.equal(store.get(np.array([4])).images, batch_of([4]).images)


def test_store_does_not_know_other_images():
    store = Store(np.array([4]))
    with pytest.raises(KeyError, match="5"):
        store.put(np.array([5]), batch_of([5]))


def test_bytes_per_image_counts_sites_image_and_scores():
    sites = [Site("a", 1, 4, (4, 8, 8)), Site("b", 1, 6, (6,))]
    # 4 * 8 * 8 + 6 values at sites, 3 * 8 * 8 in the image, 10 class scores, 4 bytes each
    assert bytes_per_image(sites, (3, 8, 8), 10, 4) == (256 + 6 + 192 + 10) * 4


def test_available_memory_is_a_share_of_what_is_free():
    free = available_memory(torch.device("cpu"))
    assert isinstance(free, int)
    assert free > 0
