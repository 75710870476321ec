"""Similarity, clusters and interpretability of 1,000 classes over 17 sites of up to 2,048 channels.

    python -m benchmarks.scale

Random masks at the sites of a ResNet-50. Each figure is of a process of its own: `seconds` of the measure alone,
without imports; `peak_megabytes` how much the peak resident size grew while it ran.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

import unweave as uw
from benchmarks.common import keep
from unweave.network.sites import Site, Sites
from unweave.paths import Paths, Rows
from unweave.tables import Table

CLASSES = 1000
CHANNELS = [64, *[256] * 3, *[512] * 4, *[1024] * 6, *[2048] * 3]
MEASURES = ("similarity", "cluster", "interpretability", "stability")


def paths_of(seed: int) -> Paths:
    """Each class keeps every channel with a chance of its site: about what a search leaves."""
    numbers = torch.Generator().manual_seed(seed)
    sites = Sites(
        [Site(f"s{i}/relu:0", 1, n, (n, 7, 7)) for i, n in enumerate(CHANNELS)], (3, 224, 224), "float32", None
    )
    shares = torch.linspace(0.95, 0.3, len(CHANNELS))
    masks = {
        site.name: torch.rand(CLASSES, site.channels, generator=numbers) < share
        for site, share in zip(sites, shares, strict=True)
    }
    return Paths(masks, Rows.of_classes(range(CLASSES)), sites, {"method": "random"})


def one(measure: str) -> None:
    """Take one measure in this process and print what it took."""
    first, second = paths_of(0), paths_of(1)
    shares = np.random.default_rng(0).random(CLASSES)
    accuracies = Table("random", {"name": first.rows.names, "sub_architecture": tuple(shares.tolist())}, {})
    groups = {f"group {g}": list(range(g, CLASSES, 20)) for g in range(20)}
    for module in ("scipy.cluster.hierarchy", "sklearn.metrics"):  # what is timed is the measure
        importlib.import_module(module)

    calls = {
        "similarity": lambda: uw.similarity(first),
        "cluster": lambda: uw.cluster(first, groups=groups),
        "interpretability": lambda: uw.interpretability(first, accuracies),
        "stability": lambda: uw.stability([first, second]),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    calls[measure]()
    taken = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - worked}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"measure": measure, **taken, "peak_megabytes": grown / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=MEASURES, help="take one in this process (used by the script itself)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.measure:
        one(arguments.measure)
        return
    raw = []
    for _ in range(arguments.rounds):
        for measure in MEASURES:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scale", "--measure", measure]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            raw.append(json.loads(done.stdout.splitlines()[-1]))
    figures = {
        measure: {
            name: float(np.median([r[name] for r in raw if r["measure"] == measure]))
            for name in ("seconds", "processor_seconds", "peak_megabytes")
        }
        for measure in MEASURES
    }
    keep("scale", {"classes": CLASSES, "channels": CHANNELS, "seed": 0, "medians": figures, "raw": raw})


if __name__ == "__main__":
    main()
