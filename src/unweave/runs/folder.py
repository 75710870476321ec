"""`RunFolder`: the one place that knows the file names of a run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from unweave.errors import DataError
from unweave.files import canonical_json, write_text
from unweave.paths import Paths


class RunFolder:
    """A folder with the paths a search found, how it was started, and what was measured on it."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @property
    def paths_file(self) -> Path:
        """The result of the search."""
        return self.root / "paths.safetensors"

    @property
    def settings_file(self) -> Path:
        """How the run was started: model, data, preprocessing."""
        return self.root / "run.json"

    def table(self, measure: str) -> Path:
        """Where a measure's table goes, without `.csv` or `.json`."""
        return self.root / "tables" / measure

    def figure(self, name: str) -> Path:
        """Where a figure goes, without `.png` or `.svg`."""
        return self.root / "figures" / name

    def prepare(self) -> None:
        """Prove that the folder can be written to, before work begins whose result it is to hold. Leaves no trace.

        Raises
        ------
        DataError
            If it cannot, or holds a finished search already.
        """
        if self.paths_file.exists():
            raise DataError(f"{self.root} holds a finished search already; give another --out, or remove it")
        there = next(path for path in (self.root.absolute(), *self.root.absolute().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise DataError(f"{self.root} cannot be written to ({error.strerror or error})") from error

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Keep how the run was started."""
        write_text(self.settings_file, canonical_json(settings) + "\n")

    def read_settings(self) -> dict[str, Any]:
        """How the run was started.

        Raises
        ------
        DataError
            If the folder holds no run.
        """
        if not self.settings_file.is_file():
            raise DataError(f"{self.root} is not a run folder (no {self.settings_file.name}); see: unweave disentangle")
        try:
            settings = json.loads(self.settings_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{self.settings_file} is damaged ({error})") from error
        if not isinstance(settings, dict):
            raise DataError(f"{self.settings_file} is damaged (no settings)")
        return settings

    def read_paths(self) -> Paths:
        """The result of the search.

        Raises
        ------
        DataError
            If the search has not finished.
        PathsError
            If the file is damaged.
        """
        if not self.paths_file.is_file():
            raise DataError(f"{self.root} has no {self.paths_file.name}: its search has not finished")
        return Paths.load(self.paths_file)
