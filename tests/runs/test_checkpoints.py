"""Checkpoints: whole or not at all, and noticed where they are damaged."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.errors import RunError
from unweave.runs.checkpoints import FolderCheckpoints
from unweave.runs.journal import Journal


@pytest.fixture
def checkpoints(tmp_path):
    return FolderCheckpoints(tmp_path / "shards", Journal(tmp_path / "journal.jsonl"))


def test_notes_and_arrays_come_back(checkpoints):
    arrays = {"score.0000": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array([3, 4])}
    checkpoints.save("search-0000", {"passes": 2, "batches": 0}, arrays)
    notes, found = checkpoints.load("search-0000")
    assert notes == {"passes": 2, "batches": 0}
    assert sorted(found) == ["score.0000", "steps"]
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_a_task_without_a_checkpoint_has_none(checkpoints):
    assert checkpoints.load("search-0000") is None


def test_a_later_checkpoint_replaces_the_earlier(checkpoints):
    for passes in (1, 2):
        checkpoints.save("a", {"passes": passes}, {"x": np.full(3, passes)})
    assert checkpoints.load("a")[0] == {"passes": 2}
    assert [file.name for file in checkpoints.folder.iterdir()] == ["a.safetensors"]


def test_every_checkpoint_is_in_the_journal(checkpoints):
    checkpoints.save("a", {"passes": 1, "batches": 5}, {})
    event = checkpoints.journal.read()[-1]
    assert (event["event"], event["task"], event["passes"], event["batches"]) == ("saved", "a", 1, 5)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_goes_unnoticed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    checkpoints = FolderCheckpoints(folder / "shards", Journal(folder / "journal.jsonl"))
    arrays = {"x": np.arange(5, dtype=np.float32)}
    checkpoints.save("a", {"passes": 1}, arrays)
    file = folder / "shards" / "a.safetensors"
    whole = file.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[position] ^ data.draw(st.integers(1, 255))
    file.write_bytes(data.draw(st.sampled_from([whole[:position], whole[:position] + bytes([flipped])])))
    if len(file.read_bytes()) == position + 1:
        file.write_bytes(file.read_bytes() + whole[position + 1 :])
    with pytest.warns(UserWarning, match="is damaged .* is done again"):
        assert checkpoints.load("a") is None


FULL_DISK = """
import resource, sys, signal
import numpy as np
from pathlib import Path
from unweave.errors import RunError
from unweave.runs.checkpoints import FolderCheckpoints
from unweave.runs.journal import Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
checkpoints = FolderCheckpoints(folder / "shards", Journal(folder / "journal.jsonl"))
checkpoints.save("a", {"passes": 1}, {"x": np.arange(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    checkpoints.save("a", {"passes": 2}, {"x": np.arange(10_000)})
except RunError as error:
    print(error)
"""


def test_a_full_disk_keeps_what_was_saved_before(tmp_path, checkpoints):
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "cannot be written" in ran.stdout
    assert "what was saved before is kept" in ran.stdout
    assert checkpoints.load("a")[0] == {"passes": 1}
    assert [file.name for file in checkpoints.folder.iterdir()] == ["a.safetensors"]


def test_a_folder_that_vanished_is_one_line(checkpoints):
    checkpoints.folder.parent.joinpath("shards").write_text("a file where the folder should be")
    with pytest.raises(RunError, match="cannot be written"):
        checkpoints.save("a", {}, {})
