"""`unweave decouple` on the demo's network and digits."""

import json
import os
import signal
import sys

import pytest

from tests.preloaded import PRELOADED, output_to
from unweave.cli import main
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.trainer import Trainer

SHORT = ("--epochs", "1", "--batch", "64", "--keep", "0.5")


UNFIT = """
def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def another():
    made = three()
    made[0].bias.data += 1
    return made


def strangers():
    return TensorDataset(images().tensors[0], images().tensors[1] + 1)


def blank():
    return TensorDataset(images().tensors[0] / 0, images().tensors[1])
"""


def decouple(unweave, user_file, out, *more):
    """A network of three convolutions, on 40 images and a quarter of the digits."""
    network = f"{user_file}:three"
    return unweave("decouple", network, f"{user_file}:images", "--validation", "digits", "--out", out, *SHORT, *more)


@pytest.fixture
def user_file(user_file):
    with user_file.open("a") as file:
        file.write("\n\ndef three():\n    torch.manual_seed(0)\n    return nn.Sequential(")
        file.write("nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(),")
        file.write("nn.Flatten(), nn.Linear(24, 10))\n")
        file.write(UNFIT)
    return user_file


def test_the_demo_s_network_is_decoupled_trained_and_measured(unweave, tmp_path, monkeypatch):
    from unweave.zoo import models
    from unweave.zoo.digits import train_digits_network

    monkeypatch.setattr(models, "train_digits_network", lambda: train_digits_network(epochs=1))
    out = tmp_path / "run"
    ran = unweave("decouple", "zoo:digits", "digits", "--validation", "digits", "--out", out, *SHORT)
    assert ran.status == 0, ran.err
    assert "1 epochs; on 449 validation images" in ran.out
    lines = [line.split() for line in ran.out.splitlines()]
    original, decoupled = (next(line for line in lines if line[:1] == [name]) for name in ("original", "decoupled"))
    assert original[-3:] == ["3,295,872", "-", "1.000"]
    assert decoupled[-3].replace(",", "").isdigit()
    folder = TrainingFolder(out)
    assert all(file.is_file() for file in (folder.last_file, folder.best_file, folder.checkpoint_file))
    assert folder.read_inputs()["inputs"]["model"] == "zoo:digits"


def test_the_same_command_goes_on_and_a_finished_one_is_read(unweave, user_file, tmp_path):
    first = decouple(unweave, user_file, tmp_path / "run", "--json")
    assert first.status == 0, first.err
    before = TrainingFolder(tmp_path / "run").last_file.read_bytes()
    again = decouple(unweave, user_file, tmp_path / "run", "--json")
    assert json.loads(again.out) == json.loads(first.out)
    assert TrainingFolder(tmp_path / "run").last_file.read_bytes() == before
    found = json.loads(first.out)
    assert found["epochs"] == 1
    assert found["images"] == 449
    assert all((tmp_path / "run").as_posix() in file for file in found["files"])


def test_a_changed_option_or_network_is_refused_by_name(unweave, user_file, tmp_path):
    decouple(unweave, user_file, tmp_path / "run")
    ran = decouple(unweave, user_file, tmp_path / "run", "--sparsity", "0.5")
    assert ran.status == 2
    assert "weights.sparsity = 0.05, this call has 0.5" in ran.err
    ran = decouple(unweave, user_file, tmp_path / "run", "--keep", "0.7")
    assert ran.status == 2
    assert "was begun with keep = 0.5, this call has 0.7" in ran.err
    typed = (f"{user_file}:another", f"{user_file}:images", "--validation", "digits", "--out", tmp_path / "run")
    ran = unweave("decouple", *typed, *SHORT)
    assert ran.status == 2
    assert "this is another network than the training in" in ran.err
    assert "first difference at 'network.0.bias'" in ran.err


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        ("flat", "images", "no 2-D convolutions"),
        ("three", "strangers", "the training labels go up to 10, the network has 10 class scores (0 to 9)"),
        ("three", "blank", "the loss became NaN or infinite in epoch 1, step 1 of 1, "),
    ],
)
def test_networks_and_data_that_do_not_fit_are_one_line_and_leave_no_folder(
    unweave, user_file, tmp_path, network, data, message
):
    out = tmp_path / "run"
    ran = unweave("decouple", f"{user_file}:{network}", f"{user_file}:{data}", "--out", out, *SHORT)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err
    assert not out.exists()


def die_after(steps, printed, typed):
    """The command in a process of its own, which is gone before another step."""
    output_to(printed, printed)
    step, left = Trainer.step, iter(range(steps))

    def dying(*arguments):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)

    Trainer.step = dying
    sys.argv = ["unweave", *typed]
    main.run()


def test_killed_in_the_middle_of_an_epoch_the_same_command_goes_on_to_the_same_bytes(unweave, user_file, tmp_path):
    longer = ("--epochs", "3", "--batch", "8", "--keep", "0.5")  # five steps an epoch
    typed = ["decouple", f"{user_file}:three", f"{user_file}:images", *longer, "--out"]
    killed = PRELOADED.Process(target=die_after, args=(7, tmp_path / "printed", [*typed, str(tmp_path / "killed")]))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, (tmp_path / "printed").read_text()
    assert len(TrainingFolder(tmp_path / "killed").load()[0]["epochs"]) == 1
    used = unweave("paths", tmp_path / "killed", f"{user_file}:images", "--last", "--out", tmp_path / "paths")
    assert used.status == 0, used.err
    for name in ("killed", "whole"):
        ran = unweave(*typed, tmp_path / name)
        assert ran.status == 0, ran.err
    killed, whole = (TrainingFolder(tmp_path / name) for name in ("killed", "whole"))
    assert killed.last_file.read_bytes() == whole.last_file.read_bytes()
    assert killed.checkpoint_file.read_bytes() == whole.checkpoint_file.read_bytes()


def test_a_folder_with_a_network_and_no_paths_names_the_command_that_makes_them(unweave, user_file, tmp_path):
    run = tmp_path / "run"
    assert decouple(unweave, user_file, run).status == 0
    other = tmp_path / "other"  # as it is before anything is begun
    for typed in (("analyse", run), ("report", run), ("analyse", other, "--against", run)):
        ran = unweave(*typed)
        assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert f"{run} holds a decoupled network (unweave decouple made it), no paths yet" in ran.err
        assert f"unweave paths {run} DATA --out PATHS, then give PATHS instead" in ran.err
    made = unweave("paths", run, f"{user_file}:images", "--limit", "2", "--out", tmp_path / "paths")
    assert made.status == 0, made.err
    assert unweave("analyse", tmp_path / "paths", "--measure", "usage").status == 0


def test_a_dry_run_says_what_it_takes_and_writes_nothing(unweave, user_file, tmp_path):
    ran = decouple(unweave, user_file, tmp_path / "run", "--dry-run")
    assert ran.status == 0, ran.err
    assert "40 images x 1 epochs, 1 steps: about" in ran.out
    assert json.loads(decouple(unweave, user_file, tmp_path / "run", "--dry-run", "--json").out)["steps"] == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--settings", "quick"), "no settings 'quick'; there are cifar"),
        (("--keep", "1.5"), "keep must be a share of filters above 0 and at most 1"),
        (("--epochs", "0"), "epochs must be a whole number, at least 1"),
        (("--divergence", "-1"), "the weight divergence must be a finite number, at least 0"),
        (("--augment", "mosaic"), "augment must be none, cifar or imagenet"),
        (("--device", "nowhere"), "device 'nowhere' cannot be used"),
    ],
)
def test_bad_options_are_one_line_and_leave_no_folder(unweave, user_file, tmp_path, more, message):
    ran = decouple(unweave, user_file, tmp_path / "run", *more)
    assert ran.status == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_has_an_example(unweave):
    ran = unweave("decouple", "--help")
    assert "Example: unweave decouple" in " ".join(ran.out.split())
