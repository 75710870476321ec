"""What mixed precision changes in a search: the same seed in float32 and in bfloat16, and another seed as a yardstick.

    python -m benchmarks.precision resnet20 --methods released selective --limit 500

Searched on training images, measured in float32 on the 1,000 test images. The searches in float32 are the run folders
of `benchmarks.studies` below `--work`, those in bfloat16 are kept below `--work`/bfloat16; what is there is not
searched again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unweave as uw
from benchmarks.common import keep
from benchmarks.images import PREPROCESSING
from benchmarks.studies import image_differences, paired
from benchmarks.study_methods import METHODS, Study
from unweave.errors import FewStepsWarning
from unweave.network.precision import PRECISIONS
from unweave.paths import Paths

TIMED_IMAGES = 64
TIMED_PASSES = (1, 4)
ROUNDS = 3
SEARCHES = ("released", "variational", "selective")


def agreement(first: Paths, second: Paths) -> dict[str, float]:
    """Share of (class, channel) pairs that both keep, or both do not; and Jaccard's similarity, mean over classes and
    sites (two empty masks: 1)."""
    same = np.concatenate([(first.masks[name] == second.masks[name]).numpy() for name in first.masks], 1)
    shared = []
    for name, mask in first.masks.items():
        both, either = (mask & second.masks[name]).sum(1), (mask | second.masks[name]).sum(1)
        shared.append((both / either.clamp_min(1)).where(either > 0, 1.0))
    return {"same": float(same.mean()), "jaccard": float(torch.stack(shared).mean())}


def judged(study: Study, method: str, seed: int, paths: Paths) -> dict[str, Any]:
    """What the masks keep, and their balanced accuracy against the whole network's, measured in float32."""
    called = uw.specificity(study.network, paths, study.images[1], controls=1, seed=seed).summary
    found = {name: value for name, value in called.items() if not isinstance(value, str)}
    change = paired(*image_differences(study, method, seed, paths))
    return {**found, "kept": uw.usage(paths).summary["usage"], "points": change}


def compared(wide: Study, method: str, seeds: list[int]) -> dict[str, Any]:
    """Both precisions with the first seed; float32 with the second, too."""
    narrow = replace(wide, work=wide.work / "bfloat16", precision="bfloat16")
    one, other = seeds
    runs = {
        "float32": (wide, one, METHODS[method](wide, one)),
        "bfloat16": (narrow, one, METHODS[method](narrow, one)),
        "float32, other seed": (wide, other, METHODS[method](wide, other)),
    }
    found = {}
    for name, (study, seed, paths) in runs.items():
        seconds = json.loads((study.folder(method, seed).root / "seconds.json").read_text())
        found[name] = {**judged(study, method, seed, paths), "seed": seed, "search": seconds}
        found[name]["agreement"] = agreement(runs["float32"][2], paths)
    return found


def seconds_a_pass(study: Study, method: str, precision: str) -> float:
    """Processor seconds of a pass over `TIMED_IMAGES` images a class: of two searches that differ in their passes."""
    took = []
    for passes in TIMED_PASSES:
        started = time.process_time()
        uw.disentangle(
            study.network,
            study.images[0],
            objective=method,
            limit_per_class=TIMED_IMAGES,
            passes=passes,
            precision=precision,
            keep_activations=True,
            show_progress=False,
            **({} if method == "selective" else {"beta": study.beta}),
        )
        took.append(time.process_time() - started)
    return (took[1] - took[0]) / (TIMED_PASSES[1] - TIMED_PASSES[0])


def timed(study: Study, method: str) -> dict[str, Any]:
    """Both precisions in turn, several times."""
    rounds = [{p: seconds_a_pass(study, method, p) for p in PRECISIONS} for _ in range(ROUNDS)]
    ratios = [one["bfloat16"] / one["float32"] for one in rounds]
    return {"images_per_class": TIMED_IMAGES, "ratio": float(np.median(ratios)), "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(PREPROCESSING))
    parser.add_argument("--methods", nargs="+", choices=SEARCHES, default=["released", "selective"])
    parser.add_argument("--work", type=Path, default=Path("work/studies"), help="where the run folders are")
    parser.add_argument("--seeds", nargs=2, type=int, default=[0, 1])
    parser.add_argument("--limit", type=int, default=500, help="search images a class")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--beta", type=float, default=0.1)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", FewStepsWarning)  # the timed searches are short on purpose
    study = Study(chosen.network, chosen.work, chosen.limit, chosen.passes, chosen.rate, chosen.beta)
    keep(
        f"precision_{chosen.network}",
        {
            "network": chosen.network,
            "search_images_per_class": chosen.limit,
            "measured_on": "the 1,000 test images of CIFAR-10",
            "processor": torch.backends.cpu.get_cpu_capability(),
            "methods": {method: compared(study, method, chosen.seeds) for method in chosen.methods},
            "processor_seconds_a_pass": {method: timed(study, method) for method in chosen.methods},
        },
    )


if __name__ == "__main__":
    main()
