"""One network's training, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unweave.data.augmentation import augment_batch
from unweave.data.padded_crops import flip_and_crop
from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.images import TrainingImages, epoch_batches
from unweave.decoupling.training.losses import LayerClassifiers, losses
from unweave.decoupling.training.processes import Processes
from unweave.decoupling.training.settings import FitSettings
from unweave.errors import DataError, NumericError
from unweave.network.precision import autocast
from unweave.progress import Advance
from unweave.randomness import generator

TERMS = ("loss", "cross_entropy", "mutual_information", "divergence", "sparsity", "train_accuracy", "gates_in_training")
"""What an epoch's figures are called: means over its images; the last is the mean gate, soft ones included."""
_STEPS_BETWEEN_CHECKS = 25
"""On an accelerator, which would wait for every look at its numbers."""


class Objective(nn.Module):
    """The decoupled network, the classifiers of its layers, and the loss that trains both."""

    def __init__(self, net: DecoupledNetwork, classes: int, settings: FitSettings) -> None:
        super().__init__()
        self.net, self.settings = net, settings
        layers = net.controlled.values()
        self.filters = [layer.convolution.out_channels for layer in layers]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.classifiers = LayerClassifiers(self.filters, classes)
        weight = next(iter(layers)).convolution.weight
        self.classifiers.to(weight.device, weight.dtype)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(loss to minimise; means over the batch, as in `TERMS`; divergence of each layer)."""
        with self.net.recording() as record, autocast(images.device, self.settings.precision):
            scores = self.net(images)
        scores = scores.to(record.gates[0].dtype)
        found = losses(scores, labels, record, self.classifiers, self.net.keep)
        total = found.total(self.settings.weights)
        right = (scores.argmax(1) == labels).to(total.dtype).mean()
        terms = (total, found.cross_entropy, found.mutual_information, found.divergence, found.sparsity, right)
        opened = found.opened / sum(self.filters)
        return total, torch.stack([*(term.detach() for term in terms), opened]), found.per_layer


def augmented(images: Tensor, positions: np.ndarray, settings: FitSettings, epoch: int) -> Tensor:
    """The images, changed as the settings say; how belongs to (seed, epoch, position)."""
    if settings.augment == "cifar":
        return flip_and_crop(images, positions, settings.seed, epoch)
    if settings.augment == "imagenet":
        keys: list[tuple[int, ...]] = [(settings.seed, epoch, int(position)) for position in positions]
        return augment_batch(images, keys, largest=1.0)
    return images


class Trainer:
    """Stochastic gradient descent with momentum on a decoupled network, in place. Several
    `processes` take equal shares of every batch."""

    def __init__(
        self, net: DecoupledNetwork, classes: int, settings: FitSettings, device: torch.device, processes: Processes
    ) -> None:
        self.net, self.settings, self.device, self.processes = net.to(device), settings, device, processes
        if device.type == "cuda":
            net.to(memory_format=torch.channels_last)
        self.objective = Objective(net, classes, settings)
        self.optimiser = torch.optim.SGD(
            self._groups(),
            lr=settings.rate,
            momentum=settings.momentum,
            fused=device.type == "cuda",
        )
        self._called: nn.Module = self.objective

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters by how they are trained; `factor` multiplies the rate."""
        parts = [self.objective.classifiers, *(layer.controller for layer in self.net.controlled.values())]
        new = {id(parameter) for part in parts for parameter in part.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for one in self.objective.parameters():
            if one.requires_grad:
                factor = self.settings.controller_rate if id(one) in new else 1.0
                groups.setdefault((factor, self.settings.weight_decay if one.ndim > 1 else 0.0), []).append(one)
        return [
            {"params": params, "factor": factor, "weight_decay": decay} for (factor, decay), params in groups.items()
        ]

    def connect(self) -> None:
        """From now on gradients are averaged over all processes, which begin with the first one's weights."""
        if self.processes.several:
            self.processes.copy_from_first(self._momentum().values())
            self._called = DistributedDataParallel(self.objective)

    def epoch(self, epoch: int, images: TrainingImages, advance: Advance) -> dict[str, float]:
        """Train on all images once; means over them of what `TERMS` names.

        Raises
        ------
        NumericError
            If the loss or a weight becomes NaN or infinite, naming step and layer.
        """
        settings, rank = self.settings, self.processes.rank
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate_of(epoch) * group["factor"]
        plan = epoch_batches(images.positions, settings.batch, epoch, settings.seed, rank, self.processes.count)
        every = 1 if self.device.type == "cpu" else _STEPS_BETWEEN_CHECKS
        watch, sums = _Watch(self.device), torch.zeros(len(TERMS) + 1, device=self.device, dtype=torch.float64)
        self.objective.train()
        # A data set's own random transforms draw from it, here or in worker processes: others in every epoch.
        reading = int(generator("noise", settings.seed, epoch, rank).integers(2**63))
        torch.manual_seed(reading)
        for step, (read, labels, positions) in enumerate(images.batches(plan, reading)):
            if len(positions) < 2:  # the others are damaged, and batch norm takes no single one
                if self.processes.several:
                    raise DataError(f"a share of a batch has {len(positions)} images that can be read; mend the others")
                continue
            batch = augmented(read, positions, settings, epoch)
            # Gates draw from torch's stream: it is set for every step, so that training can go on from any epoch.
            torch.manual_seed(int(generator("noise", settings.seed, epoch, step, rank).integers(2**63)))
            terms, per_layer = self.step(batch, labels)
            sums += torch.cat([terms.double() * len(labels), terms.new_tensor([len(labels)]).double()])
            watch.look(step, terms[0], per_layer)
            if step % every == 0:
                self._check(watch, epoch, len(plan))
            advance(1)
        self._check(watch, epoch, len(plan))
        self._check_weights(epoch)
        self.processes.copy_from_first(self.net.buffers())
        *totals, count = self.processes.added(sums).tolist()
        return {name: value / max(1, count) for name, value in zip(TERMS, totals, strict=True)}

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step on a batch: one pass forward, one back. Means as in `TERMS`, and each layer's divergence."""
        placed = images.to(memory_format=torch.channels_last) if self.device.type == "cuda" else images
        total, terms, per_layer = self._called(placed, labels)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        return terms, per_layer

    def _check(self, watch: _Watch, epoch: int, steps: int) -> None:
        found = watch.found()
        if found is None:
            return
        step, finite = found
        names = [name for name, good in zip(self.net.layer_names, finite, strict=True) if not good]
        where = f"first in layer {names[0]!r}" if names else "in the class scores, not in a controlled layer"
        raise NumericError(f"the loss became NaN or infinite in epoch {epoch + 1}, step {step + 1} of {steps}, {where}")

    def _check_weights(self, epoch: int) -> None:
        """The last step of an epoch can do damage that no loss has seen yet."""
        named = [(name, one) for name, one in self.net.state_dict().items() if one.is_floating_point()]
        finite = torch.stack([torch.isfinite(one).all() for _, one in named]).tolist()
        if not all(finite):
            first = named[finite.index(False)][0]
            raise NumericError(f"weights became NaN or infinite in the last step of epoch {epoch + 1}: {first!r}")

    def _momentum(self) -> dict[str, Tensor]:
        """Momentum of every trained parameter by name; zeros before the first step, which is what they stand for."""
        found = {}
        for name, parameter in self.objective.named_parameters():
            if parameter.requires_grad:
                state = self.optimiser.state[parameter]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                found[name] = state["momentum_buffer"]
        return found

    def state(self) -> dict[str, Tensor]:
        """All that training goes on from."""
        own = {f"state.{name}": value for name, value in self.objective.state_dict().items()}
        return {**own, **{f"momentum.{name}": value for name, value in self._momentum().items()}}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        prefix = "state."
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        self.objective.load_state_dict(own)
        for name, buffer in self._momentum().items():
            buffer.copy_(state[f"momentum.{name}"])


class _Watch:
    """Notes on the device the first step whose loss is not finite, without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._step = torch.full((), -1, device=device, dtype=torch.int64)
        self._layers: Tensor | None = None

    def look(self, step: int, total: Tensor, per_layer: Tensor) -> None:
        finite = torch.isfinite(per_layer)
        now = ~(torch.isfinite(total) & finite.all()) & (self._step < 0)
        self._layers = finite if self._layers is None else torch.where(now, finite, self._layers)
        self._step = torch.where(now, step, self._step)

    def found(self) -> tuple[int, list[bool]] | None:
        step = int(self._step)
        return None if step < 0 or self._layers is None else (step, self._layers.tolist())
