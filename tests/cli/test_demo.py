"""The demo, as the README gives it: a process of its own, in an empty folder."""

import json
import subprocess
import sys

import pytest
import torch

from unweave.paths import Paths
from unweave.pipeline.demo import run_demo
from unweave.runs.folder import RunFolder
from unweave.zoo.digits import DigitsNetwork


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-c", "from unweave.cli.main import run; run()", "demo", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_network_learns_the_digits(demo):
    assert demo[1]["top1"] > 0.95


def test_every_file_it_names_exists_below_the_demo_folder(demo):
    folder, found = demo
    assert len(found["files"]) > 10
    for file in found["files"]:
        assert file.startswith("unweave-demo/")
        assert (folder / file).stat().st_size > 0


def test_a_report_is_among_them(demo):
    assert "unweave-demo/report.html" in demo[1]["files"]
    assert "Where in the image it looks" in (demo[0] / "unweave-demo" / "report.html").read_text()


def test_the_sub_architectures_load_and_are_ten(demo):
    assert len(Paths.load(demo[0] / "unweave-demo" / "paths.safetensors")) == 10


def test_sub_architectures_answer_their_digits_better_than_random_masks(demo):
    summary = demo[1]["tables"]["specificity"]["summary"]
    assert summary["own"] > 0.95
    assert summary["own"] > summary["random_own"]


def test_the_demo_does_not_write_over_a_search(unweave, tmp_path):
    RunFolder(tmp_path).begin({"asked": {}})
    ran = unweave("demo", "--out", tmp_path)
    assert ran.status == 2
    assert "holds a search of yours; give the demo another folder: --out" in ran.err


def test_the_demo_refuses_a_place_that_cannot_be_written_before_it_trains(unweave, tmp_path):
    (tmp_path / "figures").write_text("in the way")
    ran = unweave("demo", "--out", tmp_path)
    assert ran.status == 2
    assert "figures cannot be written to" in ran.err


def test_a_device_that_is_not_there_is_refused_before_the_demo_trains(unweave, tmp_path):
    ran = unweave("demo", "--out", tmp_path / "demo", "--device", "cuda:99")
    assert ran.status == 2
    assert ran.err.startswith("unweave: device 'cuda:99' cannot be used: ")
    assert not (tmp_path / "demo").exists()


def test_the_demo_takes_its_network_apart_on_the_device_that_is_given(tmp_path, monkeypatch):
    def stop(network, *_, **__):
        raise RuntimeError(str(next(network.parameters()).device))

    monkeypatch.setattr("unweave.pipeline.demo.train_digits_network", lambda seed: DigitsNetwork())
    monkeypatch.setattr("unweave.pipeline.demo.disentangle", stop)
    monkeypatch.setattr("unweave.pipeline.demo.usable_device", lambda device: torch.device("meta"))
    with pytest.raises(RuntimeError, match="meta"):
        run_demo(tmp_path, device="meta")
