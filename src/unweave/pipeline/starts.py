"""From what a user types as `--start` to where a search begins."""

from __future__ import annotations

import os

from torch import nn

from unweave.errors import DataError
from unweave.paths import Paths
from unweave.runs.folder import RunFolder


def start_named(typed: str, network: nn.Module) -> Paths:
    """The paths to begin with: those of a run folder, or of a paths file. (A word for a start that no file holds would
    be told apart here, before places are looked at.)

    Raises
    ------
    DataError
        If there is neither, or the run has not finished.
    PathsError
        If the file is not a whole `Paths` file.
    MismatchError
        If the paths are another network's.
    """
    if os.path.isdir(typed):
        return Paths.load(RunFolder(typed).finished_paths(), network)
    if os.path.isfile(typed):
        return Paths.load(typed, network)
    raise DataError(f"no paths at {typed!r} to start from; give a run folder or paths file, as unweave attribute makes")
