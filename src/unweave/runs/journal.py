"""A run's journal: one line of JSON per event, only ever appended to; behind a URL, one object per event."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from unweave.errors import RunError
from unweave.files import write_text
from unweave.places import errors_of, is_url, names_in

# A pipe that nobody reads would wait for ever; opened so, it is an error. (Windows lacks both.)
_NOT_BLOCKING = getattr(os, "O_NONBLOCK", 0)


class Journal:
    """What happened when. Several processes may append to it at once."""

    seconds_between_looks = 0.5
    """For those who wait for events."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def append(self, event: str, **details: Any) -> None:
        """Add a line; written in one call, so that lines of several processes do not mix.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        line = _line(event, details) + "\n"
        try:
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NOT_BLOCKING, 0o644)
            try:
                # A process that was killed may have left half a line, which this one ends.
                os.write(handle, ("\n" if self._broken() else "").encode() + line.encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise RunError(
                f"{self.file} cannot be written ({error.strerror or error}); what was saved is kept: make room, or "
                "remove the file if it is damaged, then repeat the call to go on"
            ) from error

    def _broken(self) -> bool:
        with self.file.open("rb") as written:
            if written.seek(0, os.SEEK_END) == 0:
                return False
            written.seek(-1, os.SEEK_END)
            return written.read(1) != b"\n"

    def read(self) -> list[dict[str, Any]]:
        """The events, in the order they were written; a line that is not whole is left out, as is a damaged file."""
        try:
            text = self.file.read_text(encoding="utf-8", errors="replace") if os.path.isfile(self.file) else ""
        except OSError:
            return []
        return [event for line in text.splitlines() if (event := _event(line)) is not None]


class UrlJournal(Journal):
    """Objects cannot be appended to: every event is one, in a folder, named by when it happened."""

    seconds_between_looks = 5.0

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._read: dict[str, dict[str, Any] | None] = {}

    def append(self, event: str, **details: Any) -> None:
        """Add an object.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        target = self.file / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
        try:
            write_text(target, _line(event, details))
        except OSError as error:
            raise RunError(
                f"{target} cannot be written ({error.strerror or error}); what was saved is kept: repeat the call to "
                "go on"
            ) from error

    def read(self) -> list[dict[str, Any]]:
        """The events, in the order of their times, which several machines' clocks gave; each is fetched once."""
        try:
            names = [name for name in names_in(self.file) if name.endswith(".json") and not name.startswith(".")]
            for name in names:
                if name not in self._read:
                    with errors_of(self.file):
                        self._read[name] = _event((self.file / name).read_bytes().decode(errors="replace"))
        except OSError:  # the next look may see it
            names = sorted(self._read)
        return [event for name in names if (event := self._read.get(name)) is not None]


def journal_in(root: Path) -> Journal:
    """The journal of a run folder."""
    return UrlJournal(root / "journal") if is_url(root) else Journal(root / "journal.jsonl")


def _line(event: str, details: dict[str, Any]) -> str:
    return json.dumps({"time": round(time.time(), 3), "event": event, **details}, ensure_ascii=False)


def _event(line: str) -> dict[str, Any] | None:
    """None where it is not a whole one."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "event" in event else None
