"""What connections do to sub-architectures: plain, residual and concatenating twins of equal size, trained alike.

    python -m benchmarks.connections --work work/connections
    python -m benchmarks.connections --work work/full --device cuda --width 32 --units 3 --stride 1 --train 45000 \
        --epochs 60 --augment cifar --seeds 3 --search-images 500 --label _full

The twins (`benchmarks/twins.py`) see the same CIFAR-10 images in the same batches, with the same augmentation, schedule
and seeds. Everything is measured on training images that none of them was trained on. What is finished stays in
`--work`: the same command goes on. `results/connections.json` is written after each training seed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

import unweave as uw
from benchmarks.common import keep, real_data
from benchmarks.connection_figure import draw
from benchmarks.connection_findings import findings
from benchmarks.fine_tuning import budget_of, fine_tune, multiply_accumulates, once
from benchmarks.twins import KINDS, parameters, sites_of, twin
from unweave.data.cifar import CIFAR10_GROUPS, cifar
from unweave.data.labelled import LabelledImages, labelled
from unweave.data.preprocessing import Preprocessing
from unweave.decoupling.training.images import TrainingImages
from unweave.decoupling.training.settings import FitSettings

OBJECTIVES = ("released", "selective")
TRAINED_FROM = 45_000
ELBOW = {"beta": "elbow", "betas": (0.03, 0.1, 0.3, 1.0, 3.0)}
HALF = 0.5


def images_of(arguments: argparse.Namespace) -> tuple[LabelledImages, LabelledImages]:
    """(the first so many training images, the last so many, which no twin is trained on)"""
    whole = labelled(cifar(real_data() / "data" / "cifar10", "cifar10", True, Preprocessing("imagenet")))
    held_out = range(len(whole) - arguments.held_out, len(whole))
    return labelled(Subset(whole.dataset, range(arguments.train))), labelled(Subset(whole.dataset, held_out))


def settings_of(arguments: argparse.Namespace, seed: int) -> FitSettings:
    """The schedule, equal for all twins."""
    return FitSettings(
        epochs=arguments.epochs,
        batch=arguments.batch,
        rate=arguments.rate,
        weight_decay=5e-4,
        augment=arguments.augment,
        precision=arguments.precision,
        seed=seed,
    )


def trained(kind: str, seed: int, images: TrainingImages, arguments: argparse.Namespace) -> nn.Module:
    """The twin trained with `seed`; an epoch that is in `--work` is not trained again."""
    network = twin(kind, seed, width=arguments.width, units=arguments.units, stride=arguments.stride)
    network.to(memory_format=torch.channels_last)  # a quarter faster
    return fine_tune(network, images, settings_of(arguments, seed), arguments.work / f"{kind}_{seed}.safetensors").cpu()


def searched(network: nn.Module, images: LabelledImages, arguments: argparse.Namespace, run: Path, **asked) -> uw.Paths:
    """Sub-architectures, one a class, in a run folder that is gone on with or read."""
    return uw.disentangle(
        network.to(arguments.device),
        images,
        sites_of(network, images.images([0, 1]).to(arguments.device)),
        limit_per_class=arguments.search_images,
        passes=arguments.passes,
        run=run,
        show_progress=False,
        **asked,
    )


def halved(paths: uw.Paths) -> uw.Paths:
    """The half of every site's channels that has the highest scores, for every class: equal usage in all networks."""
    assert paths.scores is not None
    masks = {}
    for name, scores in paths.scores.items():
        ranks = scores.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        masks[name] = ranks < round(HALF * scores.shape[1])
    return uw.Paths(masks, paths.rows, paths.sites, paths.manifest)


def scored(paths: uw.Paths, accuracies: uw.Table) -> dict[str, float]:
    """The interpretability score by both readings, with what it is made of."""
    found = uw.interpretability(paths, accuracies)
    return {
        "score": found["score"][0],
        "score_similarities": found["score"][1],
        "accuracy": found.summary["mean_accuracy"],
        "similarity": found.summary["mean_similarity"],
        "usage": uw.usage(paths).summary["usage"],
    }


def variance_of_pairs(paths: uw.Paths) -> float:
    """What the interpretability score would be if every class were recognised always: the variance of the similarities
    over pairs of classes. The score itself also varies with the accuracies."""
    matrix = uw.similarity(paths).matrix
    return float(matrix[np.triu_indices(len(matrix), 1)].var())


def measured(network: nn.Module, paths: uw.Paths, images: LabelledImages, mosaics: int, seed: int) -> dict[str, Any]:
    """All measures of one search. `seed`: of the mosaics."""
    specificity = uw.specificity(network, paths, images, controls=1, others=500, show_progress=False)
    # The same figure as that of `accuracy`, which would run the network again.
    accuracies = replace(specificity, columns={**specificity.columns, "sub_architecture": specificity["own"]})
    similarity, half = uw.similarity(paths), halved(paths)
    hits = uw.hit_rate(network, paths, images, mosaics=mosaics, resize=False, seed=seed, show_progress=False)
    agreement = uw.cluster(similarity, groups=CIFAR10_GROUPS).agreement
    return {
        "sites": list(paths.sites.names),
        "as_found": scored(paths, accuracies),
        "half": scored(half, uw.accuracy(network, half, images, show_progress=False)),
        "specificity": {name: value for name, value in specificity.summary.items() if isinstance(value, float)},
        "usage": list(uw.usage(paths)["usage"]),
        "similarity": list(similarity.per_site["similarity"]),
        "similarity_expected_by_chance": list(similarity.per_site["expected_by_chance"]),
        "similarity_half": list(uw.similarity(half).per_site["similarity"]),
        "hit_rate": list(hits["hit_rate"]),
        "hit_rate_error": list(hits["standard_error"]),
        "agreement": dict(zip(agreement["measure"], agreement["value"], strict=True)),
    }


def one_network(
    kind: str,
    seed: int,
    parts: tuple[LabelledImages, LabelledImages, TrainingImages],
    beta: float | None,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """A trained twin, its searches and their measures. `beta`: of `released`; None: the elbow is looked for."""
    search, held_out, images = parts
    started = time.process_time()
    network = trained(kind, seed, images, arguments)
    seconds = time.process_time() - started
    found: dict[str, Any] = {"kind": kind, "seed": seed, "training_seconds_now": seconds}
    found["top1"] = once(
        arguments.work / f"{kind}_{seed}_top1.json",
        {"held_out": arguments.held_out, "epochs": arguments.epochs},
        lambda: {"held_out": top1(network, held_out)},
    )["held_out"]
    for objective in OBJECTIVES:
        runs = []
        # Several searches show how far a class is from itself.
        for search_seed in range(arguments.search_seeds):
            name = f"{kind}_{seed}_{objective}_{search_seed}"
            asked = {"objective": objective, "seed": search_seed}
            if objective == "released":
                asked |= (
                    {"beta": beta} if beta is not None else ELBOW | {"elbow_limit_per_class": arguments.search_images}
                )
            paths = searched(network, search, arguments, arguments.work / name, **asked)
            beta = paths.manifest["objective"]["beta"] if objective == "released" else beta
            runs.append(paths)
            measures = once(
                arguments.work / f"{name}.json",
                {"held_out": arguments.held_out, "mosaics": arguments.mosaics, **asked},
                lambda paths=paths, seed=search_seed: measured(network, paths, held_out, arguments.mosaics, seed),
            )
            variances = {"as_found": variance_of_pairs(paths), "half": variance_of_pairs(halved(paths))}
            found.setdefault(objective, []).append({**measures, "variance_of_similarities": variances})
        own = uw.stability(runs).per_site
        columns = ("self_similarity", "other_similarity", "margin_low", "told_apart")
        found[f"{objective}_stability"] = {column: list(own[column]) for column in columns}
    found["beta"] = beta
    print(kind, seed, f"top-1 {found['top1']:.3f}, {time.process_time() - started:.0f} s of the processor", flush=True)
    return found


def top1(network: nn.Module, images: LabelledImages) -> float:
    """Share of `images` that the whole network calls by their class."""
    network.eval()
    right = 0
    device = next(network.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(images), 256):
            wanted = np.arange(start, min(start + 256, len(images)))
            called = network(images.images(wanted).to(device)).argmax(1).cpu().numpy()
            right += int((called == images.labels[wanted]).sum())
    return right / len(images)


def sizes(arguments: argparse.Namespace, example: torch.Tensor) -> dict[str, dict[str, Any]]:
    """What is equal in the twins, and what is not."""
    found = {}
    for kind in KINDS:
        network = twin(kind, 0, width=arguments.width, units=arguments.units, stride=arguments.stride)
        sites = sites_of(network.eval(), example)
        found[kind] = {
            "parameters": parameters(network),
            "multiply_accumulates": multiply_accumulates(network, example),
            "sites": len(sites),
            "channels": [site.channels for site in sites],
        }
    return found


def options() -> argparse.ArgumentParser:
    """The defaults take about 25 minutes of one core that is free."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder that an interrupted run goes on from")
    parser.add_argument("--width", type=int, default=15, help="channels of the stem and the first stage")
    parser.add_argument("--units", type=int, default=2, help="in each of three stages")
    parser.add_argument("--stride", type=int, default=2, help="of the stem: 2 computes at 16 x 16, 1 at 32 x 32")
    parser.add_argument(
        "--train", type=int, default=10_000, help=f"training images, the first so many of {TRAINED_FROM}"
    )
    parser.add_argument("--held-out", type=int, default=2_000, help="of the last 5,000, the last so many")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--augment", default="none", help="none, or cifar: slower to learn, better at full length")
    parser.add_argument("--precision", default="float32", help="float32, or bfloat16")
    parser.add_argument("--seeds", type=int, default=2, help="of training")
    parser.add_argument("--search-seeds", type=int, default=2, help="searches of each network and objective")
    parser.add_argument("--search-images", type=int, default=100, help="training images a class")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--mosaics", type=int, default=500, help="for each search")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--label", default="", help="put behind the names of result and figure")
    return parser


def main() -> None:
    parser = options()
    arguments = parser.parse_args()
    if not 0 < arguments.train <= TRAINED_FROM or not 0 < arguments.held_out <= 5_000:
        parser.error(f"--train must be from 1 to {TRAINED_FROM}, --held-out from 1 to 5000")
    if arguments.seeds < 1 or arguments.search_seeds < 2:
        parser.error("--seeds must be at least 1, --search-seeds at least 2: the best site is judged on another search")
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    search, held_out = images_of(arguments)
    images = TrainingImages(search, torch.device(arguments.device), True)
    made = sizes(arguments, search.images([0, 1]))
    networks: list[dict[str, Any]] = []
    # The elbow of the first seed's network is taken for the other seeds.
    betas: dict[str, float] = {}
    for seed in range(arguments.seeds):
        for kind in KINDS:
            networks.append(one_network(kind, seed, (search, held_out, images), betas.get(kind), arguments))
            betas[kind] = networks[-1]["beta"]
        result = {
            "data": f"CIFAR-10: trained and searched on the first {arguments.train} training images, measured on the "
            f"last {arguments.held_out}",
            "seeds": list(range(seed + 1)),
            "seeds_of_searches": list(range(arguments.search_seeds)),
            "budget": budget_of(settings_of(arguments, 0), arguments.train),
            "search_images_per_class": arguments.search_images,
            "passes": arguments.passes,
            "sizes": made,
            "beta": betas,
            "top1": {kind: [one["top1"] for one in networks if one["kind"] == kind] for kind in KINDS},
            "findings": findings(networks),
            "raw": {"networks": networks},
        }
        keep(f"connections{arguments.label}", result)
        draw(result, f"connections{arguments.label}")


if __name__ == "__main__":
    main()
