"""What all benchmarks share: where the real networks and images are, what machine this is, how results are kept."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from unweave.tables import Table

RESULTS = Path(__file__).parent / "results"


def real_data() -> Path:
    """The folder that UNWEAVE_REAL_DATA names; it has `models/networks.py` and `data/`."""
    folder = os.environ.get("UNWEAVE_REAL_DATA")
    if not folder or not (Path(folder) / "models" / "networks.py").is_file():
        sys.exit("set UNWEAVE_REAL_DATA to a folder with models/networks.py and data/")
    return Path(folder)


def user_networks() -> ModuleType:
    """`networks.py` of the real data, as a user's own file."""
    spec = importlib.util.spec_from_file_location("networks", real_data() / "models" / "networks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def keep(name: str, result: dict[str, Any], folder: Path = RESULTS) -> None:
    """Write `results/NAME.json` with the command and machine that made it, and print it."""
    command = " ".join(["python", "-m", "benchmarks." + Path(sys.argv[0]).stem, *sys.argv[1:]])
    whole = {"command": command, "machine": machine(), **result}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "raw"}, indent=1))


def table_of(saved: dict[str, Any]) -> Table:
    """A table back from its JSON form."""
    columns = {
        name: tuple(float("nan") if value is None else value for value in values)
        for name, values in saved["columns"].items()
    }
    return Table(saved["title"], columns, saved.get("meanings", {}), saved["summary"])
