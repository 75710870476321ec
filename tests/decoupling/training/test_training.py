"""Training: what is learned, that it goes on where it stopped to the same bytes, and what it refuses."""

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.decoupling.training.trainings import SETTINGS, Scratched, images, net, training
from tests.search.interrupted import Countdown, Stopped
from unweave.decoupling import tensor_file
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.losses import Weights
from unweave.decoupling.training.measurement import Measured
from unweave.decoupling.training.trainer import Trainer
from unweave.errors import DataError, MismatchError, NumericError, RunError, SettingError


def changed(**changes):
    return dataclasses.replace(SETTINGS, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing interrupted."""
    folder = TrainingFolder(tmp_path_factory.mktemp("whole"))
    return folder, training(folder.root).run()


def test_training_lowers_the_loss_and_closes_gates_towards_keep():
    settings = changed(epochs=25, augment="none", weights=Weights(sparsity=0.5))
    table = training(settings=settings, validation=False).run()
    assert table["cross_entropy"][-1] < 0.9 * table["cross_entropy"][0]
    assert table["gates_in_training"][0] > 0.7
    assert table["gates_in_training"][-1] == pytest.approx(0.5, abs=0.1)
    assert table.summary["measured_on"] == "training"


def test_an_epoch_is_a_row_with_the_rate_that_it_had(whole):
    _, table = whole
    assert table["epoch"] == (1, 2, 3)
    assert table["rate"] == pytest.approx((0.05, 0.05, 0.005))  # half of three epochs is over after the second


def test_the_summary_is_of_the_network_that_is_left(whole):
    folder, table = whole
    found = training(folder.root)
    found.run()
    data = images(12, seed=1)
    values, labels = data.tensors
    with torch.no_grad():
        scores = found.net(values)
    assert table.summary["accuracy"] == pytest.approx((scores.argmax(1) == labels).double().mean().item())
    opened = torch.cat(list(found.net.gates(values).values()), 1).mean().item()
    assert table.summary["gates_open"] == pytest.approx(opened)
    taken = found.net.multiply_accumulates(values)
    assert table.summary["multiply_accumulates"] == pytest.approx(taken.total.double().mean().item())
    assert table.summary["original_multiply_accumulates"] == taken.dense
    with torch.no_grad():
        original = net().plain()(values)
    assert table.summary["original_accuracy"] == pytest.approx((original.argmax(1) == labels).double().mean().item())


def test_files_are_written_and_the_journal_has_a_line_an_epoch(whole):
    folder, table = whole
    events = [event for event in folder.journal.read() if event["event"] == "epoch"]
    assert [event["epoch"] for event in events] == [1, 2, 3]
    assert events[-1]["gates_open"] == table["gates_open"][-1]
    assert folder.journal.read()[-1]["multiply_accumulates"] == table.summary["multiply_accumulates"]
    assert json.loads(folder.table("training").with_suffix(".json").read_text())["columns"]["epoch"] == [1, 2, 3]


def test_best_is_the_first_epoch_with_the_highest_validation_accuracy(tmp_path, monkeypatch):
    accuracies = iter([0.1, 0.2, 0.9, 0.9, 0.9])

    def measured(*arguments, **keywords):
        return Measured(next(accuracies), 1.0)

    monkeypatch.setattr("unweave.decoupling.training.training.measure", measured)
    saved = []
    monkeypatch.setattr("unweave.decoupling.network.DecoupledNetwork.save", lambda self, file: saved.append(file.name))
    table = training(tmp_path).run()  # the first accuracy is the original's, the last that of the summary
    assert saved == ["best.safetensors", "last.safetensors"] * 2 + ["last.safetensors"]
    assert table.summary["best_epoch"] == 2


def test_stopped_in_the_second_epoch_it_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch):
    folder, _ = whole
    steps = Countdown(stop_at=4)  # three steps an epoch
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", steps.wrapped(Trainer.step))
        with pytest.raises(Stopped):
            training(tmp_path).run()
    assert len(TrainingFolder(tmp_path).load()[0]["epochs"]) == 1
    assert training(tmp_path).begun
    training(tmp_path).run()
    _assert_same(folder, TrainingFolder(tmp_path))
    events = [event["event"] for event in TrainingFolder(tmp_path).journal.read()]
    assert events == ["begun", "epoch", "resumed", "epoch", "epoch", "finished"]


@pytest.mark.parametrize("stop_at", [0, 2, 3, 4, 5, 7])
def test_stopped_in_any_write_it_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch, stop_at):
    folder, _ = whole
    with monkeypatch.context() as patched:
        patched.setattr(tensor_file, "save_file", Countdown(stop_at).wrapped(tensor_file.save_file))
        with pytest.raises(Stopped):
            training(tmp_path).run()
    training(tmp_path).run()
    _assert_same(folder, TrainingFolder(tmp_path))


def test_a_finished_training_is_read_not_made_again(whole, monkeypatch):
    folder, table = whole
    monkeypatch.setattr(Trainer, "step", Countdown(0).wrapped(None))
    again = training(folder.root)
    assert again.run().as_dict() == table.as_dict()
    saved = load_file(folder.last_file)
    assert all(torch.equal(saved[name], value) for name, value in again.net.state_dict().items())


def test_a_disk_that_is_full_is_said_and_what_was_kept_stays(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(tensor_file, "save_file", Countdown(4, OSError).wrapped(tensor_file.save_file))
        with pytest.raises(RunError, match=r"(last|checkpoint)\.safetensors cannot be written"):
            training(tmp_path).run()
    assert len(TrainingFolder(tmp_path).load()[0]["epochs"]) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"settings": changed(rate=0.1)}, "begun with rate = 0.05, this call has 0.1"),
        ({"settings": changed(weights=Weights(divergence=1.0))}, "begun with weights.divergence = 0.01"),
        ({"keep": 0.7}, "begun with keep = 0.5, this call has 0.7"),
        ({"data": images(seed=4)}, "other training images"),
        ({"validation": False}, "other validation images: 12 of 3 classes"),
    ],
)
def test_a_folder_of_another_training_is_refused(whole, asked, message):
    folder, _ = whole
    with pytest.raises(RunError, match=message):
        training(folder.root, **asked)


def test_a_folder_of_another_network_is_refused(whole, monkeypatch):
    folder, _ = whole
    other = net()
    torch.nn.init.zeros_(other.network.last.weight)
    monkeypatch.setattr("tests.decoupling.training.trainings.net", lambda keep: other)
    with pytest.raises(MismatchError, match=r"'network\.last\.weight'"):
        training(folder.root)


def test_a_folder_of_a_search_is_refused(tmp_path):
    TrainingFolder(tmp_path).begin({"asked": {}, "network": {}, "data": {}})
    with pytest.raises(RunError, match="holds another kind of run"):
        training(tmp_path)


def test_a_damaged_checkpoint_is_refused(whole, tmp_path):
    folder, _ = whole
    there = TrainingFolder(tmp_path)
    there.record_file.write_bytes(folder.record_file.read_bytes())
    content = bytearray(folder.checkpoint_file.read_bytes())
    content[-3] ^= 1
    there.checkpoint_file.write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is damaged"):
        training(tmp_path).run()


def test_a_checkpoint_of_something_else_is_refused(whole, tmp_path):
    there = TrainingFolder(tmp_path)
    there.record_file.write_bytes(whole[0].record_file.read_bytes())
    save_file({"weight": torch.zeros(1)}, there.checkpoint_file)
    with pytest.raises(RunError, match="holds no training checkpoint"):
        training(tmp_path).run()


def test_a_second_process_is_refused(tmp_path):
    with TrainingFolder(tmp_path).opened(), pytest.raises(RunError, match="another process is working"):
        training(tmp_path).run()


def test_a_training_that_fails_at_once_leaves_no_folder(tmp_path):
    with pytest.raises(NumericError):
        training(tmp_path / "new", data=_with_nan()).run()
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_layer(tmp_path, monkeypatch):
    made = training(tmp_path, validation=False)
    step, calls = Trainer.step, []

    def poisoned(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            with torch.no_grad():
                self.net.controlled["third"].convolution.bias[0] = math.inf
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(
        NumericError, match=r"epoch 2, step 2 of 3, first in layer 'third'; .*checkpoint.* keeps epoch 1"
    ):
        made.run()
    assert len(TrainingFolder(tmp_path).load()[0]["epochs"]) == 1


def test_weights_that_the_last_step_of_an_epoch_ruins_are_not_kept(tmp_path, monkeypatch):
    step, calls = Trainer.step, []

    def ruining(self, *arguments):
        calls.append(1)
        found = step(self, *arguments)
        if len(calls) == 6:
            with torch.no_grad():
                self.net.network.classifier.weight[0, 0] = math.nan
        return found

    monkeypatch.setattr(Trainer, "step", ruining)
    with pytest.raises(NumericError, match=r"last step of epoch 2: 'network.classifier.weight'"):
        training(tmp_path, validation=False).run()
    assert len(TrainingFolder(tmp_path).load()[0]["epochs"]) == 1


def _with_nan():
    data = images()
    data.tensors[0][7] = math.nan
    return data


def test_damaged_images_are_left_out_and_counted():
    table = training(data=Scratched(), settings=changed(epochs=1), validation=False).run()
    assert table.summary["damaged_images"] == 1


@pytest.mark.parametrize("kept", [True, False])
def test_images_that_are_kept_train_the_same_network(whole, kept):
    made = training(keep_images=kept)
    made.run()
    saved = load_file(whole[0].last_file)
    assert all(torch.equal(saved[name], value) for name, value in made.net.state_dict().items())


def test_mixed_precision_trains_weights_in_float32():
    made = training(settings=changed(epochs=1, precision="bfloat16"), validation=False)
    before = made.net.network.last.weight.clone()
    table = made.run()
    assert math.isfinite(table["loss"][0])
    assert made.net.network.last.weight.dtype == torch.float32
    assert not torch.equal(made.net.network.last.weight, before)
    exact = training(settings=changed(epochs=1), validation=False).run()
    assert table["loss"] != exact["loss"]
    assert table["loss"][0] == pytest.approx(exact["loss"][0], rel=0.05)


def test_the_random_state_is_left_as_it_was():
    before = torch.random.get_rng_state()
    training(settings=changed(epochs=1), validation=False).run()
    assert torch.equal(torch.random.get_rng_state(), before)


def _labels(highest):
    data = images()
    data.tensors[1][3] = highest
    return data


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"data": _labels(3)}, DataError, r"training labels go up to 3, the network has 3 class scores \(0 to 2\)"),
        ({"validation": _labels(9)}, DataError, "validation labels go up to 9"),
        ({"data": images(1)}, DataError, "1 training images are too few"),
        ({"tensorboard": True}, SettingError, "tensorboard needs run="),
        ({"device": "nowhere"}, SettingError, "device 'nowhere' cannot be used"),
    ],
)
def test_bad_input_is_refused_before_work_begins(asked, error, message):
    with pytest.raises(error, match=message):
        training(**asked)


def test_there_may_be_fewer_images_than_classes():
    data = torch.utils.data.TensorDataset(images().tensors[0][:2], torch.tensor([2, 2]))
    assert training(data=data).steps == 1


def test_images_of_another_shape_are_refused():
    data = torch.utils.data.TensorDataset(torch.zeros(6, 3, 4, 4), torch.arange(6) % 3)
    with pytest.raises(DataError, match=r"for images of shape \(3, 8, 8\), the training images have \(3, 4, 4\)"):
        training(data=data)


def test_what_a_training_takes_is_estimated_without_changing_the_network():
    made = training()
    before = {name: value.clone() for name, value in made.net.state_dict().items()}
    cost = made.cost()
    assert (cost.images, cost.epochs, cost.steps) == (24, 3, 9)
    assert cost.seconds > 0
    assert str(cost).startswith("24 images x 3 epochs, 9 steps: about ")
    assert all(torch.equal(before[name], value) for name, value in made.net.state_dict().items())


def test_images_for_which_a_layer_selects_no_filter_are_counted(monkeypatch):
    made = training(settings=changed(epochs=1, rate=1e-9), validation=False)
    torch.nn.init.constant_(made.net.controlled["third"].controller.expand.bias, -5.0)
    assert made.run().summary["images_with_an_empty_layer"] == 24


def _assert_same(one, other):
    for name in ("last_file", "best_file", "checkpoint_file"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes(), name
