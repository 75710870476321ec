"""Places of files: on this machine (`pathlib.Path`), or behind a URL (`UPath`, which has the same surface)."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, cast

from unweave.errors import MissingExtraError, SettingError

_WHOLE_OBJECTS = ("memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss")
"""Stores that show an object when all of it is there, and have no folders that must be made."""


def place(typed: str | os.PathLike[str]) -> Path:
    """`typed` as a place: a URL (`s3://bucket/run`, `file:///shared/run`, what fsspec knows) or a path. Both have
    pathlib's surface, so both are called `Path`.

    Raises
    ------
    SettingError
        If no such URL is known.
    MissingExtraError
        If its package is not installed.
    """
    if not isinstance(typed, str):
        return typed if is_url(typed) else Path(typed)  # type: ignore[return-value]
    if "://" not in typed:
        return Path(typed)
    from upath import UPath

    try:
        found = UPath(typed)
        _ = found.fs
    except ImportError as error:
        raise MissingExtraError(f"{typed} needs a package that is not installed: pip install it ({error})") from error
    except (ValueError, TypeError) as error:
        raise SettingError(f"no place {typed!r} ({error}); give a path, or a URL such as s3://bucket/run") from error
    return cast(Path, found)


def is_url(path: object) -> bool:
    """Whether a place is behind a URL."""
    return not isinstance(path, str | PurePath) and hasattr(path, "fs") and hasattr(path, "protocol")


def is_file(path: Path) -> bool:
    """Whether there is a file. (pathlib's own raises where a link's target has too long a name.)"""
    if not is_url(path):
        return os.path.isfile(path)
    with errors_of(path):
        return path.is_file()


def absolute(path: Path) -> Path:
    """The same place for a process that works elsewhere."""
    return path if is_url(path) else path.absolute()


def put(draft: Path, target: Path) -> None:
    """Move a local file to a URL; readers see what was there before, or all of it."""
    store, name = _store(target), _name(target)
    with errors_of(target):
        if target.protocol in _WHOLE_OBJECTS:  # type: ignore[attr-defined]
            store.put_file(str(draft), name)
            return
        store.makedirs(_name(target.parent), exist_ok=True)
        beside = f"{_name(target.parent)}/.{target.name}.{os.getpid()}.part"
        try:
            store.put_file(str(draft), beside)
            store.mv(beside, name)
        finally:
            if store.exists(beside):
                store.rm_file(beside)


def create(target: Path, content: bytes) -> bool:
    """Write a new object; False where there is one. As good as the store: some look first and write then."""
    with errors_of(target):
        if target.protocol not in _WHOLE_OBJECTS:  # type: ignore[attr-defined]
            _store(target).makedirs(_name(target.parent), exist_ok=True)
        try:
            _store(target).pipe_file(_name(target), content, mode="create")
        except FileExistsError:
            return False
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing where there is none."""
    with errors_of(path):
        store, name = _store(path), _name(path)
        store.invalidate_cache()
        if store.exists(name):
            store.rm(name, recursive=True)


def names_in(folder: Path) -> list[str]:
    """The names of what is in a folder behind a URL, in their order; none where it is not there."""
    with errors_of(folder):
        store = _store(folder)
        store.invalidate_cache()  # others write there too
        try:
            return sorted(found.rstrip("/").rpartition("/")[2] for found in store.ls(_name(folder), detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """A path on this machine with what `path` holds: itself, or a copy that lasts as long as the block.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if not is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="unweave-") as folder:
        copy = Path(folder) / path.name
        with errors_of(path):
            _store(path).get_file(_name(path), str(copy))
        yield copy


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Whatever a store's own package raises, as an `OSError` that says where."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {' '.join(str(error).split())}", str(path)) from error


def _store(path: Path) -> Any:
    return path.fs  # type: ignore[attr-defined]


def _name(path: Path) -> str:
    """What the store calls it."""
    return str(path.path)  # type: ignore[attr-defined]
