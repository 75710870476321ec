"""Peak memory with 100 rows against 10 rows, at the same batch size and with the same number of images.

    python -m benchmarks.memory

A ResNet-20-like network with 100 outputs and random weights, 1,600 synthetic images, one pass of `concept-path` (which
uses all images, right or wrong). Each figure is the peak resident size of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import torch

import unweave as uw
from benchmarks.common import keep, user_networks

IMAGES = 1600


def one(rows: int) -> None:
    """Search `rows` classes in this process and print its peak memory."""
    torch.manual_seed(0)
    network = user_networks().resnet20()
    network.linear = torch.nn.Linear(64, 100)
    images = torch.randn(IMAGES, 3, 32, 32)
    data = torch.utils.data.TensorDataset(images, torch.arange(IMAGES) % rows)
    paths = uw.disentangle(
        network, data, objective="concept-path", beta=0.1, passes=1, rows_per_batch=5, keep_activations=False
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": len(paths), "peak_bytes": peak, "score_bytes": 4 * rows * paths.sites.channels}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="search so many rows in this process (used by the script itself)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.rows:
        one(arguments.rows)
        return
    raw = []
    for _ in range(arguments.rounds):
        for rows in (10, 100):
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", "--rows", str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            raw.append(json.loads(done.stdout.splitlines()[-1]))
    peaks = {rows: sorted(r["peak_bytes"] for r in raw if r["rows"] == rows) for rows in (10, 100)}
    middle = {rows: values[len(values) // 2] for rows, values in peaks.items()}
    keep(
        "memory_rows",
        {
            "seed": 0,
            "peak_megabytes_10_rows": middle[10] / 1e6,
            "peak_megabytes_100_rows": middle[100] / 1e6,
            "growth_megabytes": (middle[100] - middle[10]) / 1e6,
            "score_tables_growth_megabytes": (raw[1]["score_bytes"] - raw[0]["score_bytes"]) / 1e6,
            "spread_megabytes_within_10_rows": (peaks[10][-1] - peaks[10][0]) / 1e6,
            "raw": raw,
        },
    )


if __name__ == "__main__":
    main()
