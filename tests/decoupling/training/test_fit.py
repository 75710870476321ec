"""The public function: a network is trained in place."""

import math
import sys
import types

import pytest
import torch

import unweave
from tests.decoupling.problems import Residual
from tests.decoupling.training.trainings import images
from unweave.decoupling.training.folder import TrainingFolder
from unweave.errors import MissingExtraError, SettingError


@pytest.fixture
def decoupled():
    return unweave.decouple(Residual(), images().tensors[0][:2], keep=0.5)


def test_a_network_decoupled_and_trained_in_inference_mode(decoupled):
    with torch.inference_mode():
        net = unweave.decouple(Residual(), images().tensors[0][:2])
        before = net.controlled["one.conv1"].convolution.weight.detach().clone()
        table = unweave.fit(net, images(), settings="fine-tune", epochs=1, batch=12)
    assert math.isfinite(table["divergence"][0])
    assert not torch.equal(net.controlled["one.conv1"].convolution.weight, before)
    assert not net.training


def test_what_was_kept_is_read_back(decoupled, tmp_path):
    unweave.fit(decoupled, images(), images(9, 1), run=tmp_path, settings="fine-tune", epochs=2, batch=12)
    loaded = unweave.load_decoupled(Residual(), TrainingFolder(tmp_path).last_file, images().tensors[0][:2])
    with torch.no_grad():
        assert torch.equal(loaded(images().tensors[0]), decoupled(images().tensors[0]))


def test_figures_go_to_tensorboard(decoupled, tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, epoch):
            written.append((name, epoch))
            assert math.isfinite(value)

        def close(self):
            written.append("closed")

    made = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", made)
    unweave.fit(decoupled, images(), run=tmp_path, tensorboard=True, settings="fine-tune", epochs=2, batch=12)
    assert written[0] == (str(tmp_path / "events"), 1)
    assert [one for one in written if one[0] == "loss"] == [("loss", 1), ("loss", 2)]
    assert written[-1] == "closed"


def test_a_missing_tensorboard_is_said_before_work_begins(decoupled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'unweave\[tensorboard\]'"):
        unweave.fit(decoupled, images(), run=tmp_path / "new", tensorboard=True)
    assert not (tmp_path / "new").exists()


def test_a_network_that_was_not_decoupled_is_refused():
    with pytest.raises(SettingError, match=r"fit needs what decouple made, found Residual"):
        unweave.fit(Residual(), images())
