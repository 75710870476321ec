"""What smaller sub-architectures cost: `selective` at told sizes, one-against-rest, beside the whole network.

    python -m benchmarks.sizes resnet56 --work work/sizes --seeds 0 1 2

Every size and seed is a search of its own. Searched on training images, measured on the 1,000 test images. What is
finished stays in `--work`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unweave as uw
from benchmarks.common import keep, user_networks
from benchmarks.fine_tuning import once
from benchmarks.images import PREPROCESSING, data_of
from benchmarks.studies import paired
from unweave.analysis.class_rows import class_rows
from unweave.analysis.predictions import Predictor, image_batches
from unweave.data.labelled import LabelledImages
from unweave.paths import Paths
from unweave.runs.folder import RunFolder


def calls(network: Any, paths: Paths, images: LabelledImages, *, masked: bool = True) -> np.ndarray:
    """`[rows, images]`, whether each row calls an image by its class: through its mask, or by the whole network."""
    rows, predictor = class_rows(paths, "this"), Predictor.of(network, paths)
    found = []
    for _, batch in image_batches(images, range(len(images))):
        original = None if masked else predictor.original(batch)
        scores = [predictor.through(n, batch) if original is None else original for n in range(len(rows))]
        found.append(np.stack([row.called(table) for row, table in zip(rows, scores, strict=True)]))
    return np.concatenate(found, 1)


def judged(called: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """Own-class share, false accepts and balanced accuracy, means over rows; balanced of each row."""
    accepted = (called & own).sum(1) / own.sum(1)
    false = (called & ~own).sum(1) / (~own).sum(1)
    balanced = (accepted + 1 - false) / 2
    found = {"own": accepted.mean(), "false_accepts": false.mean(), "balanced": balanced.mean()}
    return {**{k: float(v) for k, v in found.items()}, "worst": float(balanced.min()), "rows": balanced.tolist()}


def difference(through: np.ndarray, whole: np.ndarray, own: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Balanced accuracy through the masks less that of the whole network, with its 95 % interval over images."""
    change = through.astype(float) - whole
    weights = np.where(own, 1 / own.sum(1, keepdims=True), -1 / (~own).sum(1, keepdims=True))
    return paired((weights * change).sum(0) / (2 * len(own)), labels)


def one_search(network: Any, seed: int, share: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """A search for a size and what it found; both are kept in the run folder."""
    search, test = data_of(arguments.network)
    settings = (arguments.network, arguments.limit, arguments.passes, arguments.augment, arguments.precision)
    folder = RunFolder(arguments.work / "_".join(str(part) for part in (*settings, share, seed)))
    begun, processor = folder.begun, time.process_time()
    paths = uw.disentangle(
        network,
        search,
        keep=share,
        limit_per_class=arguments.limit,
        passes=arguments.passes,
        augment=arguments.augment,
        precision=arguments.precision,
        seed=seed,
        run=folder.root,
    )
    seconds = None if begun else time.process_time() - processor
    measured = once(
        folder.root / "own_size.json",
        {"share": share},
        lambda: {"processor_seconds": seconds, **measure(network, paths, test, seed)},
    )
    print(f"{share:.0%}, seed {seed}: balanced {measured['balanced']:.4f}, {measured['difference']}", flush=True)
    return {"seed": seed, "channels": share, "choices": max(paths.manifest["steps"]), **measured}


def measure(network: Any, paths: Paths, test: LabelledImages, seed: int) -> dict[str, Any]:
    """The sub-architectures, the whole network, and random masks of their sizes."""
    own = np.stack([np.isin(test.labels, members) for members in paths.rows.members])
    whole, through = calls(network, paths, test, masked=False), calls(network, paths, test)
    random = calls(network, paths.random_control(1000 + seed), test)
    usage = [float(mask.float().mean()) for mask in paths.masks.values()]
    return {
        **{"mean_of_sites": float(np.mean(usage)), "usage": usage, **judged(through, own)},
        "difference": difference(through, whole, own, test.labels),
        "whole": judged(whole, own),
        "random": judged(random, own),
    }


def over_seeds(searches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each size's means over seeds, with the values; the largest size first."""
    found = []
    for share in sorted({one["channels"] for one in searches}, reverse=True):
        same = [one for one in searches if one["channels"] == share]
        line: dict[str, Any] = {"channels": share, "seeds": [one["seed"] for one in same]}
        for name in ("mean_of_sites", "own", "false_accepts", "balanced", "worst"):
            line[name] = {"mean": float(np.mean([one[name] for one in same])), "values": [one[name] for one in same]}
        changes = [one["difference"] for one in same]
        mean = float(np.mean([change["difference"] for change in changes]))
        line["against_whole_network"] = {"difference": mean, "each_seed": changes}
        line["random"] = [one["random"]["balanced"] for one in same]
        found.append(line)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(PREPROCESSING))
    parser.add_argument("--work", type=Path, default=Path("work/sizes"), help="where the run folders are")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=500, help="search images a class")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--augment", default="mild")
    parser.add_argument("--precision", default="float32", help="of the searches: float32 or bfloat16")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.9, 0.8, 0.7, 0.6])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = getattr(user_networks(), arguments.network)()
    searches = [
        one_search(network, seed, share, arguments) for share in sorted(arguments.shares) for seed in arguments.seeds
    ]
    keep(
        f"sizes_{arguments.network}",
        {
            "network": arguments.network,
            "settings": {"search_images_per_class": arguments.limit, "passes": arguments.passes}
            | {"augment": arguments.augment, "precision": arguments.precision, "choices": searches[0]["choices"]},
            "measured_on": "the 1,000 test images of CIFAR-10",
            "whole_network": searches[0]["whole"],
            "sizes": over_seeds(searches),
            "raw": searches,
        },
    )


if __name__ == "__main__":
    main()
