"""What smaller sub-architectures cost: `selective` at told sizes, one-against-rest, beside the whole network.

    python -m benchmarks.sizes resnet56 --work work/sizes --seeds 0 1 2

Each seed is one search down to the smallest size; larger sizes are the masks that it went through (a channel belongs to
the size at which it had not been closed yet for good). Searched on training images, measured on the 1,000 test images.
What is finished stays in `--work`.
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


def cut(paths: Paths, share: float) -> Paths:
    """The `share` of all channels with the highest scores, for every row."""
    assert paths.scores is not None
    names = paths.sites.names
    scores = torch.cat([paths.scores[name] for name in names], 1)
    ranks = scores.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    masks = torch.split(ranks < round(share * scores.shape[1]), [site.channels for site in paths.sites], 1)
    return Paths(dict(zip(names, masks, strict=True)), paths.rows, paths.sites, paths.manifest)


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


def one_seed(network: Any, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """A search and what its sizes do; both are kept in the run folder."""
    search, test = data_of(arguments.network)
    settings = (arguments.network, arguments.limit, arguments.passes, arguments.augment, arguments.precision)
    name = "_".join(str(part) for part in (*settings, arguments.shares[-1], seed))
    folder = RunFolder(arguments.work / name)
    begun, processor = folder.begun, time.process_time()
    paths = uw.disentangle(
        network,
        search,
        keep=arguments.shares[-1],
        limit_per_class=arguments.limit,
        passes=arguments.passes,
        augment=arguments.augment,
        precision=arguments.precision,
        seed=seed,
        run=folder.root,
    )
    seconds = None if begun else time.process_time() - processor
    measured = once(
        folder.root / "sizes.json",
        {"shares": arguments.shares},
        lambda: {"processor_seconds": seconds, **measure(network, paths, test, seed, arguments.shares)},
    )
    return {"seed": seed, "choices": max(paths.manifest["steps"]), **measured}


def measure(network: Any, paths: Paths, test: LabelledImages, seed: int, shares: list[float]) -> dict[str, Any]:
    """All sizes, the whole network, and random masks of the smallest size."""
    own = np.stack([np.isin(test.labels, members) for members in paths.rows.members])
    whole = calls(network, paths, test, masked=False)
    sizes = []
    for share in shares:
        part = cut(paths, share)
        through = calls(network, part, test)
        usage = [float(mask.float().mean()) for mask in part.masks.values()]
        compared = difference(through, whole, own, test.labels)
        line = {"channels": share, "mean_of_sites": float(np.mean(usage)), "difference": compared, "usage": usage}
        sizes.append({**line, **judged(through, own)})
        print(f"seed {seed}, {share:.0%}: balanced {sizes[-1]['balanced']:.4f}, {compared}", flush=True)
    random = calls(network, part.random_control(1000 + seed), test)
    return {"sizes": sizes, "whole": judged(whole, own), "random": judged(random, own)}


def over_seeds(runs: list[dict[str, Any]], shares: list[float]) -> list[dict[str, Any]]:
    """Each size's means over seeds, with the values."""
    found = []
    for place, share in enumerate(shares):
        same = [run["sizes"][place] for run in runs]
        line: dict[str, Any] = {"channels": share}
        for name in ("mean_of_sites", "own", "false_accepts", "balanced", "worst"):
            line[name] = {"mean": float(np.mean([one[name] for one in same])), "values": [one[name] for one in same]}
        changes = [one["difference"] for one in same]
        line["against_whole_network"] = {k: float(np.mean([c[k] for c in changes])) for k in ("difference",)} | {
            "each_seed": changes
        }
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
    parser.add_argument("--shares", nargs="+", type=float, default=[0.9, 0.8, 0.75, 0.7, 0.65, 0.6])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--search-only", action="store_true", help="leave the result unwritten (other seeds elsewhere)")
    arguments = parser.parse_args()
    arguments.shares.sort(reverse=True)
    torch.set_num_threads(arguments.threads)
    network = getattr(user_networks(), arguments.network)()
    runs = [one_seed(network, seed, arguments) for seed in arguments.seeds]
    if arguments.search_only:
        return
    keep(
        f"sizes_{arguments.network}",
        {
            "network": arguments.network,
            "settings": {"search_images_per_class": arguments.limit, "passes": arguments.passes}
            | {"augment": arguments.augment, "precision": arguments.precision, "choices": runs[0]["choices"]},
            "measured_on": "the 1,000 test images of CIFAR-10",
            "whole_network": runs[0]["whole"],
            "sizes": over_seeds(runs, arguments.shares),
            "random_mask_of_the_smallest_size": [run["random"] for run in runs],
            "raw": runs,
        },
    )


if __name__ == "__main__":
    main()
