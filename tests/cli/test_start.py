"""`unweave disentangle --start`, used as a user would."""

import json

import pytest
import torch

from unweave.paths import Paths
from unweave.search.start import Start

SEARCH = ("--objective", "variational", "--beta", "0.1", "--passes", "1", "--limit-per-class", "4")


@pytest.fixture
def attributed(unweave, user_file, tmp_path):
    """A finished run of `unweave attribute`."""
    folder = tmp_path / "attributed"
    ran = unweave("attribute", f"{user_file}:network", f"{user_file}:images", "--steps", "1", "--out", folder)
    assert ran.status == 0, ran.err
    return folder


@pytest.fixture
def disentangle(unweave, user_file, tmp_path):
    """`unweave disentangle` of the user's network and images, with `--start`."""

    def run(start, *arguments, network="network"):
        typed = (f"{user_file}:{network}", f"{user_file}:images", "--out", tmp_path / "run", "--start", start)
        return unweave("disentangle", *typed, *SEARCH, *arguments)

    return run


@pytest.mark.parametrize("place", ["", "paths.safetensors"], ids=["a run", "a file"])
def test_search_begins_with_the_paths_of(disentangle, attributed, tmp_path, place):
    ran = disentangle(attributed / place, "--rate", "1e-6")
    assert ran.status == 0, ran.err
    start = Start.of(Paths.load(attributed / "paths.safetensors"))
    found = Paths.load(tmp_path / "run" / "paths.safetensors")
    assert all(torch.allclose(scores, start.tables[name], atol=1e-4) for name, scores in found.scores.items())


def test_run_and_result_record_the_start(disentangle, attributed, tmp_path):
    assert disentangle(attributed).status == 0
    fingerprint = Start.of(Paths.load(attributed / "paths.safetensors")).fingerprint()
    noted = Paths.load(tmp_path / "run" / "paths.safetensors").manifest["start"]
    assert noted == {"method": "attribute", "fingerprint": fingerprint}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["asked"]["start"] == fingerprint


def test_another_start_is_refused_by_a_run_that_was_begun(unweave, user_file, disentangle, attributed, tmp_path):
    assert disentangle(attributed).status == 0
    typed = (f"{user_file}:network", f"{user_file}:images", "--of", "logit", "--steps", "1")
    assert unweave("attribute", *typed, "--out", tmp_path / "other").status == 0
    ran = disentangle(tmp_path / "other")
    assert ran.status == 2
    assert "start" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("start", "arguments", "message"),
    [
        ("nowhere", (), "no paths at 'nowhere' to start from; give random, attribution, or a run folder or paths file"),
        ("{folder}", (), "its search has not finished"),
        ("{file}", (), "mine.py"),
        ("{attributed}", ("--level", "0/conv2d:0"), "lack site"),
    ],
)
def test_a_start_that_cannot_be_used_is_one_line(
    disentangle, user_file, attributed, tmp_path, start, arguments, message
):
    ran = disentangle(start.format(folder=tmp_path, file=user_file, attributed=attributed), *arguments)
    assert ran.status == 2
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_paths_of_another_network_are_refused(disentangle, attributed):
    ran = disentangle(attributed, network="infinite")
    assert ran.status == 2
    assert len(ran.err.strip().splitlines()) == 1
    assert "0.bias" in ran.err
