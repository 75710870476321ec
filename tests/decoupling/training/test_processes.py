"""Several processes that train one network: the same weights in all, the first one writes."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.processes import Processes
from unweave.errors import SettingError

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from safetensors.torch import save_file
from tests.decoupling.training.trainings import images, training
folder, own = sys.argv[1:]
made = training(folder, data=images(10))
table = made.run()
save_file(dict(made.net.state_dict()), own)
print(table.summary["accuracy"], made.steps)
"""


def test_two_processes_train_the_same_weights(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # What torchrun sets; started by hand, because its agent would import torch a third time.
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "run"), str(tmp_path / f"{rank}.safetensors")],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ended = [process.communicate(timeout=250) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    assert ended[0][0] == ended[1][0]
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
    from tests.decoupling.training.trainings import training

    monkeypatch.setattr(Processes, "found", classmethod(lambda cls: cls(0, 3)))
    with pytest.raises(SettingError, match="a batch of 8 cannot be shared equally by 3 processes"):
        training()
