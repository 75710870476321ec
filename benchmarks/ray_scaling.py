"""Two workers of Ray against one, and a schedule for 100 workers simulated from what the tasks took.

    UNWEAVE_REAL_DATA=FOLDER python -m benchmarks.ray_scaling [--quick]

A search of ResNet-20 on CIFAR-10, ten classes in shards of one, one thread a worker, so that both do the same ten
tasks with the same bytes. Ray is started once, and every worker has imported what it needs before anything is timed;
each timed search prepares the network in each of its workers anew, as every search does. One and two workers take
turns. `seconds` are of whole searches; `task_seconds` of each task, from the searches with one worker (the first of
each search is left out: the worker prepares the network in it).

The schedule: 1,000 classes in shards of one to twenty, the time of a class drawn from the measured ones. A free worker
takes the next shard: in order, or the longest of those that are left, which needs times that nobody knows beforehand
and shows what a better order could gain; it is not always the best. `bound`: no schedule ends sooner, because the work
is shared by 100 workers at most and no shard is divided; the best one may end later. `utilisation` is the share of 100
workers' time, until the last is done, that is work. Not in it: what sending takes, the network that every worker
prepares first, and machines of different speed.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep, real_data, user_networks
from unweave.data.cifar import cifar
from unweave.data.labelled import LabelledImages, labelled
from unweave.data.preprocessing import Preprocessing
from unweave.engine import Needs
from unweave.engine.ray_cluster import RayCluster
from unweave.runs.folder import RunFolder
from unweave.search.search import Search
from unweave.search.settings import Settings

WORKERS, CLASSES, DRAWS = 100, 1000, 20
SHARDS = (1, 2, 5, 10, 20)


class Timed(RayCluster):
    """Notes when each result came."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.moments: list[float] = []

    def run(self, work: Any, tasks: Sequence[Any], arrived: Any = lambda position, result: None) -> Any:
        """As the engine does."""

        def noted(position: int, result: Any) -> None:
            self.moments.append(time.perf_counter())
            arrived(position, result)

        return super().run(work, tasks, noted)


def search_once(
    network: Any, images: LabelledImages, settings: Settings, workers: int
) -> tuple[float, list[float], bytes]:
    """Seconds of a search, seconds between its results, and its bytes."""
    engine = Timed(workers)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        search = Search(network, images, "block", settings, folder=run, engine=engine, show_progress=False)
        _ = search.plan  # captured here, before the clock runs
        started = time.perf_counter()
        search.run()
        seconds = time.perf_counter() - started
        return seconds, np.diff(engine.moments).tolist(), run.paths_file.read_bytes()


def makespan(times: Sequence[float], workers: int, *, longest_first: bool) -> float:
    """When the last of `workers` is done, each taking the next task as it becomes free."""
    free = [0.0] * workers
    for seconds in sorted(times, reverse=True) if longest_first else times:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def schedule(class_seconds: Sequence[float], shard: int, seed: int) -> dict[str, float]:
    """Seconds until 1,000 classes, in shards of so many and with times drawn by `seed`, are done on 100 workers, by
    order; no schedule could do it in less than `bound`."""
    drawn = np.random.default_rng(seed).choice(np.asarray(class_seconds), CLASSES)
    times = [float(drawn[first : first + shard].sum()) for first in range(0, CLASSES, shard)]
    in_order, longest = (makespan(times, WORKERS, longest_first=first) for first in (False, True))
    return {
        "in_order": in_order,
        "longest_first": longest,
        "bound": max(sum(times) / WORKERS, *times),
        "utilisation_in_order": sum(times) / (WORKERS * in_order),
        "utilisation_longest_first": sum(times) / (WORKERS * longest),
    }


def simulated(class_seconds: Sequence[float]) -> list[dict[str, float]]:
    """Means over draws, for each size of shards."""
    rows = []
    for shard in SHARDS:
        found = [schedule(class_seconds, shard, seed) for seed in range(DRAWS)]
        means = {name: statistics.mean(one[name] for one in found) for name in found[0]}
        rows.append({"classes_per_shard": shard, "shards": -(-CLASSES // shard), **means})
    return rows


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-per-class", type=int, default=100)
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a trial: few images, one repeat; kept nowhere")
    typed = parser.parse_args()
    repeats, limit, passes = (1, 4, 2) if typed.quick else (typed.repeats, typed.limit_per_class, typed.passes)
    network = user_networks().resnet20()
    images = labelled(cifar(real_data() / "data" / "cifar10", "cifar10", True, Preprocessing("imagenet")))
    settings = Settings(
        "released", 0.1, limit_per_class=limit, passes=passes, classes_per_shard=1, threads=1, keep_activations=False
    )
    raw, bytes_found = [], set()
    with RayCluster(2).opened(Needs(threads=1)):  # one Ray for all; what follows finds it connected
        search_once(network, images, replace(settings, limit_per_class=2, passes=1), 2)
        for number in range(repeats):
            for workers in (1, 2) if number % 2 == 0 else (2, 1):
                seconds, between, found = search_once(network, images, settings, workers)
                bytes_found.add(found)
                raw.append({"workers": workers, "seconds": seconds, "task_seconds": between if workers == 1 else None})
                print(f"{workers} workers: {seconds:.1f} s", flush=True)
    assert len(bytes_found) == 1, "one and two workers found other bytes"
    seconds = {w: statistics.median(one["seconds"] for one in raw if one["workers"] == w) for w in (1, 2)}
    tasks = [s for one in raw if one["task_seconds"] for s in one["task_seconds"]]
    result = {
        "settings": {"limit_per_class": limit, "passes": passes, "repeats": repeats, "classes_per_shard": 1},
        "seconds": {str(workers): value for workers, value in seconds.items()},
        "speedup": seconds[1] / seconds[2],
        "task_seconds": {"median": statistics.median(tasks), "least": min(tasks), "most": max(tasks)},
        "schedule": {"workers": WORKERS, "classes": CLASSES, "draws": DRAWS, "rows": simulated(tasks)},
        "raw": raw,
    }
    if typed.quick:
        print(result)
    else:
        keep("ray_scaling", result)


if __name__ == "__main__":
    main()
