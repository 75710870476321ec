"""What it takes to make planted networks, and which seeds are refused.

    python -m benchmarks.planting

Ten classes with seeds 0 to 9 of every kind; 30 and 100 classes with a few seeds. No data are needed. Seconds are
processor seconds of one thread.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from benchmarks.common import keep
from unweave.errors import PlantedError
from unweave.planted import plant
from unweave.planted.architecture import KINDS

MORE = (("plain", 30, 0), ("plain", 100, 0), ("plain", 100, 1), ("residual", 100, 0), ("concatenating", 100, 0))
"""(kind, classes, seed) beside ten classes."""


def made(kind: Any, classes: int, seed: int) -> dict[str, Any]:
    """Whether the network is accepted, what it costs, and how often it is right on images held out."""
    begun, refused, top1 = time.process_time(), None, None
    try:
        top1 = plant(kind, classes, seed=seed).top1
    except PlantedError as error:
        refused = str(error)
    found = {"kind": kind, "classes": classes, "seed": seed, "seconds": time.process_time() - begun, "top1": top1}
    print({**found, "refused": refused}, flush=True)
    return {**found, "refused": refused}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="of ten classes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = [*((kind, 10, seed) for kind in KINDS for seed in range(arguments.seeds)), *MORE]
    keep("planting", {"raw": [made(*one) for one in asked]})


if __name__ == "__main__":
    main()
