"""What a method need not say itself: its run folder is recorded, refused to another, gone on with and finished."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.paths.made import animals
from tests.tiny import labelled_noise
from unweave.data.labelled import labelled
from unweave.errors import RunError
from unweave.runs.folder import RunFolder
from unweave.search.run import Run


class Counting(Run[int]):
    """A method whose plan is a number, and whose result says which numbers it was found by."""

    method = "counting"
    prepared = SimpleNamespace(device=torch.device("cpu"))

    def __init__(self, folder=None, number=3, sites="block", highest=9):
        self.number, self.highest, self.found_by = number, highest, []
        super().__init__(
            nn.Identity(),
            labelled(labelled_noise(2)),
            sites,
            device=None,
            logits=None,
            folder=None if folder is None else RunFolder(folder),
            notes=None,
            show_progress=False,
        )

    def _new_plan(self):
        return self.number

    def _recorded_plan(self, recorded):
        return int(recorded["number"])

    def _plan_record(self):
        if self.plan > self.highest:
            raise ValueError("too high")
        return {"number": self.plan}

    def _asked(self):
        return {"method": self.method}

    def _fingerprints(self):
        return {"counted": self.images.fingerprint(np.arange(2))}

    def _find(self, folder):
        self.found_by.append(self.plan)
        if self.plan < 0:
            raise KeyboardInterrupt
        return animals()


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Counting()
    assert run.run() == animals()
    assert (run.begun, run.finished, list(tmp_path.iterdir())) == (False, False, [])


def test_a_run_is_recorded_and_finished_and_then_read(tmp_path):
    Counting(tmp_path).run()
    record = RunFolder(tmp_path).read_record()
    assert record["asked"] == {"method": "counting", "sites": "block", "logits": None, "notes": {}}
    assert record["plan"] == {"number": 3}
    assert [event["event"] for event in RunFolder(tmp_path).journal.read()] == ["begun", "finished"]
    again = Counting(tmp_path)
    assert (again.begun, again.finished, again.run(), again.found_by) == (True, True, animals(), [])


def test_it_goes_on_by_the_plan_that_it_began_with(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Counting(tmp_path, number=-1).run()
    again = Counting(tmp_path, number=4)
    with pytest.raises(KeyboardInterrupt):
        again.run()
    assert (again.begun, again.finished, again.found_by) == (True, False, [-1])
    assert RunFolder(tmp_path).journal.read()[-1]["event"] == "resumed"


def test_a_plan_of_another_process_that_was_faster_is_taken(tmp_path):
    late = Counting(tmp_path, number=4)
    assert late.plan == 4
    with pytest.raises(KeyboardInterrupt):
        Counting(tmp_path, number=-1).run()
    with pytest.raises(KeyboardInterrupt):
        late.run()
    assert late.found_by == [-1]


def test_another_run_is_refused(tmp_path):
    Counting(tmp_path).run()
    with pytest.raises(RunError, match="was begun with sites = 'block', this call has 'filter'"):
        Counting(tmp_path, sites="filter").run()


def test_another_method_is_refused_by_name(tmp_path, monkeypatch):
    Counting(tmp_path).run()
    monkeypatch.setattr(Counting, "method", "guessing")
    with pytest.raises(RunError, match="was begun with method = 'counting', this call has 'guessing'"):
        _ = Counting(tmp_path).finished


def test_other_versions_go_on_with_nothing_but_read_what_is_finished(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        Counting(tmp_path / "begun", number=-1).run()
    Counting(tmp_path / "finished").run()
    monkeypatch.setattr("unweave.search.run.versions", lambda: {"torch": "0"})
    with pytest.raises(RunError, match=r"was begun with versions\..* = "):
        Counting(tmp_path / "begun").run()
    assert Counting(tmp_path / "finished").run() == animals()


def test_what_cannot_be_planned_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="too high"):
        Counting(tmp_path / "run", number=10).run()
    assert not (tmp_path / "run").exists()


def test_a_damaged_plan_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Counting(tmp_path, number=-1).run()
    RunFolder(tmp_path).begin({**RunFolder(tmp_path).read_record(), "plan": {"number": "many"}})
    with pytest.raises(RunError, match=r"run\.json is damaged \(invalid literal.*give another folder"):
        Counting(tmp_path).run()
