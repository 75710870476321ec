"""Getting to Ray: one that is started here and shut down again, or a cluster that is joined and left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unweave.engine.base import Needs
from unweave.errors import EngineError, MissingExtraError, SettingError

SECONDS_TO_REACH = 10.0
"""For a connection to the address."""
SECONDS_TO_ANSWER = 60.0
"""For Ray's answer there: starting Python and importing Ray in a process of its own is most of it."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Started by `uv run`, Ray would build an environment anew in every worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # What Ray says of workers goes to standard output, where --json prints its one object. Its logs have it all.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A task that Ray ended for a lack of memory is repeated by the search, smaller, not by Ray as it was.
    "RAY_task_oom_retries": "0",
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray listens on all of a machine's addresses, on this one's own alone with this (on Linux too)."""

_ASK = """
import json, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
    print("RESOURCES", json.dumps([node["Resources"] for node in ray.nodes() if node["Alive"]]))
except Exception as error:
    print("REFUSED", " ".join(str(error).split()))
"""


def imported(address: str | None = None) -> Any:
    """The package. It reads its settings as it is imported: where that was done before, they are the caller's.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        with environment(_settings(address)):
            import ray
    except ImportError as error:
        raise MissingExtraError(
            "Ray is not installed: pip install 'unweave[ray]', or engine processes on one machine"
        ) from error
    return ray


@contextmanager
def environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set variables that are not set, while the block lasts."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def connected(address: str | None, workers: int, needs: Needs) -> Iterator[Any]:
    """Ray, while the block lasts: at `address`, or started here with room for `workers` tasks. A connection that this
    process has already is used, and stays.

    Raises
    ------
    EngineError
        If it cannot be reached, or started, or no node of it has what a task needs.
    MissingExtraError
        If it is not installed.
    """
    ray = imported(address)
    own = not ray.is_initialized()
    with environment(_settings(address)):
        if own:
            _connect(ray, address, workers, needs)
        else:
            _check_same(ray, address)
        try:
            check_room(ray, needs)
            yield ray
        finally:
            if own:
                ray.shutdown()


def _settings(address: str | None) -> dict[str, str]:
    return {**QUIET, **LOOPBACK} if address is None else QUIET


def _connect(ray: Any, address: str | None, workers: int, needs: Needs) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if address is None:
        _start(ray, {**options, "num_cpus": workers * needs.threads, "include_dashboard": False})
        return
    nodes_at(address)
    try:
        ray.init(address=address, **options)
    except Exception as error:
        raise EngineError(f"Ray at {address} cannot be joined ({_line(error)}); engine processes needs none") from error


def _start(ray: Any, options: dict[str, Any]) -> None:
    for last in (False, True):
        try:
            ray.init(address="local", **options)
            return
        except Exception as error:
            ray.shutdown()
            # On a busy machine Ray's own processes find each other too late; the second time they are in memory.
            if last:
                raise EngineError(
                    f"Ray cannot be started here ({_line(error)}); engine processes needs none"
                ) from error


def _check_same(ray: Any, address: str | None) -> None:
    there = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", there):
        raise EngineError(
            f"this process is connected to Ray at {there} already; call ray.shutdown() before using {address}"
        )


def check_room(ray: Any, needs: Needs) -> None:
    """Refuse a cluster none of whose nodes could ever run a task, which would wait for ever.

    Raises
    ------
    EngineError
        Saying what is needed, and what the largest node has.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(node.get("CPU", 0) >= needs.threads and node.get("GPU", 0) >= needs.gpus for node in nodes):
        return
    cpus, gpus = (max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU"))
    raise EngineError(
        f"a task needs {needs.threads} processors and {needs.gpus} GPUs of one node, Ray's nodes have at most {cpus:g} "
        f"and {gpus:g}; begin again with fewer --threads or another --device, or add nodes"
    )


def nodes_at(address: str) -> list[dict[str, float]]:
    """What each node of the cluster at `address` has. Asked in a process of its own, because Ray waits for minutes for
    what does not answer, and then ends the process that it is in.

    Raises
    ------
    EngineError
        If nothing answers there, in time, or it is no Ray of the same version.
    """
    _check_address(address)
    try:
        with environment(QUIET):
            asked = subprocess.run(
                [sys.executable, "-c", _ASK, address],
                capture_output=True,
                text=True,
                timeout=SECONDS_TO_ANSWER,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"what listens at {address} does not answer as Ray within {SECONDS_TO_ANSWER:g} s; give the address that "
            "ray start --head printed (its port is 6379, unless told otherwise)"
        ) from error
    for line in asked.stdout.splitlines():
        if line.startswith("RESOURCES "):
            found: list[dict[str, float]] = json.loads(line.removeprefix("RESOURCES "))
            return found
    refused = [line for line in asked.stdout.splitlines() if line.startswith("REFUSED ")]
    said = refused or asked.stderr.strip().splitlines()
    why = _line(said[-1].removeprefix("REFUSED ")) if said else f"it ended with {asked.returncode}"
    raise EngineError(
        f"Ray at {address} cannot be joined ({why}); start it with ray start --head, or leave the address out to use "
        "this machine"
    )


def _check_address(address: str) -> None:
    """That something listens there: at once where nothing does."""
    if address == "auto":
        return
    if "://" in address:
        raise SettingError(
            f"Ray's clients cannot be used ({address}); run on a node of the cluster, with address HOST:PORT or auto"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):
        raise SettingError(f"the address of Ray is HOST:PORT or auto, found {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_REACH).close()
    except OSError as error:
        raise EngineError(
            f"nothing answers at {address} ({_line(error)}); start Ray there with ray start --head, or leave the "
            "address out to use this machine"
        ) from error


def _line(error: object) -> str:
    """The first 200 characters, in one line."""
    return " ".join(str(error).split())[:200]
