"""What a training will take, estimated from a few of its own steps before it begins."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch

from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.images import TrainingImages, in_order
from unweave.decoupling.training.measurement import measure
from unweave.decoupling.training.processes import Processes
from unweave.decoupling.training.settings import FitSettings
from unweave.decoupling.training.trainer import Trainer
from unweave.estimates import Estimate, duration, fastest, size

_TIMED_STEPS = 3


@dataclass(frozen=True)
class TrainingCost(Estimate):
    """What a training will take: `images` an epoch, `epochs`, `steps` in all, expected `seconds`, and the bytes on
    `disk` of the checkpoint and the two networks."""

    images: int
    epochs: int
    steps: int
    seconds: float
    disk: int

    def words(self) -> str:
        """Counts, time and bytes, for a person."""
        return (
            f"{self.images} images x {self.epochs} epochs, {self.steps} steps: about {duration(self.seconds)}, "
            f"{size(self.disk)} disk"
        )


def estimate_cost(
    net: DecoupledNetwork,
    classes: int,
    settings: FitSettings,
    device: torch.device,
    images: TrainingImages,
    validation: TrainingImages | None,
    steps: int,
) -> TrainingCost:
    """The cost of training `net`, which is not changed. The first step warms up and is not counted."""
    trainer = Trainer(copy.deepcopy(net), classes, settings, device, Processes())
    some = in_order(images.positions, settings.batch)[: _TIMED_STEPS + 1]
    devices = [device] if device.type == "cuda" else []
    timed = []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=devices):
        trainer.objective.train()
        started = time.perf_counter()
        for batch, labels, _ in images.batches(some):
            float(trainer.step(batch, labels)[0][0])
            timed.append(time.perf_counter() - started)
            started = time.perf_counter()
        each = _seconds_to_measure_one(trainer, validation or images, settings)
    after = settings.recalibrate + (0 if validation is None else len(validation.positions))
    per_step = fastest(timed)
    state, network = trainer.state().values(), trainer.net.state_dict().values()
    return TrainingCost(
        images=len(images.positions),
        epochs=settings.epochs,
        steps=steps * settings.epochs,
        seconds=settings.epochs * (steps * per_step + after * each),
        disk=sum(one.nbytes for one in state) + 2 * sum(one.nbytes for one in network),
    )


def _seconds_to_measure_one(trainer: Trainer, images: TrainingImages, settings: FitSettings) -> float:
    some = TrainingImages(images.data, images.device, kept=False)
    some.positions = images.positions[: settings.batch]
    started = time.perf_counter()
    measure(trainer.net, some, settings.precision, Processes())
    return (time.perf_counter() - started) / max(1, len(some.positions))
