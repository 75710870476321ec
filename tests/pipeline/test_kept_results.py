"""Results are kept by what was asked for, whole or not at all."""

import math

import pytest

from unweave.errors import RunError
from unweave.pipeline.kept_results import KeptResults


def never():
    raise AssertionError("it is kept, and must not be made again")


def test_a_result_is_made_once_and_read_afterwards(tmp_path):
    made = KeptResults(tmp_path).get_or_make("part", "a, name", {"seed": 0}, lambda: {"f1": 0.5, "none": float("nan")})
    kept = KeptResults(tmp_path).get_or_make("part", "a, name", {"seed": 0}, never)
    assert made["f1"] == kept["f1"] == 0.5
    assert math.isnan(kept["none"])
    assert [file.name.rsplit("-", 1)[0] for file in (tmp_path / "part").iterdir()] == ["a-name"]


def test_another_setting_is_another_result(tmp_path):
    kept = KeptResults(tmp_path)
    found = [kept.get_or_make("part", "name", {"seed": seed}, lambda s=seed: {"is": s})["is"] for seed in (0, 1, 0)]
    assert found == [0, 1, 0]
    assert len(list((tmp_path / "part").iterdir())) == 2


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept, counted = KeptResults(None), iter((1, 2))
    assert [kept.get_or_make("part", "name", {}, lambda: {"is": next(counted)})["is"] for _ in range(2)] == [1, 2]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[]", '{"asked": {"seed": 1}, "result": {}}', '{"asked": {"seed": 0}}'])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    kept = KeptResults(tmp_path)
    kept.get_or_make("part", "name", {"seed": 0}, lambda: {"is": 1})
    next((tmp_path / "part").iterdir()).write_text(content)
    with pytest.raises(RunError, match=r"is damaged \(.*\); remove it, and it is measured anew"):
        kept.get_or_make("part", "name", {"seed": 0}, never)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "part").write_text("a file where a folder is needed")
    with pytest.raises(RunError, match="cannot be written"):
        KeptResults(tmp_path).get_or_make("part", "name", {}, lambda: {"is": 1})
