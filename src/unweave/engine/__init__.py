"""Engines run tasks: here, in processes, or on the machines of a Ray cluster. They know nothing about networks."""

from __future__ import annotations

from unweave.engine.base import Engine as Engine
from unweave.engine.base import Needs as Needs
from unweave.engine.base import OutOfMemory as OutOfMemory
from unweave.engine.inline import Inline
from unweave.engine.processes import Processes
from unweave.engine.ray_cluster import RayCluster
from unweave.errors import SettingError

ENGINES = ("inline", "processes", "ray")


def engine_named(name: str, workers: int | None = None, address: str | None = None) -> Engine:
    """The engine called `name`; `workers` at a time (default: one a core, at most four; on a cluster of Ray at
    `address`, one a processor).

    Raises
    ------
    SettingError
        If there is none of that name, it cannot have so many workers, or has no use for an address.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise SettingError(f"workers must be a whole number from 1, found {workers!r}")
    if address is not None and name in ("inline", "processes"):
        raise SettingError(f"engine {name} works on this machine and has no use for an address; use engine ray")
    if name == "inline":
        if workers not in (None, 1):
            raise SettingError(f"engine inline has one worker, this process; for {workers} use engine processes")
        return Inline()
    if name == "processes":
        return Processes(workers)
    if name == "ray":
        return RayCluster(workers, address)
    raise SettingError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
