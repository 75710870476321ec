"""`RunFolder`: the one place that knows the file names of a run."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from unweave.errors import DataError, RunError
from unweave.files import DRAFT_SUFFIX, canonical_json, digest, read_text, write_text
from unweave.places import create, is_file, is_url, names_in, place, remove
from unweave.runs.checkpoints import RECORD, FolderCheckpoints
from unweave.runs.journal import Journal, journal_in
from unweave.runs.url_lock import UrlLock

if TYPE_CHECKING:
    from filelock import FileLock

SCHEMA_VERSION = 1


class RunFolder:
    """A folder with how a search was begun, how far it has come, the paths it found and what was measured on them.

    run.json            how it was begun: what was asked for, the plan, fingerprints
    inputs.json         how the network and the images are opened (by the command line)
    journal.jsonl       what happened when; behind a URL journal/, an object per event
    shards/             how far each unfinished part of the search has come
    paths.safetensors   the result
    tables/, figures/   measures
    """

    written_by: ClassVar[str] = "unweave disentangle, route or paths"
    """The commands that make such a folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = place(root)

    @property
    def paths_file(self) -> Path:
        """The result of the search."""
        return self.root / "paths.safetensors"

    @property
    def record_file(self) -> Path:
        """How the search was begun."""
        return self.root / RECORD

    @property
    def inputs_file(self) -> Path:
        """How the network and the images are opened: model, data, preprocessing."""
        return self.root / "inputs.json"

    @property
    def shards(self) -> Path:
        """Where unfinished parts of the search are kept."""
        return self.root / "shards"

    @property
    def journal(self) -> Journal:
        """What happened when."""
        return journal_in(self.root)

    @property
    def checkpoints(self) -> FolderCheckpoints:
        """How far the parts of the search have come."""
        return FolderCheckpoints(self.shards, self.journal)

    def table(self, measure: str) -> Path:
        """Where a measure's table goes, without `.csv` or `.json`."""
        return self.root / "tables" / measure

    def figure(self, name: str) -> Path:
        """Where a figure goes, without `.png` or `.svg`."""
        return self.root / "figures" / name

    @property
    def finished(self) -> bool:
        """Whether the search has ended."""
        return is_file(self.paths_file)

    @property
    def begun(self) -> bool:
        """Whether a search was begun here, finished or not."""
        return is_file(self.record_file)

    @property
    def reached(self) -> bool:
        """Whether the folder holds anything that took work."""
        return self.finished or bool(names_in(self.shards) if is_url(self.root) else any(self.shards.glob("*")))

    def check_writable(self) -> None:
        """Prove that the folder can be written to, before work begins whose result it is to hold. Leaves no trace.

        Raises
        ------
        RunError
            If it cannot.
        """
        if is_url(self.root):
            self._check_store()
            return
        there = next(path for path in (self.root.absolute(), *self.root.absolute().parents) if os.path.exists(path))
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise RunError(f"{self.root} cannot be written to ({error.strerror or error})") from error

    def _check_store(self) -> None:
        try:
            new = not self.root.exists()
            create(proof := self.root / f".proof-{uuid.uuid4().hex}", b"")
            remove(self.root if new else proof)
        except OSError as error:
            raise RunError(f"{self.root} cannot be written to ({error.strerror or error})") from error

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder for this process alone; drafts that a killed process left are removed.

        Raises
        ------
        RunError
            If another process holds it, or it cannot be written to.
        """
        self.check_writable()
        new = not (self.begun if is_url(self.root) else os.path.lexists(self.record_file))
        lock = self._locked()
        try:
            self._remove_drafts()
            yield
        except Exception:
            if new and not self.reached:
                self._remove_traces()
            raise
        finally:
            lock.release()

    def _locked(self) -> FileLock | UrlLock:
        """The folder's lock, held."""
        if is_url(self.root):
            held = UrlLock(self.root / ".lock")
            held.acquire()
            return held
        from filelock import FileLock, Timeout

        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(f"another process is working in {self.root}; wait for it, or give another folder") from error
        return lock

    def _remove_drafts(self) -> None:
        if not is_url(self.root):
            for draft in self.root.rglob(f".*{DRAFT_SUFFIX}"):
                draft.unlink(missing_ok=True)
            return
        for folder in (self.root, self.shards, self.journal.file):
            for name in names_in(folder):
                if name.startswith(".") and name.endswith(DRAFT_SUFFIX):
                    remove(folder / name)

    def _remove_traces(self) -> None:
        """A call that failed before anything was reached leaves the folder as it found it."""
        if is_url(self.root):
            for left in (self.record_file, self.inputs_file, self.journal.file):
                remove(left)
            return
        for file in (self.record_file, self.inputs_file, self.journal.file, self.root / ".lock"):
            file.unlink(missing_ok=True)
        for folder in (self.shards, self.root):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def begin(self, record: Mapping[str, Any]) -> None:
        """Keep how the search was begun.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        whole = {"schema_version": SCHEMA_VERSION, **record}
        _write_json(self.record_file, {**whole, "digest": digest(canonical_json(whole))})

    def read_record(self) -> dict[str, Any] | None:
        """How the search was begun; None if none was.

        Raises
        ------
        RunError
            If the file is damaged, or another version's.
        """
        if not self.begun:
            if self.finished:
                raise RunError(f"{self.root} holds paths that no run of this version made; give another folder")
            return None
        record = _read_json(self.record_file)
        if record.get("schema_version") != SCHEMA_VERSION:
            raise RunError(f"{self.record_file} is not of this version of unweave; give another folder")
        # A plan with one digit changed would search for years, or end with other bytes.
        if record.pop("digest", None) != _digest_of(record):
            raise RunError(f"{self.record_file} is damaged (its content is not what was written); give another folder")
        del record["schema_version"]
        return record

    def finish(self) -> None:
        """Forget how the parts got there, once the result is written."""
        self.remove_shards()
        self.journal.append("finished")

    def remove_shards(self) -> None:
        """Remove what a finished search no longer needs."""
        if not is_url(self.root):
            shutil.rmtree(self.shards, ignore_errors=True)
            return
        with suppress(OSError):  # the result is there: what a store keeps of them is removed when it is read again
            remove(self.shards)

    def write_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Keep how the network and the images are opened."""
        _write_json(self.inputs_file, inputs)

    @property
    def has_inputs(self) -> bool:
        """Whether it is kept how the network and the images are opened."""
        return is_file(self.inputs_file)

    def read_inputs(self) -> dict[str, Any]:
        """How the network and the images are opened.

        Raises
        ------
        RunError
            If the folder holds no run of the command line's.
        """
        if not self.has_inputs and self.begun:
            raise RunError(
                f"{self.root} does not say how its network and images are opened (no {self.inputs_file.name}): it was "
                "made from Python; measure it there, or repeat the command that began it"
            )
        if not self.has_inputs:
            raise RunError(
                f"{self.root} is not a run folder (no {self.inputs_file.name}); make one with {self.written_by}"
            )
        return _read_json(self.inputs_file)

    def finished_paths(self) -> Path:
        """The file of the result.

        Raises
        ------
        DataError
            If the search has not finished.
        """
        if not self.finished:
            raise DataError(
                f"{self.root} has no {self.paths_file.name}: its search has not finished; repeat the command that "
                "began it"
            )
        return self.paths_file


def _digest_of(record: dict[str, Any]) -> str | None:
    try:
        return digest(canonical_json(record))
    except (ValueError, RecursionError):  # what JSON can say and no run writes: NaN, half a character
        return None


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    try:
        write_text(file, canonical_json(value) + "\n")
    except OSError as error:
        raise RunError(f"{file} cannot be written ({error.strerror or error}); make room, then repeat") from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise RunError(f"{file} is damaged (no settings)")
    return found
