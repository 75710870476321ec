"""The run folder: file names, one process at a time, no traces of what failed."""

import json
import multiprocessing
from pathlib import Path

import pytest

from unweave.decoupling.training.folder import TrainingFolder
from unweave.errors import DataError, RunError
from unweave.runs.folder import RunFolder


def test_inputs_come_back_as_written(tmp_path):
    run = RunFolder(tmp_path / "new" / "run")
    run.write_inputs({"inputs": {"model": "a.py:f"}, "seed": 3})
    assert run.read_inputs() == {"inputs": {"model": "a.py:f"}, "seed": 3}
    assert json.loads(run.inputs_file.read_text()) == {"inputs": {"model": "a.py:f"}, "seed": 3}


def test_a_folder_without_a_run_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(RunError, match=r"not a run folder .*; make one with unweave disentangle, route or paths$"):
        RunFolder(tmp_path).read_inputs()
    with pytest.raises(RunError, match=r"not a run folder .*; make one with unweave decouple$"):
        TrainingFolder(tmp_path).read_inputs()


@pytest.mark.parametrize("content", ["{", "[1]", "", "[" * 100_000, b"\xff\xfe"])
def test_damaged_records_are_refused_by_name(tmp_path, content):
    for name in ("run.json", "inputs.json"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=r"inputs\.json is damaged"):
        RunFolder(tmp_path).read_inputs()
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        RunFolder(tmp_path).read_record()


def test_a_record_comes_back_without_its_version(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_record() is None
    run.begin({"asked": {"seed": 0}})
    assert run.read_record() == {"asked": {"seed": 0}}


def test_a_record_of_another_version_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"schema_version": 99}')
    with pytest.raises(RunError, match="not of this version"):
        RunFolder(tmp_path).read_record()


def test_paths_that_no_run_made_are_refused(tmp_path):
    (tmp_path / "paths.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match="no run of this version made"):
        RunFolder(tmp_path).read_record()


def test_an_unfinished_search_is_said_to_be_unfinished(tmp_path):
    with pytest.raises(DataError, match="has not finished; repeat the command"):
        RunFolder(tmp_path).finished_paths()


def test_every_file_is_below_the_folder(tmp_path):
    run = RunFolder(tmp_path)
    files = (run.paths_file, run.record_file, run.inputs_file, run.journal.file, run.table("usage"), run.figure("a"))
    assert all(tmp_path in file.parents for file in files)


def test_opening_removes_drafts_of_an_interrupted_write_and_nothing_else(tmp_path):
    (tmp_path / "shards").mkdir()
    drafts = [tmp_path / ".paths.safetensors.123.part", tmp_path / "shards" / ".a.safetensors.9.part"]
    kept = tmp_path / "shards" / "a.safetensors"
    for file in (*drafts, kept):
        file.write_bytes(b"half")
    with RunFolder(tmp_path).opened():
        assert [draft.exists() for draft in drafts] == [False, False]
        assert kept.read_bytes() == b"half"


def _hold(folder, held, leave):
    with RunFolder(folder).opened():
        held.set()
        leave.wait(60)


def test_a_second_process_is_refused_until_the_first_leaves(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "run", held, leave))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(RunError, match="another process is working in"), RunFolder(tmp_path / "run").opened():
            pass
    finally:
        leave.set()
        other.join(60)
    with RunFolder(tmp_path / "run").opened():
        assert (tmp_path / "run").is_dir()


def _fail_in(run, *steps):
    """Open `run`, take the steps, and fail."""
    with run.opened():
        for step in steps:
            step()
        raise ValueError("bad")


def test_a_failure_before_anything_was_reached_leaves_no_trace(tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="bad"):
        _fail_in(run, lambda: run.begin({"asked": {}}), lambda: run.journal.append("begun"))
    assert not run.root.exists()


def test_a_failure_after_something_was_reached_keeps_it(tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="bad"):
        _fail_in(run, lambda: run.begin({"asked": {}}), lambda: run.checkpoints.save("a", {"passes": 1}, {}))
    assert run.record_file.is_file()
    assert run.checkpoints.load("a") == ({"passes": 1}, {})


def test_a_failure_leaves_files_of_others_alone(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    (run.root / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="bad"):
        _fail_in(run)
    assert [file.name for file in run.root.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written to"):
        RunFolder(tmp_path / "file" / "run").check_writable()
    assert Path(tmp_path / "file").read_text() == ""


def test_finishing_forgets_the_shards(tmp_path):
    run = RunFolder(tmp_path)
    run.checkpoints.save("a", {"passes": 1}, {})
    run.finish()
    assert not run.shards.exists()
    assert run.journal.read()[-1]["event"] == "finished"


def test_a_record_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(RunError, match=r"run.json cannot be written \(Is a directory\); make room"):
        RunFolder(tmp_path).begin({})


def test_a_record_with_one_digit_changed_is_damaged(tmp_path):
    run = RunFolder(tmp_path)
    run.begin({"plan": {"passes": 20}})
    assert run.read_record() == {"plan": {"passes": 20}}
    run.record_file.write_text(run.record_file.read_text().replace("20", "99"))
    with pytest.raises(RunError, match="is damaged"):
        run.read_record()
