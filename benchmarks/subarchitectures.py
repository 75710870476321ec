"""Class sub-architectures of networks trained by others: accuracy, false accepts, controls, similarity, usage.

    python -m benchmarks.subarchitectures resnet20 --beta 0.1 --limit 500
    python -m benchmarks.subarchitectures squeezenet --beta elbow --limit 50

CIFAR-10 networks: searched on training images, measured on the 1,000 test images. ImageNet networks: searched on
Imagenette's training folder (ten of the 1,000 classes), measured on its photos from ImageNet's validation set.
"""

from __future__ import annotations

import argparse
import csv
import time

import torch
from torch.utils.data import Subset

import unweave as uw
from benchmarks.common import keep, real_data, user_networks
from unweave.analysis.accuracy import accuracy_histogram
from unweave.data.cifar import cifar
from unweave.data.folders import image_folder, read_class_list
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing

PREPROCESSING = {
    "resnet20": "imagenet",
    "resnet56": "imagenet",
    "densenet40": "raw",
    "squeezenet": "imagenet",
    "mobilenet_v1": "signed",
}
IMAGENET = ("squeezenet", "mobilenet_v1")


def data_of(name: str):
    """(search images, images to measure on)"""
    data = real_data() / "data"
    if name not in IMAGENET:
        transform = Preprocessing(PREPROCESSING[name])
        return [labelled(cifar(data / "cifar10", "cifar10", train, transform)) for train in (True, False)]
    transform = Preprocessing(PREPROCESSING[name], 224)
    entries = read_class_list(data / "imagenet_classes.json")
    train, val = (image_folder(data / "imagenette" / part, transform, 1000, entries) for part in ("train", "val"))
    with open(data / "imagenette" / "labels.csv") as lines:
        published = {row["path"] for row in csv.DictReader(lines) if row["origin"] == "imagenet_val"}
    root = data / "imagenette"
    seen = [i for i, (file, _) in enumerate(train.samples) if file[len(str(root)) + 1 :] not in published]
    unseen = [i for i, (file, _) in enumerate(val.samples) if file[len(str(root)) + 1 :] in published]
    return labelled(Subset(train, seen)), labelled(Subset(val, unseen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(PREPROCESSING))
    parser.add_argument("--beta", default="0.1")
    parser.add_argument("--objective", default="released")
    parser.add_argument("--limit", type=int, default=None, help="search images a class; default all")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--elbow-limit", type=int, default=200, help="images a class for the elbow's sweep")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    network = getattr(user_networks(), arguments.network)()
    search, measure = data_of(arguments.network)
    beta = arguments.beta if arguments.beta == "elbow" else float(arguments.beta)
    started = time.perf_counter()
    paths = uw.disentangle(
        network,
        search,
        objective=arguments.objective,
        beta=beta,
        validation=measure,
        limit_per_class=arguments.limit,
        passes=arguments.passes,
        rate=arguments.rate,
        elbow_limit_per_class=arguments.elbow_limit,
        seed=arguments.seed,
    )
    seconds = time.perf_counter() - started
    accuracy = uw.accuracy(network, paths, measure)
    specificity = uw.specificity(network, paths, measure, controls=2)
    similarity, usage = uw.similarity(paths), uw.usage(paths)
    whole = _whole_accuracy(network, measure)
    label = "elbow" if beta == "elbow" else f"beta{beta:g}"
    size = arguments.limit or "all"
    keep(
        f"subarchitectures_{arguments.network}_{arguments.objective}_{label}_{size}{_suffix(arguments)}",
        {
            "network": arguments.network,
            "objective": arguments.objective,
            "beta": paths.manifest["objective"]["beta"],
            "beta_given": arguments.beta,
            "seed": arguments.seed,
            "search_images_per_class": arguments.limit or "all",
            "search_images": int(paths.manifest["data"]["search"]["images"]),
            "passes": arguments.passes,
            "rate": arguments.rate,
            "steps_per_class": max(paths.manifest["steps"]),
            "measured_on": accuracy.title,
            "whole_network_top1_all_measured_images": whole,
            "own_class_accuracy": accuracy.summary["sub_architecture"],
            "original_class_accuracy": accuracy.summary["original"],
            "specificity": specificity.summary,
            "similarity_per_site": dict(
                zip(similarity.per_site["site"], similarity.per_site["similarity"], strict=True)
            ),
            "similarity_expected_by_chance": dict(
                zip(similarity.per_site["site"], similarity.per_site["expected_by_chance"], strict=True)
            ),
            "usage_per_site": dict(zip(usage["site"], usage["usage"], strict=True)),
            "usage": usage.summary["usage"],
            "search_seconds": seconds,
            "plan": paths.manifest["settings"],
            "data": paths.manifest["data"],
            "raw": {
                "accuracy": accuracy.as_dict(),
                "histogram": accuracy_histogram(accuracy).as_dict(),
                "specificity": specificity.as_dict(),
                "similarity_matrix": similarity.matrix.tolist(),
                "usage": usage.as_dict(),
                "elbow": paths.manifest.get("elbow"),
            },
        },
    )


def _suffix(arguments: argparse.Namespace) -> str:
    passes = f"_passes{arguments.passes}" if arguments.passes != 20 else ""
    return passes + (f"_rate{arguments.rate:g}" if arguments.rate != 0.1 else "")


def _whole_accuracy(network: torch.nn.Module, images) -> float:
    from unweave.analysis.predictions import image_batches

    hits = 0
    with torch.no_grad():
        for chosen, batch in image_batches(images, range(len(images))):
            hits += int((network(batch).argmax(1).numpy() == images.labels[chosen]).sum())
    return hits / len(images)


if __name__ == "__main__":
    main()
