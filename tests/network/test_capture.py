"""Capturing a network: the same function, the same weights, and refusals that say what to change."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.tiny import TinyPlain, TinyResidual
from unweave.errors import CaptureError, DataError
from unweave.network.capture import capture, captured_once, evaluating_copy
from unweave.network.sites import find_sites

IMAGES = torch.zeros(1, 3, 8, 8)


class Custom(nn.Module):
    """A convolution and a linear layer, with whatever comes between written in the test."""

    def __init__(self, forward):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.written = forward

    def forward(self, images):
        return self.written(self, images)

    def scores(self, values):
        return self.linear(values.mean((2, 3)))


@dataclass
class Answer:
    logits: torch.Tensor
    features: torch.Tensor


torch.utils._pytree.register_dataclass(Answer)


def operations(captured):
    return [str(node.target) for node in captured.graph.nodes if node.op == "call_function"]


def test_captured_network_gives_the_same_bits_at_any_batch_size(network):
    module = capture(network, IMAGES).module()
    for batch in (1, 2, 7):
        images = torch.randn(batch, 3, 8, 8)
        with torch.no_grad():
            assert torch.equal(module(images), network(images))


def test_capture_shares_every_parameter_and_buffer(network):
    captured = capture(network, IMAGES)
    own = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    assert {name: tensor.data_ptr() for name, tensor in captured.tensors.items()} == own


def test_captured_tensors_need_no_gradient(network):
    assert not any(tensor.requires_grad for tensor in capture(network, IMAGES).tensors.values())


def test_capture_follows_later_changes_of_the_weights(plain):
    module = capture(plain, IMAGES).module()
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        plain.classifier.bias += 5
        assert torch.equal(module(images), plain(images))


def test_within_a_block_a_network_is_captured_once_for_images_of_one_kind(plain):
    with captured_once():
        first = capture(plain, IMAGES)
        with captured_once():  # as of a measure within a report
            assert capture(plain, torch.ones(5, 3, 8, 8)) is first
        assert capture(plain, IMAGES) is first
        assert capture(plain, torch.zeros(1, 3, 16, 16)) is not first
        assert capture(TinyPlain().eval(), IMAGES) is not first
    assert capture(plain, IMAGES) is not first


def test_captures_of_a_block_that_fails_are_not_kept(plain):
    kept = []

    @captured_once()
    def fails():
        kept.append(capture(plain, IMAGES))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert capture(plain, IMAGES) is not kept[0]


def test_capture_records_what_it_was_made_from(plain):
    captured = capture(plain.double(), IMAGES.double())
    assert captured.network_name == "TinyPlain"
    assert captured.image_shape == (3, 8, 8)
    assert captured.dtype == torch.float64
    assert captured.classes == 3
    assert captured.device == torch.device("cpu")


def test_tied_parameters_stay_one_tensor():
    network = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    network[2].weight = network[0].weight
    images = torch.randn(4, 5)
    captured = capture(network, images)
    assert {t.data_ptr() for n, t in captured.tensors.items() if n in ("0.weight", "2.weight")} == {
        network[0].weight.data_ptr()
    }
    assert torch.equal(captured.module()(images), network(images))


def in_place_activation(network, images):
    return network.scores(functional.relu_(network.conv(images)))


def in_place_sum(network, images):
    values = network.conv(images)
    values += 1
    values.add_(values)
    return network.scores(values)


def in_place_through_a_view(network, images):
    values = network.conv(images)
    values[:, :2].add_(1)
    values.view(-1).mul_(2)
    values[:, 3] = 0
    return network.scores(values)


@pytest.mark.parametrize("forward", [in_place_activation, in_place_sum, in_place_through_a_view])
def test_in_place_operations_become_functional_ones(forward):
    network = Custom(forward).eval()
    images = torch.randn(3, 3, 8, 8)
    captured = capture(network, IMAGES)
    assert not [name for name in operations(captured) if name.split(".")[1].endswith("_")]
    assert torch.equal(captured.module()(images), network(images.clone()))


def test_captured_module_leaves_its_images_alone():
    network = Custom(in_place_through_a_view).eval()
    images = torch.randn(3, 3, 8, 8)
    before = images.clone()
    capture(network, IMAGES).module()(images)
    assert torch.equal(images, before)


def test_network_in_training_mode_is_captured_in_evaluation_mode():
    network = nn.Sequential(TinyPlain().randomised(), nn.Dropout(0.9)).train()
    images = torch.randn(2, 3, 8, 8)
    found = capture(network, IMAGES).module()(images)
    assert all(module.training for module in network.modules())
    assert torch.equal(found, network.eval()(images))


def test_evaluating_copy_answers_as_the_network_does_in_evaluation_mode(plain):
    images = torch.randn(2, 3, 8, 8)
    expected = plain(images)
    plain.train()
    assert torch.equal(evaluating_copy(plain)(images), expected)
    assert plain.training


RESULTS = {
    "dict": (lambda n, x: {"logits": n.scores(n.conv(x)), "features": x}, "logits", "'logits', 'features'"),
    "tuple": (lambda n, x: (x, n.scores(n.conv(x))), 1, "positions 0 to 1"),
    "negative": (lambda n, x: [x, n.scores(n.conv(x))], -1, "positions 0 to 1"),
    "dataclass": (lambda n, x: Answer(n.scores(n.conv(x)), x), "logits", "'logits', 'features'"),
}


@pytest.mark.parametrize(("forward", "logits", "choices"), RESULTS.values(), ids=RESULTS)
class TestSeveralResults:
    def test_logits_picks_the_class_scores(self, forward, logits, choices):
        network = Custom(forward).eval()
        images = torch.randn(3, 3, 8, 8)
        expected = network.scores(network.conv(images))
        assert torch.equal(capture(network, IMAGES, logits).module()(images), expected)
        assert find_sites(network, IMAGES, "filter", logits=logits).names == ("conv/conv2d:0",)

    def test_missing_logits_lists_the_choices(self, forward, logits, choices):
        with pytest.raises(CaptureError, match=f"give logits= .*{choices}"):
            capture(Custom(forward), IMAGES)

    def test_wrong_logits_lists_the_choices(self, forward, logits, choices):
        wrong = "nothing" if isinstance(logits, str) else 5
        with pytest.raises(CaptureError, match=f"has no {wrong!r}; it has {choices}"):
            capture(Custom(forward), IMAGES, wrong)


def test_logits_that_pick_something_else_are_refused():
    network = Custom(lambda n, x: {"logits": n.scores(n.conv(x)), "features": x, "name": "x"})
    with pytest.raises(CaptureError, match=r"must return class scores \[batch, classes\].*3, 8, 8.*see logits="):
        capture(network, IMAGES, "features")
    with pytest.raises(CaptureError, match="logits='name' picks a str, not a tensor"):
        capture(network, IMAGES, "name")


def test_something_that_is_no_module_is_refused():
    with pytest.raises(CaptureError, match=r"torch\.nn\.Module is needed, found function"):
        capture(functional.relu, IMAGES)


def test_other_image_shape_is_refused_with_torchs_reason(plain):
    with pytest.raises(CaptureError, match=r"images of shape \(5, 8, 8\): .*expected input.* to have 3 channels"):
        capture(plain, torch.zeros(1, 5, 8, 8))


def test_error_of_the_networks_own_code_is_passed_on():
    def fails(network, images):
        raise KeyError("no such layer")

    with pytest.raises(CaptureError, match="KeyError: 'no such layer'") as caught:
        capture(Custom(fails), IMAGES)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(("example", "found"), [(torch.zeros(3), r"shape \(3,\)"), ([[1.0]], "list")])
def test_example_that_is_no_batch_is_refused(plain, example, found):
    with pytest.raises(DataError, match=rf"must be a batch of images .*found {found}"):
        capture(plain, example)


REFUSED = {
    "one number an image": (lambda n, x: n.scores(n.conv(x)).sum(1), r"class scores \[batch, classes\]"),
    "whole numbers": (lambda n, x: n.scores(n.conv(x)).long(), r"class scores \[batch, classes\]"),
    "one batch size": (lambda n, x: n.scores(n.conv(x)).reshape(2, 3), "only takes one batch size"),
    "changes its input": (lambda n, x: n.scores(n.conv(x.mul_(2))), "changes a buffer or its input"),
    "an object": (lambda n, x: object(), "returns a object, not one tensor; .*none that can be listed"),
}


@pytest.mark.parametrize(("forward", "message"), REFUSED.values(), ids=REFUSED)
def test_network_without_plain_class_scores_is_refused(forward, message):
    with pytest.raises(CaptureError, match=message):
        capture(Custom(forward), IMAGES)


def test_network_that_counts_its_calls_in_a_buffer_is_refused():
    def counts(network, images):
        network.calls.add_(1)
        return network.scores(network.conv(images))

    network = Custom(counts)
    network.register_buffer("calls", torch.zeros(()))
    with pytest.raises(CaptureError, match="changes a buffer or its input in evaluation mode"):
        capture(network, IMAGES)
    assert network.calls == 0


def test_network_that_cannot_be_copied_is_refused_with_the_reason(plain):
    plain.last = plain(IMAGES)  # a tensor in the middle of a gradient computation
    with pytest.raises(CaptureError, match=r"TinyPlain cannot be copied \(.*deepcopy.*remove what"):
        capture(plain, IMAGES)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("made_inside", [False, True], ids=["made_outside", "made_inside"])
def test_capture_works_in_every_gradient_mode(mode, made_inside):
    network = TinyResidual().randomised()
    images = torch.randn(3, 3, 8, 8)
    with mode():
        if made_inside:
            network = TinyResidual().randomised()
        module = capture(network, torch.zeros(1, 3, 8, 8)).module()
        assert torch.equal(module(images), network(images))


def test_network_made_in_inference_mode_can_be_gated_with_gradients():
    with torch.inference_mode():
        network = TinyPlain().randomised()
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    capture(network, IMAGES).module()(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_names_are_module_path_operation_and_ordinal():
    captured = capture(TinyResidual(), IMAGES)
    assert list(captured.names.values()) == [
        "stem.0/conv2d:0",
        "stem.1/batch_norm:0",
        "stem.2/relu:0",
        "first/conv2d:0",
        "add:0",
        "relu:0",
        "second/conv2d:0",
        "shortcut/conv2d:0",
        "add:1",
        "relu:1",
        "adaptive_avg_pool2d:0",
        "reshape:0",
        "classifier/linear:0",
    ]


def test_channels_last_images_are_accepted(network):
    images = torch.randn(3, 3, 8, 8)
    module = capture(network, IMAGES).module()
    torch.testing.assert_close(module(images.contiguous(memory_format=torch.channels_last)), module(images))


def test_padding_by_nothing_and_slices_of_everything_are_left_out_of_the_graph():
    def forward(network, images):
        values = network.conv(images)
        return network.scores(
            functional.pad(values[:, :, :], (0, 0, 0, 0)) + functional.pad(values, (0, 0, 1, 1))[:, :, 1:-1]
        )

    network = Custom(forward).eval()
    captured = capture(network, IMAGES)
    kept = operations(captured)
    assert [kept.count(f"aten.{name}") for name in ("pad.default", "slice.Tensor")] == [1, 1]
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(captured.module()(images), network(images))
