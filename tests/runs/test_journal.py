"""The journal: lines that are appended, and read even where one is broken."""

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
