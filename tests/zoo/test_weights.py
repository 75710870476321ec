"""Weights from files: every form is read, no code runs, and what does not fit is named."""

import json
import os
import pickle
import random
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.tiny import TinyPlain
from unweave.errors import SettingError
from unweave.zoo.weights import load_weights, read_state

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def trained():
    """A network as somebody trained it."""
    torch.manual_seed(7)
    return TinyPlain().randomised()


def _saved(state, file):
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.pth.tar"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_read_from_every_kind_of_file(trained, tmp_path, name, prefix):
    state = {f"{prefix}{key}": tensor for key, tensor in trained.state_dict().items()}
    network = TinyPlain().eval()
    load_weights(network, _saved(state, tmp_path / name))
    with torch.no_grad():
        assert torch.equal(network(IMAGES), trained(IMAGES))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_checkpoint_are_found(trained, tmp_path, key):
    state = {f"module.{name}": tensor for name, tensor in trained.state_dict().items()}
    file = _saved({"epoch": 3, key: state, "best": 0.9}, tmp_path / "checkpoint.pth.tar")
    network = TinyPlain().eval()
    load_weights(network, str(file))
    assert torch.equal(network.classifier.bias, trained.classifier.bias)


def test_weights_saved_in_the_old_format_are_read(trained, tmp_path):
    file = tmp_path / "old.pth.tar"
    torch.save(trained.state_dict(), file, _use_new_zipfile_serialization=False)
    network = TinyPlain().eval()
    load_weights(network, file)
    assert torch.equal(network.classifier.bias, trained.classifier.bias)


def test_batch_counters_may_be_missing(trained, tmp_path):
    state = {name: tensor for name, tensor in trained.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(trained.state_dict())
    network = TinyPlain().eval()
    load_weights(network, _saved(state, tmp_path / "w.pt"))
    with torch.no_grad():
        assert torch.equal(network(IMAGES), trained(IMAGES))


class Wider(TinyPlain):
    """As TinyPlain, with eight channels in the second convolution."""

    def __init__(self):
        super().__init__()
        self.features[2][0] = nn.Conv2d(4, 8, 3, 1, 1, bias=False)


def test_weights_of_another_architecture_name_the_first_tensor_and_both_shapes(tmp_path):
    file = _saved(TinyPlain().state_dict(), tmp_path / "w.pt")
    message = r"w.pt does not fit Wider: 'features.2.0.weight' is \(6, 4, 3, 3\) there and \(8, 4, 3, 3\) here"
    with pytest.raises(SettingError, match=message):
        load_weights(Wider(), file)


def test_missing_and_additional_tensors_are_named(tmp_path):
    state = TinyPlain().state_dict()
    more = _saved({**state, "head.weight": torch.zeros(2, 2)}, tmp_path / "more.pt")
    with pytest.raises(SettingError, match=r"'head.weight' is \(2, 2\) there and absent here"):
        load_weights(TinyPlain(), more)
    del state["classifier.bias"]
    with pytest.raises(SettingError, match=r"'classifier.bias' is absent there and \(3,\) here"):
        load_weights(TinyPlain(), _saved(state, tmp_path / "fewer.pt"))


def test_network_is_unchanged_where_weights_do_not_fit(tmp_path):
    state = TinyPlain().state_dict()
    state["classifier.bias"] = torch.zeros(9)
    network = TinyPlain()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(SettingError, match="does not fit"):
        load_weights(network, _saved(state, tmp_path / "w.pt"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class _Villain:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("wrap", [lambda villain: villain, lambda villain: {"state_dict": {}, "extra": villain}])
def test_pickle_with_code_is_refused_and_its_code_does_not_run(tmp_path, save, wrap):
    made, file = tmp_path / "made", tmp_path / "weights.pth"
    save(wrap(_Villain(made)), file)
    with pytest.raises(SettingError, match=r"weights.pth cannot be read as weights alone"):
        load_weights(TinyPlain(), file)
    assert not made.exists()


def test_whole_pickled_network_is_refused(tmp_path):
    torch.save(TinyPlain(), tmp_path / "network.pth")
    with pytest.raises(SettingError, match="cannot be read as weights alone") as caught:
        load_weights(TinyPlain(), tmp_path / "network.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"these are no weights", b"PK\x03\x04"])
def test_files_that_hold_no_weights_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingError, match=f"{name} cannot be read as weights alone"):
        load_weights(TinyPlain(), tmp_path / name)


@pytest.mark.parametrize("value", [[1, 2], torch.zeros(3), {"a": 1}, {"weights": {"a": torch.zeros(1)}}])
def test_files_without_a_state_dict_are_refused(tmp_path, value):
    with pytest.raises(SettingError, match=r"w.pt holds no state dict \(names to tensors\)"):
        load_weights(TinyPlain(), _saved(value, tmp_path / "w.pt"))


class _Toucher:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.pth.tar", "w.safetensors", "w"])
def test_code_in_a_weights_file_is_named_and_does_not_run(tmp_path, name):
    made = tmp_path / "made"
    torch.save({"features": _Toucher(made)}, tmp_path / name)
    with pytest.raises(SettingError, match=r"cannot be read as weights alone \(.*; save network.state_dict"):
        read_state(tmp_path / name)
    assert not made.exists()


def test_the_code_that_a_weights_file_asks_for_is_named(tmp_path):
    torch.save({"features": _Villain(tmp_path / "made")}, tmp_path / "w.pt")
    with pytest.raises(SettingError, match=r"it needs the code of \w+\.mkdir, which was not run"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off(trained, tmp_path, prefix):
    state = {f"{prefix}{key}": tensor for key, tensor in trained.state_dict().items()}
    network = TinyPlain().eval()
    load_weights(network, _saved(state, tmp_path / "w.pt"))
    assert torch.equal(network.classifier.bias, trained.classifier.bias)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_weights_are_loaded_into_a_wrapped_network(trained, tmp_path, wrap):
    network = TinyPlain().eval()
    load_weights(wrap(network), _saved(trained.state_dict(), tmp_path / "w.pt"))
    assert torch.equal(network.classifier.bias, trained.classifier.bias)


def test_a_prefix_that_is_part_of_the_network_s_own_names_stays(trained, tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = TinyPlain()

    network, source = Own(), Own()
    source.module.load_state_dict(trained.state_dict())
    load_weights(network, _saved(source.state_dict(), tmp_path / "w.pt"))
    assert torch.equal(network.module.classifier.bias, trained.classifier.bias)


def test_weights_nested_twice_are_found(trained, tmp_path):
    file = _saved({"model": {"state_dict": trained.state_dict()}, "epoch": 1}, tmp_path / "w.pt")
    assert list(read_state(file)) == list(trained.state_dict())


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.pth.tar"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_truncated_weights_are_refused_in_one_line(tmp_path, trained, name, share):
    file = _saved(trained.state_dict(), tmp_path / name)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SettingError, match="cannot be read as weights alone") as caught:
        read_state(file)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_random_bytes_are_refused_in_one_line(tmp_path, name):
    numbers = torch.Generator().manual_seed(3)
    file = tmp_path / name
    for length in range(0, 400, 7):
        file.write_bytes(bytes(torch.randint(256, (length,), generator=numbers).tolist()))
        with pytest.raises(SettingError, match=r"cannot be read as weights alone|holds no state dict") as caught:
            read_state(file)
        assert len(str(caught.value).splitlines()) == 1


def _refusal(network, file):
    """The message with which a file is refused, None where it is loaded."""
    try:
        load_weights(network, file)
    except SettingError as error:
        return str(error)
    return None


def _mutated(content, numbers):
    """A few bytes changed, the end cut off, or a piece replaced by one of another length."""
    kind, place = numbers.random(), numbers.randrange(len(content))
    if kind < 0.2:
        return content[:place]
    if kind < 0.4:
        return content[:place] + numbers.randbytes(numbers.randrange(50)) + content[place + numbers.randrange(50) :]
    changed = bytearray(content)
    for _ in range(numbers.choice([1, 2, 8])):
        changed[numbers.randrange(len(content))] = numbers.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("name", ["w.pt", "w.pth.tar", "w.safetensors"])
def test_damaged_weights_are_loaded_or_refused_in_one_line(tmp_path, trained, name):
    numbers, file = random.Random(3), tmp_path / name
    if name == "w.pth.tar":
        torch.save(trained.state_dict(), file, _use_new_zipfile_serialization=False)
    else:
        _saved(trained.state_dict(), file)
    content, refusals = file.read_bytes(), []
    for _ in range(300):
        file.write_bytes(_mutated(content, numbers))
        refusals.append(_refusal(TinyPlain(), file))
    found = [refusal for refusal in refusals if refusal is not None]
    assert len(found) > 100
    assert all(len(refusal.splitlines()) == 1 for refusal in found)


@pytest.mark.parametrize("length", [2**63, 2**40, 8])
def test_safetensors_header_that_claims_terabytes_is_refused(tmp_path, length):
    (tmp_path / "w.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(SettingError, match=r"w.safetensors cannot be read as weights alone"):
        read_state(tmp_path / "w.safetensors")


def test_safetensors_tensor_that_claims_terabytes_is_refused(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    with pytest.raises(SettingError, match=r"w.safetensors cannot be read as weights alone"):
        read_state(tmp_path / "w.safetensors")


def test_folder_in_place_of_a_weights_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match="is a folder, not a weights file; give the file in it"):
        read_state(tmp_path)


@pytest.mark.parametrize("name", ["none.pt", "a\0b.pt", "x" * 300 + ".pt"])
def test_names_of_no_weights_file_are_refused(tmp_path, name):
    with pytest.raises(SettingError, match="no weights file"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_weights_without_permission_to_read_are_refused(tmp_path, trained, name):
    file = _saved(trained.state_dict(), tmp_path / name)
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("whoever runs this test may read every file")
    with pytest.raises(SettingError, match=f"{name} cannot be read as weights alone .*Permission"):
        read_state(file)


def test_a_file_that_the_system_refuses_to_open_is_refused(tmp_path, trained, monkeypatch):
    file = _saved(trained.state_dict(), tmp_path / "w.pt")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(SettingError, match=r"cannot be read as weights alone .*Permission denied"):
        read_state(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_loaded(tmp_path, trained, value):
    state = {**trained.state_dict(), "classifier.bias": torch.full((3,), value)}
    network = TinyPlain()
    load_weights(network, _saved(state, tmp_path / "w.pt"))
    assert torch.equal(network.classifier.bias.isfinite(), torch.zeros(3, dtype=torch.bool))


def test_names_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(SettingError, match="holds no state dict"):
        read_state(_saved({1: torch.zeros(3), "b": torch.zeros(3)}, tmp_path / "w.pt"))


def test_weights_from_the_meta_device_are_refused(tmp_path):
    with pytest.raises(SettingError, match=r"'classifier.bias' was saved from the meta device and holds no numbers"):
        read_state(_saved({"classifier.bias": torch.zeros(3, device="meta")}, tmp_path / "w.pt"))


def test_a_tensor_that_cannot_be_copied_into_the_network_is_refused(tmp_path, trained):
    state = {**trained.state_dict(), "classifier.weight": trained.classifier.weight.detach().to_sparse()}
    network = TinyPlain()
    with pytest.raises(SettingError, match=r"does not fit TinyPlain \("):
        load_weights(network, _saved(state, tmp_path / "w.pt"))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_scripted_network_is_no_weights_file(tmp_path, trained):
    torch.jit.script(trained).save(tmp_path / "w.pt")
    with pytest.raises(SettingError, match="cannot be read as weights alone"):
        read_state(tmp_path / "w.pt")


def test_ordered_dicts_and_parameters_are_state_dicts(tmp_path, trained):
    state = OrderedDict(trained.named_parameters())
    assert list(read_state(_saved(state, tmp_path / "w.pt"))) == list(state)
