"""Results of a long measurement, each kept in a file of its own as soon as it is known."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unweave.errors import RunError
from unweave.files import canonical_json, digest, read_text, write_text


class KeptResults:
    """A folder with one JSON file a result, named after what was asked for: `PART/NAME-DIGEST.json`.

    The digest is that of all settings, so that a result is never taken for one of other settings. Files are written
    whole or not at all; several processes may work in one folder, and at worst measure the same twice.
    """

    def __init__(self, root: str | os.PathLike[str] | None) -> None:
        """`root`: None keeps nothing."""
        self.root = None if root is None else Path(root)

    def get_or_make(
        self, part: str, name: str, asked: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The result that is kept for `asked`, or what `make` returns, which is kept from now on.

        Results hold plain values; NaN is kept as JSON's null, and null is read as NaN.

        Raises
        ------
        RunError
            If the file is damaged, or cannot be written.
        """
        file = self._file(part, name, asked)
        if file is not None and file.is_file():
            return self._read(file, asked)
        found = dict(make())
        if file is not None:
            try:
                write_text(file, canonical_json({"asked": asked, "result": _without_nan(found)}) + "\n")
            except OSError as error:
                raise RunError(
                    f"{file} cannot be written ({error.strerror or error}); make room, then repeat"
                ) from error
        return found

    def _file(self, part: str, name: str, asked: Mapping[str, Any]) -> Path | None:
        if self.root is None:
            return None
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower())
        return self.root / part / f"{plain}-{digest(canonical_json(asked))}.json"

    def _read(self, file: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            kept = json.loads(read_text(file))
            if canonical_json(kept["asked"]) != canonical_json(asked):
                raise ValueError("it is about something else")
            return {name: float("nan") if value is None else value for name, value in kept["result"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RunError(f"{file} is damaged ({error}); remove it, and it is measured anew") from error


def _without_nan(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in result.items()}
