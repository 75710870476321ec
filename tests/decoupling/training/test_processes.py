"""Several processes that train one network: the same weights in all, the first one writes."""

import os
import pickle
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.decoupling.training.trainings import images, training
from tests.preloaded import PRELOADED, output_to
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.processes import Processes
from unweave.errors import SettingError


def train(place, rank, port):
    """Process `rank` of two. What torchrun sets is set by hand, because its agent would import torch once more."""
    output_to(place / f"{rank}.out", place / f"{rank}.err")
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update({**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
    torch.set_num_threads(1)
    made = training(place / "run", data=images(10))
    table = made.run()
    save_file(dict(made.net.state_dict()), place / f"{rank}.safetensors")
    os.write(1, f"{table.summary['accuracy']} {made.steps}".encode())


def test_two_processes_train_the_same_weights(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [PRELOADED.Process(target=train, args=(tmp_path, rank, port), daemon=True) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(250)
    complaints = [(tmp_path / f"{rank}.err").read_text() for rank in range(2)]
    assert [process.exitcode for process in started] == [0, 0], complaints
    printed, other = ((tmp_path / f"{rank}.out").read_text() for rank in range(2))
    assert printed == other != ""
    one, other = ((tmp_path / f"{rank}.safetensors").read_bytes() for rank in range(2))
    assert one == other
    folder = TrainingFolder(tmp_path / "run")
    assert load_file(folder.last_file).keys() == load_file(tmp_path / "0.safetensors").keys()
    assert [event["event"] for event in folder.journal.read()] == ["begun", *["epoch"] * 3, "finished"]
    assert folder.journal.read()[0]["processes"] == 2


class UnsendableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


@pytest.fixture
def exchanged(monkeypatch):
    """What the first process sends arrives in the others, one after the other here."""
    sent = []

    def broadcast(objects):
        if sent:
            objects[:] = pickle.loads(sent[0])
        else:
            sent.append(pickle.dumps(objects))

    monkeypatch.setattr("torch.distributed.broadcast_object_list", broadcast)
    return sent


@pytest.mark.parametrize(
    ("error", "arrives"),
    [(KeyError("gone"), KeyError), (UnsendableError("no", "way"), RuntimeError), (SettingError("no"), SettingError)],
)
@pytest.mark.usefixtures("exchanged")
def test_whatever_the_first_process_raises_the_others_raise(error, arrives):
    def fail():
        raise error

    with pytest.raises(type(error)):
        Processes(0, 2).from_first(fail)
    with pytest.raises(arrives, match=str(error.args[0])):
        Processes(1, 2).from_first(fail)


@pytest.mark.usefixtures("exchanged")
def test_what_the_first_process_finds_the_others_get():
    assert [Processes(rank, 2).from_first(lambda rank=rank: 7 + rank) for rank in range(2)] == [7, 7]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not usable"),
        ({"WORLD_SIZE": "two"}, "RANK is not usable"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is 2 of WORLD_SIZE 2"),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(monkeypatch, environment, message):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=message):
        Processes.found()


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Processes.found() == Processes(0, 1, 0)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr(Processes, "found", classmethod(lambda cls: cls(0, 3)))
    with pytest.raises(SettingError, match="a batch of 8 cannot be shared equally by 3 processes"):
        training()
