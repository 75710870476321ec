"""The file of a decoupled network: what was saved comes back, everything else is refused in one line."""

import pytest
import torch
from safetensors.torch import save_file

from tests.decoupling.problems import IMAGES, Chain, Residual, choosy, settled
from unweave.decoupling.format import load_decoupled
from unweave.decoupling.network import decouple
from unweave.errors import MismatchError, RunError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A decoupled chain, and its file."""
    net = choosy(decouple(settled(Chain()), IMAGES, keep=0.6))
    return net, net.save(tmp_path_factory.mktemp("saved") / "net.safetensors")


def test_a_saved_network_computes_what_it_did_from_any_weights(saved):
    net, file = saved
    loaded = load_decoupled(Chain(), file, IMAGES)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(IMAGES), net(IMAGES))
    assert loaded.keep == 0.6


def test_equal_networks_give_equal_bytes(saved, tmp_path):
    net, file = saved
    again = load_decoupled(Chain(), file, IMAGES).save(tmp_path / "again.safetensors")
    assert again.read_bytes() == file.read_bytes()
    torch.nn.init.zeros_(net.network.last.bias[:1].detach())
    assert net.save(tmp_path / "other.safetensors").read_bytes() != file.read_bytes()


def test_the_expected_keep_is_compared(saved):
    _, file = saved
    assert load_decoupled(Chain(), file, IMAGES, keep=0.6).keep == 0.6
    with pytest.raises(MismatchError, match=r"holds a network of keep = 0\.6, 0\.5 was asked for"):
        load_decoupled(Chain(), file, IMAGES, keep=0.5)
    with pytest.raises(MismatchError, match=r"keep = 0\.6, none was asked for"):
        load_decoupled(Chain(), file, IMAGES, keep=None)


def test_a_network_of_other_layers_is_refused(saved):
    with pytest.raises(
        MismatchError, match=r"another network: first difference at 'stem', none there, it is the first"
    ):
        load_decoupled(Residual(), saved[1], IMAGES)


def test_a_network_of_other_sizes_is_refused(saved):
    class Wider(Chain):
        def __init__(self):
            super().__init__()
            self.classifier = torch.nn.Linear(6, 4)

    with pytest.raises(MismatchError, match=r"'network.classifier.weight', 3x6 float32 there, 4x6 float32 here"):
        load_decoupled(Wider(), saved[1], IMAGES)


def test_the_way_to_the_class_scores_is_kept(tmp_path):
    class Named(Chain):
        def forward(self, images):
            return {"scores": super().forward(images)}

    net = decouple(settled(Named()), IMAGES, logits="scores")
    loaded = load_decoupled(Named(), net.save(tmp_path / "named.safetensors"), IMAGES)
    with torch.no_grad():
        assert torch.equal(loaded(IMAGES), net(IMAGES))


def test_tied_weights_are_saved(tmp_path):
    class Tied(Chain):
        def __init__(self):
            super().__init__()
            self.copy = self.classifier

    net = decouple(settled(Tied()), IMAGES)
    loaded = load_decoupled(Tied(), net.save(tmp_path / "tied.safetensors"), IMAGES)
    assert torch.equal(loaded.network.copy.weight, net.network.classifier.weight)


def test_one_changed_bit_is_noticed(saved, tmp_path):
    content = bytearray(saved[1].read_bytes())
    content[-1] ^= 1
    flawed = tmp_path / "flawed.safetensors"
    flawed.write_bytes(content)
    with pytest.raises(RunError, match=r"damaged \(its content is not what was written"):
        load_decoupled(Chain(), flawed, IMAGES)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_files_that_are_no_safetensors_are_refused(tmp_path, content):
    file = tmp_path / "odd.safetensors"
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"odd\.safetensors is damaged"):
        load_decoupled(Chain(), file, IMAGES)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(RunError, match="no file"):
        load_decoupled(Chain(), tmp_path / "none.safetensors", IMAGES)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(RunError, match="holds no decoupled network"):
        load_decoupled(Chain(), foreign, IMAGES)
    save_file({"weight": torch.zeros(2)}, foreign, metadata={"unweave": '{"kind":"decoupled network"}'})
    with pytest.raises(RunError, match="damaged"):
        load_decoupled(Chain(), foreign, IMAGES)
