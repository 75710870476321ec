"""`unweave disentangle`: how a search goes through its rows, as typed, and in its plan."""

import json

import pytest

SEARCH = (
    "--objective",
    "variational",
    "--beta",
    "0.1",
    "--passes",
    "1",
    "--limit-per-class",
    "1",
    "--classes",
    "0,1,2",
)
TYPED = ("--threads", 2, "--classes-per-shard", 2, "--rows-per-batch", 1)


@pytest.fixture
def disentangle(unweave, user_file, tmp_path):
    """`unweave disentangle` of the user's network and images."""

    def run(*arguments):
        inputs = (f"{user_file}:network", f"{user_file}:images", "--out", tmp_path / "run")
        return unweave("disentangle", *inputs, *SEARCH, *arguments)

    return run


def planned(folder):
    plan = json.loads((folder / "run.json").read_text())["plan"]
    return tuple(plan[name] for name in ("threads", "classes_per_shard", "rows_per_batch", "kept"))


def test_what_is_typed_is_the_plan_which_the_run_keeps(disentangle, tmp_path):
    assert disentangle(*TYPED, "--keep-activations").status == 0
    assert planned(tmp_path / "run") == (2, 2, 1, True)
    (tmp_path / "run" / "paths.safetensors").unlink()
    ran = disentangle("--threads", 1)
    assert ran.status == 0, ran.err
    assert (
        "goes on by the plan that it was begun with: 3 rows in 2 shards, 1 a batch, threads of a worker: 2" in ran.err
    )
    assert planned(tmp_path / "run") == (2, 2, 1, True)


def test_a_dry_run_shows_the_plan(disentangle, tmp_path):
    found = json.loads(disentangle(*TYPED, "--no-keep-activations", "--dry-run", "--json").out)["plan"]
    assert found == {"threads": 2, "classes_per_shard": 2, "rows_per_batch": 1, "keep_activations": False}
    words = "plan: 3 rows in 2 shards, 1 a batch, threads of a worker: 2, activations kept"
    assert disentangle(*TYPED, "--keep-activations", "--dry-run").out.splitlines()[-1] == words
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threads", 0), "Invalid value for '--threads'"),
        (("--classes-per-shard", 0), "Invalid value for '--classes-per-shard'"),
        (("--rows-per-batch", 0), "Invalid value for '--rows-per-batch'"),
        (("--keep-activations", "--augment", "mild"), "keep_activations needs augment='none'"),
    ],
)
def test_what_cannot_be_planned_is_one_line(disentangle, tmp_path, arguments, message):
    ran = disentangle(*arguments)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert message in ran.err
    assert not (tmp_path / "run").exists()
