"""The versions that a result depends on."""

from importlib.metadata import PackageNotFoundError, version

import torch


def versions() -> dict[str, str]:
    """`{"unweave": ..., "torch": ...}`."""
    try:
        own = version("unweave")
    except PackageNotFoundError:  # run from a source tree that was not installed
        own = "unknown"
    return {"unweave": own, "torch": torch.__version__}
