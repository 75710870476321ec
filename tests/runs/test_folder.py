"""The run folder: file names, settings, and refusals."""

import json

import pytest

from unweave.errors import DataError, PathsError
from unweave.runs.folder import RunFolder


def test_settings_come_back_as_written(tmp_path):
    run = RunFolder(tmp_path / "new" / "run")
    run.write_settings({"inputs": {"model": "a.py:f"}, "seed": 3})
    assert run.read_settings() == {"inputs": {"model": "a.py:f"}, "seed": 3}


def test_a_folder_without_a_run_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(DataError, match=r"not a run folder .*unweave disentangle"):
        RunFolder(tmp_path).read_settings()


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_damaged_settings_are_refused_by_name(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json is damaged"):
        RunFolder(tmp_path).read_settings()


def test_an_unfinished_search_is_said_to_be_unfinished(tmp_path):
    with pytest.raises(DataError, match="has not finished"):
        RunFolder(tmp_path).read_paths()


def test_a_damaged_result_is_refused(tmp_path):
    (tmp_path / "paths.safetensors").write_bytes(b"no")
    with pytest.raises(PathsError, match=r"paths\.safetensors"):
        RunFolder(tmp_path).read_paths()


def test_every_file_is_below_the_folder(tmp_path):
    run = RunFolder(tmp_path)
    for file in (run.paths_file, run.settings_file, run.table("usage"), run.figure("usage")):
        assert tmp_path in file.parents


def test_settings_are_plain_json_without_times(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"seed": 0})
    assert json.loads(run.settings_file.read_text()) == {"seed": 0}
