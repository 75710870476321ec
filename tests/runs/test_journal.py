"""The journal: lines that are appended, and read even where one is broken."""

import os

import pytest

from unweave.errors import RunError
from unweave.runs.journal import Journal


def test_events_come_back_in_order_with_their_details(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("begun")
    journal.append("saved", task="search-0000", passes=1)
    assert [event["event"] for event in journal.read()] == ["begun", "saved"]
    assert journal.read()[1]["task"] == "search-0000"
    assert journal.read()[0]["time"] <= journal.read()[1]["time"]


def test_a_journal_that_was_never_written_is_empty(tmp_path):
    assert Journal(tmp_path / "journal.jsonl").read() == []


def test_half_a_line_of_a_killed_process_costs_that_line_alone(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("begun")
    with journal.file.open("ab") as written:
        written.write(b'{"time": 3, "eve')
    journal.append("resumed")
    assert [event["event"] for event in journal.read()] == ["begun", "resumed"]


def test_lines_that_are_no_events_are_left_out(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.file.write_bytes(b"[1]\n{}\n\xff\xff\n" + b"[" * 100_000 + b"\n")
    journal.append("begun")
    assert [event["event"] for event in journal.read()] == ["begun"]


def test_a_journal_that_cannot_be_written_is_one_line(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.file.symlink_to(journal.file)
    with pytest.raises(RunError, match=r"journal.jsonl cannot be written \(Too many levels of symbolic links\)"):
        journal.append("begun")
    assert journal.read() == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_the_journals_place_does_not_wait_for_a_reader(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    os.mkfifo(journal.file)
    with pytest.raises(RunError, match="cannot be written"):
        journal.append("begun")


def test_a_journal_whose_name_is_too_long_to_be_read_is_empty(tmp_path):
    (tmp_path / "journal.jsonl").symlink_to("x" * 300)
    assert Journal(tmp_path / "journal.jsonl").read() == []
