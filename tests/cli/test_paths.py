"""`unweave paths`: the paths of inputs through a network that `unweave decouple` wrote, as a run."""

import json
import shutil

import pytest
import torch

from tests.cli.conftest import USER_FILE
from unweave.decoupling.network import decouple
from unweave.decoupling.training.folder import TrainingFolder
from unweave.paths import Paths
from unweave.pipeline.inputs import Inputs
from unweave.zoo.user_file import result_in_file

NETWORK = """
def decoupled_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What training leaves: the network, and how it is opened; three of its six filters are selected by all inputs."""
    folder = tmp_path_factory.mktemp("decoupled")
    (folder / "mine.py").write_text(USER_FILE + NETWORK)
    net = decouple(result_in_file(f"{folder}/mine.py:decoupled_network"), torch.zeros(2, 1, 8, 8))
    with torch.no_grad():
        net.controlled["2"].controller.expand.bias.copy_(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
    training = TrainingFolder(folder / "run")
    training.root.mkdir()
    net.save(training.last_file)
    inputs = Inputs(f"{folder}/mine.py:decoupled_network", "digits")
    training.write_inputs({"inputs": inputs.as_settings(), "seed": 0})
    return training.root


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "decoupled")


def test_paths_are_written_as_a_run_that_can_be_measured(unweave, run, tmp_path):
    ran = unweave("paths", run, "digits", "--out", tmp_path / "out", "--limit", 30, "--json")
    found = json.loads(ran.out)
    assert (found["inputs"], found["different_paths"], found["damaged"]) == (30, 1, 0)
    assert found["channels"] == {"network.2/mul:0": 3.0}
    paths = Paths.load(tmp_path / "out" / "paths.safetensors")
    assert paths.masks["network.2/mul:0"].tolist() == [[True, False] * 3] * 30
    right = sum(a == b for a, b in zip(paths.rows.labels, paths.rows.predictions, strict=True))
    assert found["accuracy"] == pytest.approx(right / 30)
    states = json.loads(unweave("analyse", tmp_path / "out", "--measure", "filter_states", "--json").out)
    assert states["tables"]["filter_states"]["columns"]["silent"] == [3]


def test_the_same_call_again_writes_the_same_and_another_is_refused(unweave, run, tmp_path):
    out = tmp_path / "out"
    assert unweave("paths", run, "digits", "--out", out, "--limit", 8).status == 0
    before = (out / "paths.safetensors").read_bytes()
    assert "Paths of 8 inputs, 1 different ones" in unweave("paths", run, "digits", "--out", out, "--limit", 8).out
    assert (out / "paths.safetensors").read_bytes() == before
    ran = unweave("paths", run, "digits", "--out", out, "--limit", 9)
    assert ran.status == 2
    assert "was begun with other given images: 8 of" in ran.err
    assert (out / "paths.safetensors").read_bytes() == before


@pytest.mark.filterwarnings("always:no filter is selected")
def test_a_layer_that_selects_no_filter_is_counted_and_said(unweave, run, tmp_path):
    folder = TrainingFolder(run)
    net = decouple(result_in_file(folder.read_inputs()["inputs"]["model"]), torch.zeros(2, 1, 8, 8))
    torch.nn.init.constant_(net.controlled["2"].controller.expand.bias, -1.0)
    net.save(folder.last_file)
    ran = unweave("paths", run, "digits", "--out", tmp_path / "out", "--limit", 5, "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["inputs_without_filters"] == {"network.2/mul:0": 5}
    assert "unweave: warning: no filter is selected in network.2/mul:0 for 5 of 5 inputs" in ran.err


def test_masks_alone_take_less_space(unweave, run, tmp_path):
    assert unweave("paths", run, "digits", "--out", tmp_path / "out", "--limit", 4, "--no-scores").status == 0
    assert Paths.load(tmp_path / "out" / "paths.safetensors").scores is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "last.safetensors").unlink(), "has no last.safetensors: no epoch"),
        (lambda run: (run / "last.safetensors").write_bytes(b"{"), "last.safetensors"),
        (
            lambda run: (run / "inputs.json").unlink(),
            "(no inputs.json); make one with unweave decouple",
        ),
    ],
)
def test_a_folder_without_a_network_is_one_line(unweave, run, tmp_path, damage, message):
    damage(run)
    ran = unweave("paths", run, "digits", "--out", tmp_path / "out")
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_command_is_left_alone(unweave, run):
    TrainingFolder(run).begin({"asked": {"epochs": 3}})
    ran = unweave("paths", run, "digits", "--out", run)
    assert ran.status == 2
    assert "holds a run of another command; give another folder: --out" in ran.err
    assert not (run / "paths.safetensors").exists()
