"""One process a run folder behind a URL: an object that says who works there, renewed meanwhile."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from unweave.errors import RunError
from unweave.places import create, is_file, remove

SECONDS_BETWEEN_RENEWALS = 20.0
SECONDS_UNTIL_GIVEN_UP = 120.0
"""A lock that was not renewed for so long was left by a process that is gone."""


class UrlLock:
    """Stores have no locks. What they have is used as well as it can be: the object is made anew only where there is
    none; one that is not renewed, or was left by a process of this machine that is gone, is taken over. Two processes
    that take over the same left lock within the same second could both believe that they hold it; clocks that differ
    by minutes make a lock look left.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.owner = {"host": socket.gethostname(), "process": os.getpid(), "token": uuid.uuid4().hex}
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Hold the lock.

        Raises
        ------
        RunError
            If another process holds it.
        """
        if not create(self.file, self._content()):
            found = self._read()
            if not _left(found):
                raise RunError(
                    f"another process is working in {self.file.parent} ({found.get('host')}, process "
                    f"{found.get('process')}, {_seconds_ago(found):.0f} s ago); wait for it, or give another folder; "
                    f"if it is gone, the folder is free {SECONDS_UNTIL_GIVEN_UP:.0f} s after it was last seen"
                )
            self.file.write_bytes(self._content())
            if self._read().get("token") != self.owner["token"]:
                raise RunError(f"another process has begun to work in {self.file.parent}; wait for it")
        self._renewing.start()

    def release(self) -> None:
        """Let others in."""
        self._ended.set()
        self._renewing.join()
        if self._read().get("token") == self.owner["token"]:
            remove(self.file)

    def _content(self) -> bytes:
        return json.dumps({**self.owner, "time": time.time()}).encode()

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_bytes()) if is_file(self.file) else {}
        except (OSError, ValueError):  # removed or replaced in this moment
            return {}
        return found if isinstance(found, dict) else {}

    def _renew(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_RENEWALS):
            try:
                self.file.write_bytes(self._content())
            except Exception:  # noqa: BLE001 - the store may be back in time for the next one
                continue


def _seconds_ago(found: dict[str, Any]) -> float:
    seen = found.get("time")
    return time.time() - seen if isinstance(seen, int | float) else float("inf")


def _left(found: dict[str, Any]) -> bool:
    if _seconds_ago(found) > SECONDS_UNTIL_GIVEN_UP:
        return True
    return found.get("host") == socket.gethostname() and not _runs(found.get("process"))


def _runs(process: Any) -> bool:
    """Whether a process of this machine is there."""
    if not isinstance(process, int):
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
