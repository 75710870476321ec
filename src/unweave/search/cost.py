"""What a search will take, estimated from a few of its own batches before it begins."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from unweave.data.labelled import LabelledImages
from unweave.estimates import Estimate, duration, fastest, size
from unweave.search.elbow import REFINEMENTS
from unweave.search.elimination import solver_of
from unweave.search.objectives import Objective
from unweave.search.plan import Plan, bytes_kept_per_image, images_are_remembered
from unweave.search.preparation import Prepared
from unweave.search.solver import Solver
from unweave.search.threads import torch_threads

_TIMED_BATCHES = 3


@dataclass(frozen=True)
class Cost(Estimate):
    """What a search will take.

    `images` a pass, `rows`, `passes`, `visits`: images x passes, the elbow's included. `seconds`: expected. `memory`:
    bytes besides the network and one batch's activations: scores, and what is kept of the untouched network.
    `disk`: bytes of the result and of what is kept to go on from.
    """

    images: int
    rows: int
    passes: int
    visits: int
    seconds: float
    memory: int
    disk: int

    def words(self) -> str:
        """Counts, time and bytes, for a person."""
        others = self.visits - self.images * self.passes
        elbow = f", {others} visits more for the elbow" if others else ""
        return (
            f"{self.rows} rows, {self.images} images x {self.passes} passes{elbow}: "
            f"about {duration(self.seconds)}, {size(self.memory)} memory besides the network, {size(self.disk)} disk"
        )


def estimate_cost(
    prepared: Prepared,
    images: LabelledImages,
    plan: Plan,
    objective: Objective,
    sweep: Plan | None,
    betas: int,
    workers: int,
) -> Cost:
    """The cost of searching by `plan`, after a sweep of `betas` by the plan `sweep`, on so many workers at once."""
    first, remembered, step = _seconds_per_batch(prepared, images, plan, objective)
    batches, positions = plan.batches_per_pass(images), plan.positions(images)
    per_pass = step if plan.kept else remembered
    seconds = batches * (first + (plan.passes - 1) * per_pass)
    visits = len(positions) * plan.passes
    if sweep is not None:
        # Each refinement tries a beta on either side of the best.
        searches = betas + 2 * REFINEMENTS
        share = len(sweep.targets) / plan.rows_per_batch if len(sweep.targets) < plan.rows_per_batch else 1.0
        seconds += searches * sweep.batches_per_pass(images) * share * (sweep.passes * per_pass)
        visits += searches * len(sweep.positions(images)) * sweep.passes
    channels = prepared.sites.channels
    shard = plan.shards()[0]
    each = bytes_kept_per_image(prepared, activations=objective.reads_activations)
    held = len(shard.positions(images)) * (each if plan.kept else _bytes_remembered(prepared, images, plan))
    scores = len(plan.targets) * channels * 4
    at_once = min(workers, len(plan.shards()))
    return Cost(
        images=len(positions),
        rows=len(plan.targets),
        passes=plan.passes,
        visits=visits,
        seconds=seconds / at_once,
        memory=3 * scores + held * at_once,
        disk=2 * scores + len(plan.targets) * channels // 8,
    )


def _bytes_remembered(prepared: Prepared, images: LabelledImages, plan: Plan) -> int:
    """Of an image that is kept as pixels."""
    return math.prod(prepared.sites.image_shape) if images_are_remembered(plan, images) else 0


def _seconds_per_batch(
    prepared: Prepared, images: LabelledImages, plan: Plan, objective: Objective
) -> tuple[float, float, float]:
    """Of a batch that is read and whose untouched activations are computed; of one that is not read again, where
    pictures are remembered; and of one whose activations are kept. The first batch warms up."""
    shard = replace(plan.shards()[0], kept=False)
    solver = solver_of(plan)(prepared.tapped, objective, images, shard, prepared.device, prepared.dtype)
    timed, reading = [], 0.0
    with torch.inference_mode(False), torch.enable_grad(), torch_threads(plan.threads):
        started = time.perf_counter()
        for _, batch, reference in solver.observed(0, 0, _TIMED_BATCHES):
            observed = time.perf_counter()
            if reference is not None:
                float(solver.step(batch, reference, 0))
            ended = time.perf_counter()
            timed.append((ended - started, ended - observed))
            started = ended
        if images_are_remembered(plan, images) and images.workers == 0:  # processes read ahead meanwhile
            reading = _seconds_to_read(images, solver)
    whole, step = map(fastest, zip(*timed, strict=True))
    return whole, max(step, whole - reading), step


def _seconds_to_read(images: LabelledImages, solver: Solver) -> float:
    """Of one batch, files and preprocessing."""
    plan = [np.concatenate([positions for _, positions in batch]) for batch in solver.batches(0)[:_TIMED_BATCHES]]
    timed = []
    started = time.perf_counter()
    for _ in images.batches(plan):
        timed.append(time.perf_counter() - started)
        started = time.perf_counter()
    return fastest(timed)
