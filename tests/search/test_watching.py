"""Progress of other processes, read from the journal."""

import time

from unweave.runs.journal import Journal
from unweave.search.watching import Followed, watched

BATCHES = {"search-0000": 10, "search-0001": 4}


def watch(journal, write, batches=BATCHES):
    """What the bar is told of what `write` does while the journal is watched."""
    told = []
    with watched(journal, Followed(batches, lambda steps, note="": told.append((steps, note)))):
        write(told)
    return told


def test_what_is_saved_while_watched_advances_the_bar_once(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")

    def write(told):
        journal.append("saved", task="search-0000", passes=1, batches=0)
        journal.append("saved", task="search-0001", passes=2, batches=3)
        journal.append("saved", task="search-0000", passes=1, batches=5)

    told = watch(journal, write)
    assert sum(steps for steps, _ in told) == (1 * 10 + 5) + (2 * 4 + 3)
    assert told[0] == (10, "search-0000: pass 1")


def test_the_bar_advances_before_the_search_ends(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    early = []

    def write(told):
        journal.append("saved", task="search-0001", passes=1, batches=0)
        limit = time.monotonic() + 60
        while not told and time.monotonic() < limit:
            time.sleep(0.01)
        early.extend(told)

    assert watch(journal, write) == early == [(4, "search-0001: pass 1")]


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("saved", task="search-0000", passes=1, batches=0)
    whole = journal.file.read_bytes()
    half = len(whole) // 2

    def write(told):
        journal.file.write_bytes(whole[:half])
        time.sleep(0.6)
        assert told == []
        journal.file.write_bytes(whole)

    journal.file.unlink()
    assert watch(journal, write) == [(10, "search-0000: pass 1")]


def test_other_events_and_other_tasks_do_not_count(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")

    def write(told):
        journal.append("begun")
        journal.append("saved", task="elbow-0.1-0000", passes=3, batches=0)
        journal.append("finished", task="search-0000")

    assert watch(journal, write) == []


def test_what_was_saved_in_an_earlier_process_counts_as_done(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("saved", task="search-0001", passes=3, batches=0)
    assert watch(journal, lambda told: None) == [(12, "search-0001: pass 3")]


def test_a_part_done_again_does_not_move_the_bar_back(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for passes in (2, 1):
        journal.append("saved", task="search-0000", passes=passes, batches=0)
    assert [steps for steps, _ in watch(journal, lambda told: None)] == [20]


def test_without_a_journal_nothing_is_known():
    told = []
    with watched(None, Followed(BATCHES, lambda steps, note="": told.append(steps))):
        pass
    assert told == []
