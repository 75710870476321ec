"""Places on this machine and behind URLs: written whole or not at all, read, listed, removed."""

import uuid
from pathlib import Path

import pytest

from unweave.errors import MissingExtraError, SettingError
from unweave.files import read_bytes, replacing, write_text
from unweave.places import create, is_file, is_url, local_copy, names_in, place, remove


@pytest.fixture(params=["memory", "file"])
def folder(request, tmp_path):
    """A folder that is not there yet, in a store of whole objects and behind a URL of this machine's files."""
    return place(f"memory://{uuid.uuid4().hex}/run" if request.param == "memory" else f"file://{tmp_path}/run")


def test_a_url_is_no_path_and_a_path_no_url(tmp_path):
    assert [is_url(place(typed)) for typed in (str(tmp_path), tmp_path, "memory://a/b", f"file://{tmp_path}")] == [
        *[False] * 2,
        *[True] * 2,
    ]
    assert place("a/b") == Path("a/b")
    assert str(place("memory://a/b") / "c") == "memory://a/b/c"


def test_unknown_urls_are_refused_in_one_line(monkeypatch):
    with pytest.raises(SettingError, match=r"no place 'nonsense://a' .*give a path, or a URL such as s3://"):
        place("nonsense://a")
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"s3://bucket/run needs a package .*s3fs"):
        place("s3://bucket/run")


def test_what_is_written_is_read_again_and_replaced_as_a_whole(folder):
    write_text(folder / "shards" / "a.json", "one")
    write_text(folder / "shards" / "a.json", "two")
    assert read_bytes(folder / "shards" / "a.json") == b"two"
    assert is_file(folder / "shards" / "a.json")
    assert names_in(folder / "shards") == ["a.json"]
    with local_copy(folder / "shards" / "a.json") as copy:
        assert isinstance(copy, Path)
        assert copy.read_text() == "two"


def test_a_write_that_fails_leaves_what_was_there(folder):
    write_text(folder / "a.json", "one")
    with pytest.raises(ZeroDivisionError), replacing(folder / "a.json") as draft:
        draft.write_text(f"half {1 / 0}")
    assert (read_bytes(folder / "a.json"), names_in(folder)) == (b"one", ["a.json"])


def test_a_file_is_made_where_there_is_none_alone(folder):
    assert create(folder / "lock", b"first")
    assert not create(folder / "lock", b"second")
    assert read_bytes(folder / "lock") == b"first"


def test_what_is_not_there_is_not_listed_and_can_be_removed(folder):
    assert (is_file(folder / "a"), names_in(folder / "shards")) == (False, [])
    remove(folder / "shards")
    write_text(folder / "shards" / "a", "one")
    remove(folder / "shards")
    assert names_in(folder / "shards") == []


def test_what_a_store_raises_says_where(monkeypatch):
    folder = place(f"memory://{uuid.uuid4().hex}/run")

    def refuse(*_, **__):
        raise RuntimeError("no\naccess")

    write_text(folder / "a", "one")
    for name in ("cat_file", "open", "_open"):
        monkeypatch.setattr(type(folder.fs), name, refuse)
    with pytest.raises(OSError, match=r"RuntimeError: no access.*run/a"):
        read_bytes(folder / "a")
