"""`unweave bench`, used as a user would."""

import json

import pytest

from unweave.errors import PlantedError
from unweave.pipeline import planted_bench as module
from unweave.planted import plant

BENCH = ("bench", "planted", "--kind", "plain", "--classes", "4", "--accepted", "1")


@pytest.fixture(autouse=True)
def planting(monkeypatch):
    asked = []

    def small(kind, classes, seed):
        asked.append(seed)
        if seed == 0:
            raise PlantedError("not fair")
        return plant(kind, classes, seed=seed, images_per_class=40)

    monkeypatch.setattr(module, "plant", small)
    return asked


def test_planted_writes_tables_and_a_figure(unweave, tmp_path):
    ran = unweave(*BENCH, "--out", tmp_path, "--json", "--method", "mean activation", "--method", "attribute, logit")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["table"]["columns"]["method"] == ["mean activation", "attribute, logit"]
    assert found["refused"]["columns"]["seed"] == [0]
    names = {"planted.csv", "planted_runs.json", "planted_refused.csv", "planted.png"}
    assert {file.name for file in tmp_path.iterdir()} >= names


def test_planted_prints_what_it_finds_and_goes_on_in_its_work_folder(unweave, tmp_path, planting):
    command = (*BENCH, "--out", tmp_path / "out", "--work", tmp_path / "work", "--method", "mean activation")
    first, again = unweave(*command), unweave(*command)
    assert first.status == 0, first.err
    lines = first.out.splitlines()
    assert lines[0] == "plain, seed 0, is left out: not fair"
    assert lines[1].startswith("plain          seed 1    mean activation")
    assert "planted_refused.csv: plain seed 0" in first.out.replace("\n", "")
    assert again.out == first.out
    assert planting == [0, 1]


def test_the_first_seed_can_be_told(unweave, tmp_path, planting):
    ran = unweave(*BENCH, "--out", tmp_path, "--json", "--method", "mean activation", "--first-seed", "1")
    assert ran.status == 0, ran.err
    assert planting == [1]


def test_no_network_asked_for_is_refused(unweave, tmp_path):
    ran = unweave("bench", "planted", "--out", tmp_path, "--accepted", "0")
    assert ran.status == 2
    assert "--accepted must be at least 1" in ran.err


def test_an_unknown_method_is_refused_in_one_line_and_leaves_no_folder(unweave, tmp_path):
    ran = unweave("bench", "planted", "--out", tmp_path / "out", "--method", "guess")
    assert ran.status == 2
    assert "no method 'guess'; there are default" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused_before_work_begins(unweave, tmp_path, planting):
    (tmp_path / "out").touch()
    ran = unweave(*BENCH, "--out", tmp_path / "out", "--method", "mean activation")
    assert ran.status == 2
    assert "out cannot be written to (Not a directory)" in ran.err.replace("\n", "")
    assert planting == []
