"""From what a user types as `--start` to where a search begins."""

from __future__ import annotations

import os
from typing import Literal, cast, get_args

from torch import nn

from unweave.errors import DataError
from unweave.paths import Paths
from unweave.runs.folder import RunFolder

Word = Literal["random", "attribution"]


def start_named(typed: str, network: nn.Module) -> Paths | Word:
    """Where to begin: one of the two words, or the paths of a run folder or of a paths file (`./random` for a folder of
    that name).

    Raises
    ------
    DataError
        If there is neither, or the run has not finished.
    PathsError
        If the file is not a whole `Paths` file.
    MismatchError
        If the paths are another network's.
    """
    if typed in get_args(Word):
        return cast(Word, typed)
    if "://" in typed:
        return Paths.load(RunFolder(typed).finished_paths(), network)
    if os.path.isdir(typed):
        return Paths.load(RunFolder(typed).finished_paths(), network)
    if os.path.isfile(typed):
        return Paths.load(typed, network)
    raise DataError(
        f"no paths at {typed!r} to start from; give random, attribution, or a run folder or paths "
        "file, as unweave attribute makes"
    )
