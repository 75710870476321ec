"""How far the parts of a search have come: one safetensors file a part, replaced as a whole."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unweave.errors import RunError
from unweave.files import canonical_json, digest, read_bytes, replacing
from unweave.places import absolute, is_file, is_url, local_copy, remove
from unweave.runs.journal import Journal, journal_in

SECONDS_BETWEEN_SAVES = 300.0
"""A pass that takes longer is saved within, so that never more than five minutes of work, or a pass, are repeated."""
_KEY = "checkpoint"
RECORD = "run.json"
"""The file beside a run's checkpoints that says how it was begun."""


class Checkpoints(Protocol):
    """Where tasks keep what they have reached."""

    def load(self, task: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """What was saved of a task last: notes and arrays."""
        ...

    def save(self, task: str, notes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep notes and arrays of a task instead of what was there."""
        ...


@dataclass(frozen=True)
class FolderCheckpoints:
    """Notes and arrays of every task, in `folder`."""

    folder: Path
    journal: Journal

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, which may be on a machine that does not see the folder: it gets None there."""
        folder = absolute(self.folder)
        return _reached, (folder, _seal(folder))

    def _file(self, task: str) -> Path:
        return self.folder / f"{task}.safetensors"

    def save(self, task: str, notes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep notes and arrays of `task` instead of what was there; whole or not at all.

        Raises
        ------
        RunError
            If they cannot be written; what was there stays.
        """
        held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        text = canonical_json({**notes, "digest": _digest(notes, held)})
        try:
            with replacing(self._file(task)) as draft:
                save_file(held, draft, metadata={_KEY: text})
        except (SafetensorError, OSError) as error:
            raise RunError(
                f"{self._file(task)} cannot be written ({error}); what was saved before is kept: make room, then "
                "repeat the call to go on from there"
            ) from error
        self.journal.append("saved", task=task, passes=notes.get("passes"), batches=notes.get("batches"))

    def remove(self, task: str) -> None:
        """Forget what was saved of `task`."""
        file = self._file(task)
        remove(file) if is_url(file) else file.unlink(missing_ok=True)

    def load(self, task: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """What was saved of `task` last; None where there is nothing that can be used."""
        file = self._file(task)
        if not is_file(file):
            return None
        try:
            with local_copy(file) as copy, safe_open(copy, framework="numpy") as opened:
                notes = json.loads((opened.metadata() or {})[_KEY])
                arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            if notes.pop("digest") != _digest(notes, arrays):
                raise ValueError("its content is not what was written")
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            warnings.warn(f"{file} is damaged ({error}); its part of the search is done again", stacklevel=2)
            return None
        return notes, arrays


def _reached(folder: Path, seal: str | None) -> FolderCheckpoints | None:
    """In the process that they were sent to: None where the run's folder is another one there, or none."""
    return FolderCheckpoints(folder, journal_in(folder.parent)) if _seal(folder) == seal else None


def _seal(folder: Path) -> str | None:
    """What tells the run that `folder` is part of from others: its record."""
    try:
        return digest(read_bytes(folder.parent / RECORD))
    except OSError:
        return None


def _digest(notes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    described = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    contents = (arrays[name].tobytes() for name in sorted(arrays))
    return digest(canonical_json(dict(notes)), canonical_json(described), *contents)
