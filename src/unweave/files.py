"""Whole-or-nothing writes, canonical JSON and fingerprints."""

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unweave.places import errors_of, is_url, place, put

DRAFT_SUFFIX = ".part"
"""How drafts end, so that no loader takes a left-over for a finished file."""


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Give a draft path beside `target`; move it onto `target` in one step if the block succeeds, remove it if not.

    Readers see the old file or the new one, never half of one. What is written is on the disk before it is moved. For a
    target behind a URL the draft is on this machine, and is sent when it is whole.
    """
    target = place(target)
    if is_url(target):
        with tempfile.TemporaryDirectory(prefix="unweave-") as folder:
            yield (whole := Path(folder) / target.name)
            put(whole, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}{DRAFT_SUFFIX}")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.chmod(_MODE)  # some libraries write files that nobody else may read
        os.replace(draft, target)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk does not say where
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _usual_mode()


def write_text(target: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(target) as draft:
        draft.write_text(text, encoding="utf-8")
    return place(target)


def read_text(file: str | Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, which some editors put at the beginning.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file: a pipe or device may never end.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    return read_bytes(file).decode("utf-8-sig")


def read_bytes(file: str | Path) -> bytes:
    """What a file holds.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file: a pipe or device may never end.
    """
    if is_url(file := place(file)):
        with errors_of(file):
            return file.read_bytes()
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return file.read_bytes()


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(*parts: bytes | bytearray | memoryview | str) -> str:
    """SHA-256 over length-prefixed parts, as 16 hexadecimal digits (enough to tell contents apart, not for secrets)."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else memoryview(part).cast("B")
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:16]
