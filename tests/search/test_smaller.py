"""A shard that runs out of memory is searched anew with half the rows a batch, once; the plan keeps that."""

import json

import pytest

from tests.search.interrupted import ELBOW, SmallSearches
from unweave.errors import EngineError
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.search.plan import Plan
from unweave.search.solver import Solver

pytestmark = pytest.mark.filterwarnings("ignore:.*classifies no search image of 1 classes")

SHARDS = {"classes": [0, 1, 2, 3], "classes_per_shard": 2, "rows_per_batch": 2, "passes": 2, "keep_activations": True}


@pytest.fixture(scope="module")
def small():
    return SmallSearches()


@pytest.fixture
def room(monkeypatch):
    """How many rows of class 2's shard fit into memory together, after the first pass."""
    rows = {"fit": 1}
    run_pass = Solver.run_pass

    def limited(self, number, *arguments, **keywords):
        mine = any(2 in target.members for target in self.plan.targets)
        if mine and number == 1 and self.plan.rows_per_batch > rows["fit"]:
            raise MemoryError("planted")
        run_pass(self, number, *arguments, **keywords)

    monkeypatch.setattr(Solver, "run_pass", limited)
    return rows


def plan_in(folder):
    return json.loads(RunFolder(folder).record_file.read_text())["plan"]


def test_the_smaller_batch_is_in_the_plan_and_in_the_manifest(small, room, tmp_path):
    paths = small.search(tmp_path, **SHARDS).run()
    assert plan_in(tmp_path)["smaller"] == {"search-0001": 1}
    assert paths.manifest["settings"]["smaller"] == {"search-0001": 1}
    assert paths.manifest["settings"]["rows_per_batch"] == 2
    events = RunFolder(tmp_path).journal.read()
    assert [(e["task"], e["rows_per_batch"]) for e in events if e["event"] == "smaller"] == [("search-0001", 1)]


def test_shards_that_were_finished_are_not_searched_again(small, room, tmp_path):
    small.run(tmp_path, **SHARDS, seconds_between_saves=1e9)
    saved = [(e["task"], e["passes"]) for e in RunFolder(tmp_path).journal.read() if e["event"] == "saved"]
    before, after = (
        [("search-0000", 1), ("search-0000", 2), ("search-0001", 1)],
        [("search-0001", 1), ("search-0001", 2)],
    )
    assert saved == before + after


def test_its_bytes_are_those_of_a_search_by_the_same_plan(small, room, tmp_path):
    found = small.search(tmp_path / "short", **SHARDS).run()
    room["fit"] = 2
    alone = small.search(None, **{**SHARDS, "classes": [2, 3], "rows_per_batch": 1, "keep_activations": False}).run()
    whole = small.search(None, **SHARDS).run()
    for site in found.sites:
        assert found.scores[site.name][2:].equal(alone.scores[site.name])
        assert found.scores[site.name][:2].equal(whole.scores[site.name][:2])


def test_a_search_that_goes_on_keeps_to_the_smaller_batch(small, room, tmp_path, monkeypatch):
    whole = small.run(tmp_path / "whole", **SHARDS)
    with monkeypatch.context() as patch:
        patch.setattr(Paths, "save", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space left"):
            small.run(tmp_path / "run", **SHARDS)
    room["fit"] = 2  # more memory now; the plan stays
    RunFolder(tmp_path / "run").checkpoints.remove("search-0001")
    assert small.run(tmp_path / "run", **SHARDS) == whole


def test_memory_that_is_short_again_is_reported_and_the_rest_is_kept(small, room, tmp_path):
    room["fit"] = 0
    message = (
        r"^search-0001 ran out of memory with 1 rows a batch of 4 images, which were half of what was tried before "
        r"\(planted\); what was finished is kept .* smaller batch$"
    )
    with pytest.raises(EngineError, match=message):
        small.run(tmp_path, **SHARDS)
    assert plan_in(tmp_path)["smaller"] == {"search-0001": 1}
    assert (tmp_path / "shards" / "search-0000.safetensors").exists()
    with pytest.raises(EngineError, match="half of what was tried before"):  # not halved once more
        small.run(tmp_path, **SHARDS)
    room["fit"] = 1
    assert len(small.search(tmp_path, **SHARDS).run()) == 4


def test_a_batch_of_one_row_that_keeps_nothing_cannot_be_made_smaller(small, room):
    room["fit"] = 0
    with pytest.raises(EngineError, match=r"out of memory with 1 rows a batch of 4 images \(planted\)"):
        small.search(None, **{**SHARDS, "rows_per_batch": 1, "keep_activations": False}).run()


def test_the_sweep_s_searches_are_made_smaller_too(small, room):
    paths = small.search(None, **{**SHARDS, **ELBOW, "classes": None, "classes_per_shard": None}).run()
    made = paths.manifest["settings"]["smaller"]
    assert {name.partition("-")[0] for name in made} == {"elbow", "search"}


def test_a_plan_that_ran_short_comes_back_from_its_record():
    plan = Plan.of_classes([0, 1], rows_per_batch=2, kept=True, smaller={"search-0000": 1})
    assert Plan.from_record(json.loads(json.dumps(plan.record()))) == plan
    assert "smaller" not in Plan.of_classes([0]).record()
    shard = plan.shards()[0]
    assert (plan.of_task("search-0000", shard).rows_per_batch, plan.of_task("search-0000", shard).kept) == (1, False)
    assert (plan.of_task("search-0001", shard).rows_per_batch, plan.of_task("search-0001", shard).kept) == (2, True)
