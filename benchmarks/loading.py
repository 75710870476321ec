"""Reading images at ImageNet's size: how long 1,000 folders of 1,281 files take to list, how fast pictures are
read, and whether the network waits for them.

    python -m benchmarks.loading

The folders hold hard links to a thousand photos of Imagenette (UNWEAVE_REAL_DATA), so that 1.3 million names need
little disk. The search is `released` on a user's MobileNet at 224 x 224, two passes; its time from files, read by this
process or ahead by one or two others, is compared with the same search on the same images in memory, in turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset

import unweave as uw
from benchmarks.common import keep, real_data, user_networks
from unweave.data.class_list import read_class_list
from unweave.data.folders import image_folder
from unweave.data.labelled import LabelledImages, labelled
from unweave.data.preprocessing import Preprocessing

CLASSES, EACH = 1000, 1281
TRANSFORM = Preprocessing("signed", 224)


def photos() -> list[str]:
    data = real_data() / "data"
    entries = read_class_list(data / "imagenet_classes.json")
    return [file for file, _ in image_folder(data / "imagenette" / "train", TRANSFORM, 1000, entries).samples]


def listing(folder: Path, classes: int) -> dict[str, float]:
    """Links for `classes` folders, listed as ImageNet's training folder would be."""
    files = photos()[:1000]
    own = folder / "photos"
    own.mkdir()
    copies = [shutil.copy(file, own / f"{k}.jpg") for k, file in enumerate(files)]
    for label in range(classes):
        place = folder / "train" / f"class{label:04d}"
        place.mkdir(parents=True)
        for k in range(EACH):
            os.link(copies[(label + k) % len(copies)], place / f"image_{k:06d}.JPEG")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    images = labelled(image_folder(folder / "train", TRANSFORM, classes))
    seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    kept = images.dataset.samples  # type: ignore[attr-defined]
    held = (kept._names.nbytes + kept._ends.nbytes + kept.labels.nbytes) / 1e6
    started = time.perf_counter()
    images.of_class(classes // 2, limit=100)
    return {
        "files": len(images),
        "seconds": seconds,
        "peak_megabytes_grown": grown,
        "megabytes_kept": held,
        "seconds_to_find_a_class": time.perf_counter() - started,
    }


def reading(images: LabelledImages, count: int, repeats: int) -> dict[str, list[float]]:
    """Images a second from files, by so many processes beside this one."""
    plan = np.array_split(np.arange(len(images))[:: max(1, len(images) // count)][:count], -(-count // 16))
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for workers in (0, 1, 2):
            source = labelled(images.dataset, workers=workers)
            started = time.perf_counter()
            read = sum(len(batch.positions) for batch in source.batches(plan))
            found.setdefault(str(workers), []).append(read / (time.perf_counter() - started))
    return found


def waiting(limit: int, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of a search of ten classes in one and in two passes, from memory and from files."""
    data = real_data() / "data"
    entries = read_class_list(data / "imagenet_classes.json")
    files = image_folder(data / "imagenette" / "train", TRANSFORM, 1000, entries)
    chosen = np.concatenate([np.flatnonzero(files.targets == c)[:limit] for c in np.unique(files.targets)])
    part = Subset(files, chosen.tolist())
    network = user_networks().mobilenet_v1()
    memory = TensorDataset(torch.stack([image for image, _ in part]), torch.from_numpy(files.targets[chosen]))
    sources = {"memory": memory, **{f"files, {w} loaders": labelled(part, workers=w) for w in (0, 1, 2)}}
    settings = {"objective": "released", "beta": 0.1, "keep_activations": False, "show_progress": False}
    found: dict[str, dict[str, list[float]]] = {name: {"1": [], "2": []} for name in sources}
    for _ in range(repeats):
        for name, source in sources.items():
            for passes in (1, 2):
                started = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # few steps
                    uw.disentangle(network, source, passes=passes, **settings)
                found[name][str(passes)].append(time.perf_counter() - started)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--count", type=int, default=480, help="images read in a sample")
    parser.add_argument("--limit", type=int, default=24, help="search images a class")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        listed = listing(Path(folder), arguments.classes)
        tree = labelled(image_folder(Path(folder) / "train", TRANSFORM, arguments.classes))
        rates = reading(tree, arguments.count, arguments.repeats)
    searches = waiting(arguments.limit, arguments.repeats)
    middle = {name: {p: float(np.median(s)) for p, s in by.items()} for name, by in searches.items()}
    later = {name: by["2"] - by["1"] for name, by in middle.items()}
    keep(
        "loading",
        {
            "listing": listed,
            "images_per_second_by_loaders": {name: float(np.median(values)) for name, values in rates.items()},
            "search_seconds_by_passes": middle,
            "time_of_first_pass_against_memory": {n: by["1"] / middle["memory"]["1"] for n, by in middle.items()},
            "time_of_a_later_pass_against_memory": {name: value / later["memory"] for name, value in later.items()},
            "raw": {"images_per_second": rates, "search_seconds": searches},
        },
    )


if __name__ == "__main__":
    main()
