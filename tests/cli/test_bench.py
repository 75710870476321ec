"""`unweave bench`, used as a user would."""

import json

from unweave.pipeline import planted_bench as module
from unweave.planted import plant


def test_planted_writes_tables_and_a_figure(unweave, tmp_path, monkeypatch):
    monkeypatch.setattr(
        module, "plant", lambda kind, classes, seed: plant(kind, classes, seed=seed, images_per_class=40)
    )
    ran = unweave(
        "bench", "planted", "--out", tmp_path, "--kind", "plain", "--classes", "4", "--seeds", "1", "--json",
        "--method", "mean activation", "--method", "attribute, logit",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["table"]["columns"]["method"] == ["mean activation", "attribute, logit"]
    assert {file.name for file in tmp_path.iterdir()} >= {"planted.csv", "planted_runs.json", "planted.png"}


def test_an_unknown_method_is_refused_in_one_line(unweave, tmp_path):
    ran = unweave("bench", "planted", "--out", tmp_path, "--method", "guess")
    assert ran.status == 2
    assert "no method 'guess'; there are default" in ran.err
