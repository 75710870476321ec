"""Networks of every unusual kind: each is handled, or refused in one line that says what to give in its place."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from tests.tiny import TinyPlain
from unweave.errors import CaptureError
from unweave.network.capture import capture, evaluating_copy
from unweave.network.sites import find_sites

IMAGES = torch.zeros(1, 3, 8, 8)


class Written(nn.Module):
    """A convolution of 4 channels and a linear layer to `classes` scores; the test writes what `forward` does."""

    def __init__(self, written, classes=3):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, classes)
        self.written = written

    def forward(self, images):
        return self.written(self, images)

    def scores(self, images):
        return self.linear(self.conv(images).relu().mean((2, 3)))


def refusal(network, images=IMAGES, logits=None):
    """The one line with which a network is refused."""
    with pytest.raises(CaptureError) as caught:
        capture(network, images, logits)
    message = str(caught.value)
    assert message
    assert len(message.splitlines()) == 1
    return message


def assert_handled(network, plain, images):
    """`network`, wrapped in some way, is captured like `plain`: the same scores, names and tensors."""
    found, expected = capture(network, images), capture(plain, images)
    assert torch.equal(found.module()(images), plain.eval()(images))
    assert found.names == expected.names
    assert found.network_name == expected.network_name
    assert list(found.tensors) == list(expected.tensors)


@dataclass
class Answer:
    logits: torch.Tensor
    features: torch.Tensor


torch.utils._pytree.register_dataclass(Answer)

SEVERAL = {
    "dict": (lambda n, x: {"features": x, "logits": n.scores(x)}, "logits", "dict", "'features', 'logits'"),
    "tuple": (lambda n, x: (n.scores(x), x), 0, "tuple", "positions 0 to 1"),
    "dataclass": (lambda n, x: Answer(n.scores(x), x), "logits", "Answer", "'logits', 'features'"),
}


@pytest.mark.parametrize(("written", "logits", "kind", "parts"), SEVERAL.values(), ids=SEVERAL)
def test_network_that_returns_several_things_is_refused_with_their_names(written, logits, kind, parts):
    assert f"returns a {kind}, not one tensor; give logits= " in refusal(Written(written))
    assert parts in refusal(Written(written))


@pytest.mark.parametrize(("written", "logits", "kind", "parts"), SEVERAL.values(), ids=SEVERAL)
def test_network_that_returns_several_things_is_handled_with_logits(written, logits, kind, parts):
    network, images = Written(written).eval(), torch.randn(2, 3, 8, 8)
    assert torch.equal(capture(network, IMAGES, logits).module()(images), network.scores(images))


def test_network_with_one_output_is_refused_with_two_scores_that_say_the_same():
    assert "one output z, so there are no classes to tell apart; wrap it in a module" in refusal(
        Written(Written.scores, classes=1)
    )


def test_the_two_scores_advised_for_one_output_are_handled_and_mean_the_same():
    def two(network, images):
        z = network.scores(images)
        return torch.cat([-z / 2, z / 2], 1)

    network, images = Written(two, classes=1).eval(), torch.randn(2, 3, 8, 8)
    found = capture(network, IMAGES).module()(images).softmax(1)[:, 1:]
    torch.testing.assert_close(found, network.scores(images).sigmoid())


def test_multi_label_network_is_handled():
    network, images = Written(lambda n, x: n.scores(x).sigmoid()).eval(), torch.randn(2, 3, 8, 8)
    assert torch.equal(capture(network, IMAGES).module()(images), network(images))


def test_detection_network_is_refused_for_its_dicts():
    assert "list with a dict an image, as detection networks do, not class scores" in refusal(
        Written(lambda n, x: [{"boxes": n.conv(x), "scores": n.scores(x)}])
    )


def test_torchvisions_detection_network_is_refused():
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)
    message = refusal(network, torch.zeros(1, 3, 64, 64))
    assert message.startswith("SSD cannot be captured for images of shape (3, 64, 64): ")
    assert "boxes or text has no class scores" in message


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("script", [torch.jit.script, lambda network: torch.jit.trace(network, IMAGES)])
def test_scripted_network_is_refused(plain, script):
    assert refusal(script(plain)).startswith("the network is a scripted one, which cannot be captured; give the Python")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_network_with_a_scripted_part_is_refused_naming_the_part(plain):
    plain.features = torch.jit.script(plain.features)
    assert refusal(plain).startswith("'features', a part of the network, is a scripted one")


@pytest.mark.filterwarnings("ignore:.*quantiz.*:DeprecationWarning", "ignore:.*quantize.*:UserWarning")
def test_quantised_network_is_refused(plain):
    quantised = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
    assert refusal(quantised).endswith("quantised, its weights packed; give the network as it was before, in float")


def test_data_parallel_network_is_handled_as_the_module_inside(plain):
    assert_handled(nn.DataParallel(plain), plain, torch.randn(2, 3, 8, 8))


def test_data_parallel_part_of_a_network_is_handled_as_the_module_inside(plain):
    wrapped = TinyPlain().eval()
    wrapped.load_state_dict(plain.state_dict())
    wrapped.features = nn.DataParallel(wrapped.features)
    assert_handled(wrapped, plain, torch.randn(2, 3, 8, 8))
    assert isinstance(wrapped.features, nn.DataParallel)


def test_distributed_network_is_handled_as_the_module_inside(plain):
    # Its constructor needs a process group; what counts is the module it holds.
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = plain
    assert_handled(wrapped, plain, torch.randn(2, 3, 8, 8))


def test_compiled_network_is_handled_as_the_module_inside(plain):
    assert_handled(torch.compile(plain), plain, torch.randn(2, 3, 8, 8))


def test_compiled_part_of_a_network_is_handled_as_the_module_inside(plain):
    wrapped = TinyPlain().eval()
    wrapped.load_state_dict(plain.state_dict())
    wrapped.features = torch.compile(wrapped.features)
    assert_handled(wrapped, plain, torch.randn(2, 3, 8, 8))


def test_wrapped_several_times_is_handled(plain):
    assert_handled(nn.DataParallel(torch.compile(nn.DataParallel(plain))), plain, torch.randn(2, 3, 8, 8))


def test_evaluating_copy_of_a_wrapped_network_needs_no_wrapper(plain):
    copied = evaluating_copy(nn.DataParallel(plain))
    assert not any(isinstance(module, nn.DataParallel) for module in copied.modules())
    assert torch.equal(copied(IMAGES), plain(IMAGES))


def branches_on_values(network, images):
    scores = network.scores(images)
    return scores if scores.sum() > 0 else -scores


def test_control_flow_on_values_is_refused_with_the_reason_and_the_way_out(capfd):
    message = refusal(Written(branches_on_values))
    assert "Written cannot be captured for images of shape (3, 8, 8)" in message
    assert "decides there on the values of tensors; use tensor operations such as torch.where" in message
    assert capfd.readouterr() == ("", "")


def test_network_that_drops_images_by_their_values_is_refused():
    assert "one row of class scores for each image" in refusal(Written(lambda n, x: n.scores(x)[n.scores(x)[:, 0] > 0]))


def test_network_that_returns_several_rows_an_image_is_refused():
    assert "one row of class scores for each image" in refusal(Written(lambda n, x: n.scores(x).repeat(2, 1)))


def test_network_whose_columns_are_the_other_images_is_refused():
    assert "one row of class scores for each image" in refusal(Written(lambda n, x: n.scores(x) @ n.scores(x).T))


def test_network_on_the_meta_device_is_handled_for_its_sites():
    sites = find_sites(TinyPlain().to("meta"), IMAGES)
    assert [site.channels for site in sites] == [4, 6]


def test_network_on_the_meta_device_is_refused_where_it_must_answer(plain):
    with pytest.raises(
        CaptureError, match=r"'features.0.0.weight' is on the meta device, which holds no numbers; make"
    ):
        evaluating_copy(plain.to("meta"))


def test_network_without_parameters_is_handled():
    images = torch.randn(2, 3, 8, 8)
    captured = capture(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), images)
    assert captured.tensors == {}
    torch.testing.assert_close(captured.module()(images), images.mean((2, 3)))


class Two(TinyPlain):
    def forward(self, images, mask):
        return super().forward(images * mask)


@pytest.mark.parametrize("wrap", [lambda network: network, nn.DataParallel])
def test_network_that_needs_two_inputs_is_refused_naming_them(wrap):
    message = refusal(wrap(Two()))
    assert message.startswith("the network takes 2 inputs (images, mask), and is given images alone; wrap it")


class Optional(TinyPlain):
    def forward(self, images, scale=1.0):
        return super().forward(images) * scale


def test_network_with_optional_inputs_is_handled():
    network, images = Optional().randomised(), torch.randn(2, 3, 8, 8)
    assert torch.equal(capture(network, IMAGES).module()(images), network(images))


def test_half_precision_network_is_handled_on_images_of_its_precision(plain):
    images = torch.randn(2, 3, 8, 8).bfloat16()
    captured = capture(plain.bfloat16(), images)
    assert captured.dtype == torch.bfloat16
    assert torch.equal(captured.module()(images), plain(images))


def test_half_precision_network_is_refused_on_images_of_another(plain):
    message = refusal(plain.half())
    assert message.startswith("weights in float16 meet values in float32; give images in float16, or convert the net")
    assert message.endswith("network.to(torch.float32)")


def test_network_that_converts_its_images_itself_is_handled():
    network = Written(lambda n, x: n.scores(x.to(n.conv.weight.dtype))).double().eval()
    assert torch.equal(capture(network, IMAGES).module()(IMAGES), network(IMAGES))


def test_network_in_training_mode_is_captured_in_evaluation_mode_and_left_in_training_mode(plain):
    images = torch.randn(2, 3, 8, 8)
    expected = plain(images)
    assert torch.equal(capture(plain.train(), IMAGES).module()(images), expected)
    assert all(module.training for module in plain.modules())


def test_lazily_initialised_network_is_refused_until_it_was_called_once():
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    assert "lazy modules without weights yet ('1.weight'); call it once" in refusal(network)
    network(IMAGES)
    assert capture(network, IMAGES).classes == 3


def test_long_reasons_are_shortened():
    def fails(network, images):
        raise ValueError("x" * 2000 + "\nand more\nlines")

    assert len(refusal(Written(fails))) < 700
