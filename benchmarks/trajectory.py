"""How own-class accuracy, false accepts and channels kept develop from pass to pass of `released`.

    python -m benchmarks.trajectory --betas 0.1 1.0

ResNet-20, ten classes, 500 training images a class; measured on 400 of the 1,000 test images (every class's own images
among them, and images of other classes), after chosen passes.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.common import keep, user_networks
from benchmarks.images import data_of
from unweave.network.tapping import Multiplier
from unweave.search.objectives import objective_named
from unweave.search.plan import make_plan
from unweave.search.preparation import prepare
from unweave.search.solver import Solver

LOOK_AT = (1, 2, 3, 4, 5, 7, 10, 15, 20)


def look(solver: Solver, images: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
    own, accepts = [], []
    for row, c in enumerate(t.key for t in solver.plan.targets):
        gates = [(table[row] > 0).float() for table in solver.scores]
        with torch.no_grad():
            called = solver.tapped(images, Multiplier(solver.sites, gates)).argmax(1).numpy() == c
        own.append(called[labels == c].mean())
        accepts.append(called[labels != c].mean())
    kept = torch.cat([(table > 0).float() for table in solver.scores], dim=1).mean()
    return {"own": float(np.mean(own)), "false_accepts": float(np.mean(accepts)), "kept": float(kept)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--limit", type=int, default=500)
    arguments = parser.parse_args()
    network = user_networks().resnet20()
    search, measure = data_of("resnet20")
    positions = np.sort(np.concatenate([measure.of_class(c, 40) for c in range(10)]))
    images, labels = measure.images(positions), measure.labels[positions]
    prepared = prepare(network, search, "block", None, None)
    curves = {}
    for beta in arguments.betas:
        plan = make_plan(
            prepared,
            search,
            None,
            seed=0,
            passes=max(LOOK_AT),
            rate=0.1,
            batch=16,
            augment="none",
            precision="float32",
            limit_per_class=arguments.limit,
            rows_per_batch=None,
            keep_activations=None,
        )
        objective = objective_named("released", beta)
        store = plan.store(search)
        solver = Solver(prepared.tapped, objective, search, plan, prepared.device, prepared.dtype, store)
        points = []
        for number in range(plan.passes):
            solver.run_pass(number)
            if number + 1 in LOOK_AT:
                points.append({"passes": number + 1, "steps": int(max(solver.steps)), **look(solver, images, labels)})
        curves[f"beta {beta:g}"] = points
    keep("trajectory_resnet20", {"measured_images": len(positions), "seed": 0, "curves": curves})


if __name__ == "__main__":
    main()
