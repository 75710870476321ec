"""`unweave route`, used as a user would."""

import json

import pytest
import torch

from tests.cli.conftest import copied, finished
from tests.search.interrupted import Countdown
from unweave.paths import Paths
from unweave.search import routing

FEW = ("--limit", "6", "--steps", "3", "--weight", "0.5")


@pytest.fixture
def route(unweave, user_file):
    """`unweave route` of the user's network and images."""

    def run(*arguments):
        return unweave("route", f"{user_file}:network", f"{user_file}:images", *arguments)

    return run


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("routed"), "route", "{file}:network", "{file}:images", *FEW)


@pytest.fixture
def run(routed, user_file, tmp_path):
    """The folder of a finished run of the user's file."""
    return copied(routed, tmp_path)


def test_paths_and_inputs_are_written(run):
    paths = Paths.load(run / "paths.safetensors")
    assert (paths.rows.kind, paths.rows.names) == ("input", ("0", "7", "15", "23", "31", "39"))
    assert paths.rows.labels == (0, 7, 5, 3, 1, 9)
    assert all(torch.equal(paths.scores[name] > 0, mask) for name, mask in paths.masks.items())
    assert paths.manifest["settings"]["weight"] == 0.5
    assert paths.manifest["inputs"]["model"] == "mine.py:network"
    assert json.loads((run / "inputs.json").read_text())["inputs"]["model"].endswith("/mine.py:network")


def test_the_table_shows_mean_channels_kept_and_predictions_kept(route, tmp_path):
    run = tmp_path / "run"
    ran = route("--out", run, *FEW)
    assert ran.status == 0, ran.err
    lines = [line.split() for line in ran.out.splitlines()]
    masks = Paths.load(run / "paths.safetensors").masks
    assert lines[0] == ["Paths", "of", "6", "inputs"]
    for site, channels in (("1/relu:0", 6), ("3/relu:0", 8)):
        kept = masks[site].sum(1).double().mean()
        assert [site, str(channels), f"{kept:.1f}", f"{100 * kept / channels:.1f}", "%"] in lines
    assert "The gates keep every input's prediction" in ran.out
    assert f"Next: unweave analyse {run}" in ran.out
    assert ran.err == ""


def test_json_is_one_object_with_what_the_paths_say(route, tmp_path):
    found = json.loads(route("--out", tmp_path / "run", *FEW, "--json").out)
    paths = Paths.load(tmp_path / "run" / "paths.safetensors")
    assert (found["inputs"], found["damaged"]) == (6, 0)
    counts = [float(mask.sum(1).double().mean()) for mask in paths.masks.values()]
    assert list(found["channels"].values()) == pytest.approx(counts)
    assert found["masks_keep_prediction"] == paths.manifest["masks_keep_prediction"]
    assert found["all_gates_open"] == paths.manifest["all_gates_open"]
    assert found["files"] == [str(tmp_path / "run" / name) for name in ("paths.safetensors", "inputs.json")]


def test_the_same_command_again_reads_what_is_there(route, tmp_path):
    run = tmp_path / "run"
    ran = route("--out", run, *FEW)
    before = (run / "paths.safetensors").read_bytes()
    again = route("--out", run, *FEW)
    assert (again.status, again.out) == (0, ran.out)
    assert again.err == f"unweave: {run} holds these paths already, finished\n"
    assert (run / "paths.safetensors").read_bytes() == before


def test_an_interrupted_command_goes_on_to_the_same_bytes(route, tmp_path, monkeypatch):
    batched = (*FEW, "--batch", "2")
    assert route("--out", tmp_path / "whole", *batched).status == 0
    counted = Countdown(stop_at=2, error=KeyboardInterrupt)
    monkeypatch.setattr(routing, "find_routes", counted.wrapped(routing.find_routes))
    stopped = route("--out", tmp_path / "run", *batched)
    assert (stopped.status, stopped.out) == (130, "")
    assert "repeat the command to go on" in stopped.err
    counted.restart()
    assert route("--out", tmp_path / "run", *batched).status == 0
    assert counted.calls == 1
    whole, resumed = ((tmp_path / name / "paths.safetensors").read_bytes() for name in ("whole", "run"))
    assert resumed == whole


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(route, tmp_path):
    assert route("--out", tmp_path / "run", *FEW, "--dry-run").out.startswith("6 inputs x 3 steps: about ")
    found = json.loads(route("--out", tmp_path / "run", *FEW, "--dry-run", "--json").out)
    assert (found["inputs"], found["steps"]) == (6, 3)
    assert min(found["seconds"], found["disk"]) > 0
    assert not (tmp_path / "run").exists()


def test_a_dry_run_of_finished_paths_has_nothing_to_do_and_writes_nothing(route, run):
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    assert route("--out", run, *FEW, "--dry-run").out == "nothing is left to do\n"
    assert json.loads(route("--out", run, *FEW, "--dry-run", "--json").out)["seconds"] == 0
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


def test_level_names_the_sites(route, tmp_path):
    ran = route("--out", tmp_path / "run", *FEW, "--level", "1/relu:0")
    assert ran.status == 0, ran.err
    assert Paths.load(tmp_path / "run" / "paths.safetensors").sites.names == ("1/relu:0",)


@pytest.mark.parametrize(("part", "last"), [((), "448"), (("--train",), "1347")])
def test_train_chooses_the_part(unweave, user_file, tmp_path, part, last):
    ran = unweave("route", f"{user_file}:network", "digits", *part, "--out", tmp_path / "run", *FEW)
    assert ran.status == 0, ran.err
    assert Paths.load(tmp_path / "run" / "paths.safetensors").rows.names[-1] == last


def test_analyse_reads_the_run(unweave, run):
    ran = unweave("analyse", run, "--measure", "usage", "--json")
    assert ran.status == 0, ran.err
    shares = json.loads(ran.out)["tables"]["usage"]["columns"]["usage"]
    assert shares == pytest.approx(Paths.load(run / "paths.safetensors").kept().mean(0).tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", 0), "steps must be a whole number of at least 1, found 0"),
        (("--rate", 0), "rate must be above 0"),
        (("--bound", 0.5), "bound must be a number of at least 1"),
        (("--limit", 0), "limit must be a whole number of at least 1, found 0"),
        (("--batch", 0), "batch must be a whole number of at least 1, found 0"),
        (("--level", "blocks"), "no level 'blocks'"),
        (("--level", "9/relu:0"), "no site '9/relu:0'"),
        (("--device", "moon"), "device 'moon'"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_status_2_and_writes_nothing(route, tmp_path, options, message):
    ran = route("--out", tmp_path / "run", *options)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert message in ran.err
    assert not (tmp_path / "run").exists()


def test_a_changed_setting_is_refused_by_name(route, run):
    ran = route("--out", run, *FEW, "--rate", 0.2)
    assert (ran.status, ran.out) == (2, "")
    assert "was begun with rate = 0.1, this call has 0.2" in ran.err


def test_nan_names_the_site(route, user_file, tmp_path):
    images = "def images():\n    return TensorDataset(torch.full((3, 1, 8, 8), torch.nan), torch.arange(3))\n"
    user_file.write_text(user_file.read_text() + images)
    ran = route("--out", tmp_path / "run")
    assert ran.status == 2
    assert "first at site '1/relu:0'" in ran.err
    assert not (tmp_path / "run").exists()
