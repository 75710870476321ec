"""Engines run tasks: here, or in processes. They know nothing about networks."""

from __future__ import annotations

from unweave.engine.base import Engine as Engine
from unweave.engine.inline import Inline
from unweave.engine.processes import Processes
from unweave.errors import SettingError

ENGINES = ("inline", "processes")


def engine_named(name: str, workers: int | None = None) -> Engine:
    """The engine called `name`; `workers` processes (default: one a core, at most four).

    Raises
    ------
    SettingError
        If there is none of that name, or it cannot have so many workers.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise SettingError(f"workers must be a whole number from 1, found {workers!r}")
    if name == "inline":
        if workers not in (None, 1):
            raise SettingError(f"engine inline has one worker, this process; for {workers} use engine processes")
        return Inline()
    if name == "processes":
        return Processes(workers)
    raise SettingError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
