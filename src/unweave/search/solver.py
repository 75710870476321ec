"""The search itself: normalised gradient steps on the scores of many classes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unweave.data.augmentation import augment_batch
from unweave.data.labelled import LabelledImages
from unweave.errors import NumericError
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.randomness import normal, order
from unweave.search.chain import SearchTap
from unweave.search.objectives import Objective
from unweave.search.plan import Plan
from unweave.search.reference import Reference, Store, observe


class Solver:
    """Learns `scores[site]: [rows, channels]`, one row per class of the plan.

    Rows never see each other: in evaluation mode images do not influence each other, losses are averaged per row, and
    a row steps only in batches that hold its images. Searching many classes together therefore equals searching them
    one by one.
    """

    def __init__(
        self,
        tapped: TappedNetwork,
        objective: Objective,
        data: LabelledImages,
        plan: Plan,
        device: torch.device,
        dtype: torch.dtype,
        store: Store | None = None,
    ) -> None:
        self.tapped, self.objective, self.data, self.plan = tapped, objective, data, plan
        self.device, self.dtype, self.store = device, dtype, store
        self.sites = tapped.sites
        self.scores = [self._initial("scores", site) for site in range(len(self.sites))]
        self.spreads = [self._initial("spread", site) for site in range(len(self.sites))] if objective.noisy else None
        self.steps = np.zeros(len(plan.classes), dtype=np.int64)
        self.images = plan.images(data)

    def _initial(self, purpose: str, site: int) -> Tensor:
        size = (self.sites[site].channels,)
        rows = [normal(purpose, self.plan.seed, c, site, size=size) for c in self.plan.classes]
        return torch.stack(rows).to(self.device, self.dtype)

    def batches(self, number: int) -> list[list[tuple[int, np.ndarray]]]:
        """The batches of pass `number`: each a list of (row, positions of the row's images)."""
        plan = self.plan
        orders = [order(self.images[c], plan.seed, c, number) for c in plan.classes]
        batches = []
        for start in range(0, len(orders), plan.rows_per_batch):
            rows = range(start, min(start + plan.rows_per_batch, len(orders)))
            for first in range(0, max(len(orders[row]) for row in rows), plan.batch):
                parts = [(row, orders[row][first : first + plan.batch]) for row in rows]
                batches.append([(row, images) for row, images in parts if len(images)])
        return batches

    def run_pass(self, number: int, after_batch: Callable[[float], None] = lambda loss: None) -> None:
        """Visit every image once; `after_batch` is told the batch's mean class loss now and then."""
        batches = self.batches(number)
        for index, (batch, reference) in enumerate(zip(batches, self._references(batches, number), strict=True)):
            loss = self.step(batch, reference, number)
            after_batch(float(loss) if index % 8 == 0 else float("nan"))
        self._check_scores()

    def _references(self, batches: Sequence[list[tuple[int, np.ndarray]]], number: int) -> Iterator[Reference]:
        """What the untouched network does on each batch: kept from an earlier pass, or computed now."""
        positions = [np.concatenate([images for _, images in batch]) for batch in batches]
        if self.store is not None and self.store.full:
            for where in positions:
                yield self.store.get(where)
            return
        for batch, where, loaded in zip(batches, positions, self.data.batches(positions), strict=True):
            if self.plan.augment == "published":
                owners = [(self.plan.classes[row], int(image)) for row, part in batch for image in part]
                images = augment_batch(loaded, [(self.plan.seed, c, number, image) for c, image in owners])
            else:
                images = loaded
            with self.autocast():
                reference = observe(self.tapped, self.place(images))
            if self.store is not None:
                self.store.put(where, reference)
            yield reference

    def place(self, images: Tensor) -> Tensor:
        """The images on the search's device, in the memory order that its convolutions like."""
        moved = images.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for the network's own operations, if the plan asks for it; scores and losses stay wide."""
        if self.plan.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def step(self, batch: list[tuple[int, np.ndarray]], reference: Reference, number: int) -> Tensor:
        """One step of every row in the batch (ICCV Eq. 15, per row and site). Returns the mean class loss.

        A row without images that count (`only_correct`) makes no step at all: the penalty alone, normalised, would be
        a full step.
        """
        objective, plan = self.objective, self.plan
        members, counted = self._members(batch, reference)
        labels = self._labels(batch)
        active = counted.sum(1) > 0
        scale = objective.scale(len(self.sites))
        class_weight = (members / members.sum(1, keepdim=True)).sum(0) * scale
        site_weight = (counted / counted.sum(1, keepdim=True).clamp_min(1)).sum(0) * scale

        rows = torch.tensor([row for row, _ in batch], device=self.device)
        leaves = [table.index_select(0, rows).requires_grad_() for table in (*self.scores, *(self.spreads or ()))]
        with torch.enable_grad():
            loss, class_loss = self._loss(batch, reference, leaves, members, labels, class_weight, site_weight, number)
            gradients = torch.autograd.grad(loss, leaves)
        with torch.no_grad():
            for table, leaf, gradient in zip((*self.scores, *(self.spreads or ())), leaves, gradients, strict=True):
                length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min(1e-12)
                stepped = torch.where(active[:, None], leaf - plan.rate * gradient / length, leaf)
                table.index_copy_(0, rows, stepped.detach())
        self.steps[[row for row, _ in batch]] += active.cpu().numpy()
        return class_loss.detach().mean()

    def _labels(self, batch: list[tuple[int, np.ndarray]]) -> Tensor:
        return torch.cat([torch.full((len(i),), self.plan.classes[row]) for row, i in batch]).to(self.device)

    def _members(self, batch: list[tuple[int, np.ndarray]], reference: Reference) -> tuple[Tensor, Tensor]:
        """`[rows, images]` twice: 1 where the image is the row's, and where it counts for the row's site terms too."""
        members = _membership([len(images) for _, images in batch], self.device, self.dtype)
        if not self.objective.only_correct:
            return members, members
        return members, members * (reference.scores.argmax(1) == self._labels(batch)).to(self.dtype)

    def _loss(
        self,
        batch: list[tuple[int, np.ndarray]],
        reference: Reference,
        leaves: list[Tensor],
        members: Tensor,
        labels: Tensor,
        class_weight: Tensor,
        site_weight: Tensor,
        number: int,
    ) -> tuple[Tensor, Tensor]:
        """Sum of the rows' losses; the chain's terms enter through their gradient alone."""
        sites, objective = self.sites, self.objective
        gates = [torch.sigmoid(score) for score in leaves[: len(sites)]]
        # A product with ones and zeros spreads rows over their images; its gradient sums in a fixed order.
        means = [members.T @ gate for gate in gates]
        spreads = None
        used = means
        if objective.noisy:
            spreads = [members.T @ functional.softplus(spread) for spread in leaves[len(sites) :]]
            noise = self._noise(batch, number)
            used = [mean + n * spread for mean, n, spread in zip(means, noise, spreads, strict=True)]
        tap = SearchTap(objective, sites, used, spreads, means, reference.activations, site_weight)
        with self.autocast():
            scores = self.tapped(reference.images, tap)
        class_loss = objective.class_term(scores.to(self.dtype), reference.scores.to(self.dtype), labels)
        penalty = torch.stack([objective.gate_term(gate) for gate in gates]).sum() * objective.scale(len(sites))
        loss = (class_weight * class_loss).sum() + penalty
        return loss + sum(tap.local, torch.zeros((), device=self.device, dtype=self.dtype)), class_loss

    def _noise(self, batch: list[tuple[int, np.ndarray]], number: int) -> list[Tensor]:
        keys = [(self.plan.seed, self.plan.classes[row], number, int(i)) for row, images in batch for i in images]
        count = sum(site.channels for site in self.sites)
        drawn = torch.stack([normal("noise", *key, size=(count,)) for key in keys]).to(self.device, self.dtype)
        return list(torch.split(drawn, [site.channels for site in self.sites], dim=1))

    def measure(self) -> np.ndarray:
        """`[rows, 2]`: reconstruction error and size with the gates as they are, what the elbow weighs.

        Both are summed over sites and averaged over the row's images that count; rows without any are left out.
        """
        totals, counts = np.zeros((2, len(self.steps))), np.zeros(len(self.steps))
        for batch, reference in self._measured_batches():
            members, counted = self._members(batch, reference)
            rows = torch.tensor([row for row, _ in batch], device=self.device)
            gates = [torch.sigmoid(table.index_select(0, rows)) for table in self.scores]
            used = [members.T @ gate for gate in gates]
            recorder = _Measuring(Multiplier(self.sites, used))
            with torch.no_grad(), self.autocast():
                self.tapped(reference.images, recorder)
            for part, (row, _) in enumerate(batch):
                mine = counted[part] > 0
                images = int(mine.sum())
                if images == 0:
                    continue
                counts[row] += images
                for gate, gated, untouched in zip(gates, recorder.values, reference.activations, strict=True):
                    error = self.objective.reconstruction_error(gated[mine], untouched[mine]).mean()
                    size = self.objective.size(gate[part : part + 1], gated[mine])
                    totals[:, row] += images * float(error), images * float(size)
        return np.asarray((totals[:, counts > 0] / counts[counts > 0]).T)

    def _measured_batches(self) -> Iterator[tuple[list[tuple[int, np.ndarray]], Reference]]:
        batches = self.batches(0)
        return zip(batches, self._references(batches, 0), strict=True)

    def _check_scores(self) -> None:
        for site, score in zip(self.sites, self.scores, strict=True):
            if not torch.isfinite(score).all():
                raise NumericError(
                    f"the search's gradient at site {site.name!r} is NaN or infinite; lower beta or rate"
                )


class _Measuring:
    """Gates as its tap does, and keeps what comes out."""

    def __init__(self, tap: Multiplier) -> None:
        self.tap = tap
        self.values: list[Tensor] = []

    def __call__(self, position: int, value: Tensor) -> Tensor:
        self.values.append(self.tap(position, value))
        return self.values[-1]


def _membership(sizes: list[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """`[rows, images]`, 1 where the image is the row's."""
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return functional.one_hot(owner, len(sizes)).T.to(device, dtype)
