"""Whole-or-nothing writes, canonical JSON and digests."""

import errno
import hashlib
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.files import canonical_json, digest, replacing, write_text

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_target_is_replaced_when_the_block_succeeds(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with replacing(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("accident", [ValueError, KeyboardInterrupt, SystemExit])
def test_target_is_kept_and_the_draft_removed_when_the_block_fails(tmp_path, accident):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(accident), replacing(target) as draft:  # noqa: PT012 (the failure is inside the block)
        draft.write_text("ne")
        raise accident
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_left_of_a_first_write_that_fails(tmp_path):
    with pytest.raises(ValueError, match="no"), replacing(tmp_path / "result.txt"):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_block_that_writes_nothing_is_an_error_and_keeps_the_target(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass
    assert target.read_text() == "old"


def test_draft_is_a_hidden_part_of_this_process_beside_the_target(tmp_path):
    with replacing(str(tmp_path / "result.safetensors")) as draft:
        draft.touch()
        assert draft == tmp_path / f".result.safetensors.{os.getpid()}.part"


def test_folders_are_made(tmp_path):
    target = write_text(tmp_path / "new" / "folder" / "猫.txt", "猫")
    assert target == tmp_path / "new" / "folder" / "猫.txt"
    assert target.read_bytes() == "猫".encode()


def test_json_has_one_spelling():
    value = {"b": [1, 2.5, None], "a": {"d": True, "c": "猫"}}
    assert canonical_json(value) == '{"a":{"c":"猫","d":true},"b":[1,2.5,null]}'


@given(_VALUES)
def test_json_is_stable_when_read_and_written_again(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("nan")]}])
def test_json_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_digest_is_sixteen_hexadecimal_digits_and_never_changes():
    assert digest() == "e3b0c44298fc1c14"  # SHA-256 of nothing
    prefixed = (7).to_bytes(8, "little") + b"unweave"
    assert digest("unweave") == hashlib.sha256(prefixed).hexdigest()[:16]


def test_digest_takes_texts_and_any_bytes():
    assert len({digest(part) for part in ("ab", b"ab", bytearray(b"ab"), memoryview(b"ab"))}) == 1
    assert digest(np.arange(3).data) == digest(np.arange(3).tobytes())


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_digest_tells_apart_where_parts_end(first, second):
    assert (digest(*first) == digest(*second)) is (first == second)


def test_what_is_written_is_read_by_whom_the_system_lets(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "result") as draft:
        draft.touch(mode=0o600)
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_full_disk_is_told_with_the_file_that_could_not_be_written(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*result.txt'"), replacing(tmp_path / "result.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
