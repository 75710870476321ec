"""Searches in mixed precision beside those in float32, on a network that takes no time."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import precision, precision_pages, study_methods
from tests.benchmarks.test_studies import images, network
from tests.paths.made import sites_of
from unweave.paths import Paths, Rows


def made(*masks):
    sites = sites_of(*(len(mask[0]) for mask in masks))
    tables = (torch.tensor(mask, dtype=torch.bool) for mask in masks)
    return Paths(dict(zip(sites.names, tables, strict=True)), Rows.of_classes([0, 1]), sites, {})


def test_agreement_counts_decisions_and_compares_what_is_kept_site_by_site():
    first = made([[1, 1, 0, 0], [0, 0, 0, 0]], [[1, 0], [1, 1]])
    second = made([[1, 0, 1, 0], [0, 0, 0, 0]], [[1, 0], [0, 1]])
    found = precision.agreement(first, second)
    assert found["same"] == pytest.approx(9 / 12)
    # first site: 1 of 3 channels, both empty; second site: the same, 1 of 2
    assert found["jaccard"] == pytest.approx((1 / 3 + 1 + 1 + 1 / 2) / 4)


@pytest.mark.filterwarnings("ignore:the network classifies no search image")
def test_both_precisions_are_searched_timed_and_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(study_methods, "user_networks", lambda: SimpleNamespace(resnet20=network))
    monkeypatch.setattr(study_methods, "data_of", lambda name: (images(1), images(2)))
    monkeypatch.setattr(precision, "TIMED_PASSES", (1, 2))
    kept = {}
    monkeypatch.setattr(precision, "keep", lambda name, result: kept.update({name: result}))
    options = ["--methods", "released", "--limit", "3", "--passes", "1", "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["precision.py", "resnet20", *options])
    precision.main()
    result = json.loads(json.dumps(kept["precision_resnet20"]))
    searches = result["methods"]["released"]
    assert searches["float32"]["agreement"] == {"same": 1.0, "jaccard": 1.0}
    assert searches["float32, other seed"]["agreement"]["same"] < 1
    folder = tmp_path / "bfloat16" / "resnet20" / "released" / "seed0"
    assert json.loads((folder / "run.json").read_text())["plan"]["precision"] == "bfloat16"
    rounds = result["processor_seconds_a_pass"]["released"]["rounds"]
    assert len(rounds) == precision.ROUNDS
    table = precision_pages.section([{**result, "file": "precision_resnet20.json"}])
    assert [line.split(" | ")[2] for line in table if line.startswith("| resnet20")] == list(searches)
