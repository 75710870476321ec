"""A run's journal: one line of JSON per event, only ever appended to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from unweave.errors import RunError

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
        line = json.dumps({"time": round(time.time(), 3), "event": event, **details}, ensure_ascii=False) + "\n"
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
        events = []
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and "event" in event:
                events.append(event)
        return events
