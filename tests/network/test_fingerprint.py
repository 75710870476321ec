"""What identifies a network."""

import copy

import pytest
import torch
from torch import nn

from tests.tiny import TinyPlain, TinyResidual
from unweave.errors import MismatchError
from unweave.network.fingerprint import check_fingerprint, fingerprint


def test_equal_networks_have_one_fingerprint(network):
    assert fingerprint(copy.deepcopy(network)) == fingerprint(network)


def test_fingerprint_names_every_tensor_with_shape_and_type():
    network = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 4).double())
    tensors = fingerprint(network)["tensors"]
    assert list(tensors) == ["0.weight", "1.weight", "1.bias"]
    assert [text.split(" ")[:2] for text in tensors.values()] == [
        ["3x2", "float32"],
        ["4x3", "float64"],
        ["4", "float64"],
    ]


def test_fingerprint_ignores_mode_memory_order_and_batch_counters(plain):
    before = fingerprint(plain)
    plain.train()(torch.zeros(2, 3, 8, 8))
    changed = fingerprint(plain)
    assert changed != before  # running statistics moved
    other = TinyPlain()
    other.load_state_dict(plain.state_dict())
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked += 5
    other.to(memory_format=torch.channels_last)
    assert fingerprint(other) == changed


def test_fingerprint_ignores_requires_grad_and_works_on_tensors_of_inference_mode(plain):
    before = fingerprint(plain)
    with torch.inference_mode():
        twin = TinyPlain()
        twin.load_state_dict(plain.state_dict())
        inside = fingerprint(twin)
    assert inside == before == fingerprint(twin) == fingerprint(plain.requires_grad_(False))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_tensors_of_any_type_have_a_digest(dtype):
    network = nn.Module()
    network.register_buffer("values", torch.tensor([0, 1, 0]).to(dtype))
    network.register_buffer("scalar", torch.tensor(1).to(dtype))
    network.register_buffer("empty", torch.zeros(0, 2).to(dtype))
    first = fingerprint(network)
    name = str(dtype).removeprefix("torch.")
    assert [text.rsplit(" ", 1)[0] for text in first["tensors"].values()] == [
        f"3 {name}",
        f"scalar {name}",
        f"0x2 {name}",
    ]
    network.values[0] = 1
    assert fingerprint(network)["tensors"]["values"] != first["tensors"]["values"]
    assert fingerprint(network)["tensors"]["scalar"] == first["tensors"]["scalar"]


def test_one_changed_number_is_found_and_named(plain):
    before = fingerprint(plain)
    with torch.no_grad():
        plain.features[2][0].weight[5, 3, 2, 2] += 1e-3
    with pytest.raises(
        MismatchError, match=r"\(TinyPlain\): first difference at 'features\.2\.0\.weight', recorded 6 x 4"
    ):
        check_fingerprint(fingerprint(plain), before)


def test_missing_and_additional_tensors_are_named(plain):
    whole = fingerprint(plain)
    assert isinstance(plain.classifier, nn.Linear)
    plain.classifier = nn.Linear(6, 3, bias=False)
    plain.classifier.weight = TinyPlain().classifier.weight
    with torch.no_grad():
        plain.classifier.weight.zero_()
    part = fingerprint(plain)
    without_bias = {k: v for k, v in whole["tensors"].items() if k != "classifier.bias"}
    with pytest.raises(
        MismatchError, match=r"'classifier\.bias', recorded 3 float32 with content .*, here no such tensor"
    ):
        check_fingerprint({**part, "tensors": without_bias}, whole)
    with pytest.raises(
        MismatchError, match=r"'classifier\.bias', recorded no such tensor, here 3 float32 with content"
    ):
        check_fingerprint(whole, {**part, "tensors": without_bias})


def test_same_fingerprint_is_accepted_and_another_network_refused(plain):
    check_fingerprint(fingerprint(plain), fingerprint(plain))
    with pytest.raises(MismatchError, match=r"another network than the paths were found in \(TinyPlain\)"):
        check_fingerprint(fingerprint(TinyResidual()), fingerprint(plain))
