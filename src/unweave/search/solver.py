"""The search itself: normalised gradient steps on the scores of many classes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unweave.data.augmentation import augment_batch_as
from unweave.data.labelled import LabelledImages
from unweave.errors import NumericError
from unweave.network.precision import autocast
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.randomness import normal, order
from unweave.search.chain import SearchTap
from unweave.search.objectives import Objective
from unweave.search.plan import Plan
from unweave.search.reference import Reference, Store, observe
from unweave.search.start import Start

Batch = list[tuple[int, np.ndarray]]
"""Mini-batches of several rows that share one pass through the network: (row, positions of its images)."""


class Solver:
    """Learns `scores[site]: [rows, channels]`, one row per target of the plan.

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
        start: Start | None = None,
    ) -> None:
        self.tapped, self.objective, self.data, self.plan = tapped, objective, data, plan
        self.device, self.dtype, self.store = device, dtype, store
        self.sites = tapped.sites
        self.scores = [self._started(site, start) for site in range(len(self.sites))]
        self.spreads = [self._initial("spread", site) for site in range(len(self.sites))] if objective.noisy else None
        self.steps = np.zeros(len(plan.targets), dtype=np.int64)
        self.images, self._foreign = plan.images(data), plan.foreign_classes(data)
        self.damaged: dict[int, str] = store.damaged if store is not None else {}

    def _initial(self, purpose: str, site: int) -> Tensor:
        size = (self.sites[site].channels,)
        rows = [normal(purpose, self.plan.seed, target.key, site, size=size) for target in self.plan.targets]
        mean, deviation = self.objective.start if purpose == "scores" else (0.0, 1.0)
        return torch.stack(rows).to(self.device, self.dtype).mul_(deviation).add_(mean)

    def _started(self, site: int, start: Start | None) -> Tensor:
        if start is None:
            return self._initial("scores", site)
        return start.of_targets(self.plan.targets, self.sites[site]).to(self.device, self.dtype, copy=True)

    def batches(self, number: int) -> list[Batch]:
        """The batches of pass `number`: each a list of (row, positions of the row's images, and of as many others if
        the plan shows them)."""
        plan = self.plan
        orders = [
            order(images, plan.seed, target.key, number)
            for images, target in zip(self.images, plan.targets, strict=True)
        ]
        batches = []
        for start in range(0, len(orders), plan.rows_per_batch):
            rows = range(start, min(start + plan.rows_per_batch, len(orders)))
            others = {row: self._others(row) for row in rows}
            for first in range(0, max(len(orders[row]) for row in rows), plan.batch):
                parts = [(row, orders[row][first : first + plan.batch]) for row in rows]
                batches.append(
                    [
                        (row, _with_others(images, others[row], number * len(orders[row]) + first))
                        for row, images in parts
                        if len(images)
                    ]
                )
        return batches

    def _others(self, row: int) -> np.ndarray:
        """Positions of the images of other classes that a row sees, in the order in which it does. Made anew for every
        pass: of a thousand rows together they would be a thousand times the data."""
        if not self._foreign[row]:
            return np.empty(0, dtype=np.int64)
        plan = self.plan
        foreign = [self.data.of_class(c, plan.limit_per_class, plan.seed) for c in self._foreign[row]]
        return order(np.concatenate(foreign), plan.seed, plan.targets[row].key)

    def run_pass(
        self, number: int, first: int = 0, after_batch: Callable[[int, float], None] = lambda done, loss: None
    ) -> None:
        """Visit every image once, from batch `first` on; `after_batch` is told how many batches of the pass are done
        and, now and then, the batch's mean class loss."""
        for done, batch, reference in self.observed(number, first):
            loss = self.step(batch, reference, number) if reference is not None else np.nan
            after_batch(done, float(loss) if done % 8 == 1 else float("nan"))
        self._check_scores()

    def refill(self, number: int, first: int) -> None:
        """Compute again what was kept before batch `first` of pass `number`, in the batches in which it was computed
        then: an image's numbers depend, in their last bits, on the batch that it is in."""
        if self.store is None or self.store.full or self.objective.shows_others or (number, first) == (0, 0):
            return
        until = first if number == 0 else None
        for _ in self.observed(0, 0, until):
            pass

    def observed(
        self, number: int, first: int = 0, until: int | None = None
    ) -> Iterator[tuple[int, Batch, Reference | None]]:
        """Batches `first` to `until` of a pass, without damaged images, and what the untouched network does on them:
        kept from an earlier pass, or computed now. With each the number of batches done; None where no image is left.
        """
        if self.store is not None and self.objective.shows_others and not self.store.full:
            self._fill(self.store)
        batches = self.batches(number)[first:until]
        positions = [np.concatenate([images for _, images in batch]) for batch in batches]
        if self.store is not None and self.store.full:
            for done, (batch, where) in enumerate(zip(batches, positions, strict=True), start=first + 1):
                intact = np.asarray([position for position in where if position not in self.damaged], dtype=np.int64)
                yield done, _only(batch, intact), self.store.get(intact) if len(intact) else None
            return
        # Augmented where they were read: image by image is slow on a GPU.
        loaded = self.data.batches(positions, device=self.device if self.plan.augment == "none" else None)
        for done, (whole, found) in enumerate(zip(batches, loaded, strict=True), start=first + 1):
            for one in found.damaged:
                self.damaged[one.position] = one.reason
            batch = _only(whole, found.positions) if found.damaged else whole
            yield done, batch, self._observe(batch, found.positions, found.images, number)

    def _fill(self, store: Store) -> None:
        """Keep all images at once: those of other classes come only after many passes, and what is kept must not depend
        on where a search was stopped."""
        positions = self.plan.positions(self.data)
        size = 2 * self.plan.batch * self.plan.rows_per_batch
        chunks = [positions[start : start + size] for start in range(0, len(positions), size)]
        for found in self.data.batches(chunks, device=self.device):
            for one in found.damaged:
                self.damaged[one.position] = one.reason
            if found.images is not None:
                store.put(found.positions, self._referred(found.images))

    def _referred(self, images: Tensor) -> Reference:
        """What the untouched network does on `images`, as far as the objective reads it."""
        with self.autocast():
            reference = observe(self.tapped, self.place(images))
        if self.objective.reads_activations:
            return reference
        return Reference(reference.images, [], reference.scores)

    def _observe(self, batch: Batch, positions: np.ndarray, images: Tensor | None, number: int) -> Reference | None:
        if images is None:
            return None
        if self.plan.augment != "none":
            images = augment_batch_as(self.plan.augment, images, self._keys(batch, number))
        reference = self._referred(images)
        if self.store is not None:
            self.store.put(positions, reference)
        return reference

    def place(self, images: Tensor) -> Tensor:
        """The images on the search's device, in the memory order that its convolutions like."""
        moved = images.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for the network's own operations, if the plan asks for it; scores and losses stay wide."""
        return autocast(self.device, self.plan.precision)

    def step(self, batch: Batch, reference: Reference, number: int) -> Tensor:
        """One step of every row in the batch (ICCV Eq. 15, per row and site). Returns the mean class loss.

        A row without images that count (`only_correct`) makes no step at all: the penalty alone, normalised, would be
        a full step.
        """
        objective, plan = self.objective, self.plan
        members, counted = self._members(batch, reference)
        labels = self._labels(batch)
        active = counted.sum(1) > 0
        scale = objective.scale(len(self.sites))
        class_weight = self._class_weight(batch, members) * scale
        site_weight = (counted / counted.sum(1, keepdim=True).clamp_min(1)).sum(0) * scale

        rows = torch.tensor([row for row, _ in batch], device=self.device)
        leaves = [table.index_select(0, rows).requires_grad_() for table in (*self.scores, *(self.spreads or ()))]
        with torch.enable_grad():
            loss, class_loss = self._loss(batch, reference, leaves, members, labels, class_weight, site_weight, number)
            gradients = torch.autograd.grad(loss, leaves)
        rate = plan.rate * objective.rate_share(number / plan.passes)
        with torch.no_grad():
            for table, leaf, gradient in zip((*self.scores, *(self.spreads or ())), leaves, gradients, strict=True):
                length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min(1e-12)
                stepped = torch.where(active[:, None], leaf - rate * gradient / length, leaf)
                table.index_copy_(0, rows, stepped.detach())
        self.steps[[row for row, _ in batch]] += active.cpu().numpy()
        return class_loss.detach().mean()

    def _own(self, batch: Batch) -> Tensor:
        """`[batch]`: whether an image is of its row's classes."""
        mine = [np.isin(self.data.labels[images], self.plan.targets[row].members) for row, images in batch]
        return torch.from_numpy(np.concatenate(mine)).to(self.device)

    def _class_weight(self, batch: Batch, members: Tensor) -> Tensor:
        """`[batch]`: a row's own images weigh 1 together, and so do those of other classes."""
        if not self.objective.shows_others:
            return (members / members.sum(1, keepdim=True)).sum(0)
        own = self._own(batch).to(self.dtype)
        parts = [members * own, members * (1 - own)]
        return sum((part / part.sum(1, keepdim=True).clamp_min(1) for part in parts), torch.zeros_like(members)).sum(0)

    def _class_loss(self, batch: Batch, scores: Tensor, untouched: Tensor, labels: Tensor) -> Tensor:
        found = self.objective.class_term(scores, untouched, labels)
        if not self.objective.shows_others:
            return found
        return torch.where(self._own(batch), found, self.objective.others_term(scores, untouched, labels))

    def _labels(self, batch: Batch) -> Tensor:
        """Where each image's own class is in `_collapsed` scores."""
        return torch.cat([torch.full((len(i),), self.plan.targets[row].members[0]) for row, i in batch]).to(self.device)

    def _collapsed(self, batch: Batch, scores: Tensor) -> Tensor:
        """Class scores as the objective reads them: groups as one class, classes that do not take part left out."""
        wide = scores.to(self.dtype)
        targets = [self.plan.targets[row] for row, _ in batch]
        if all(target.plain for target in targets):
            return wide
        parts = torch.split(wide, [len(images) for _, images in batch])
        return torch.cat([target.collapse(part) for target, part in zip(targets, parts, strict=True)])

    def _correct(self, batch: Batch, scores: Tensor) -> Tensor:
        """`[batch]`: whether the untouched network calls the image one of its row's classes."""
        targets = [self.plan.targets[row] for row, _ in batch]
        if all(target.plain for target in targets):
            return scores.argmax(1) == self._labels(batch)
        parts = torch.split(scores, [len(images) for _, images in batch])
        return torch.cat([target.called(part) for target, part in zip(targets, parts, strict=True)])

    def _members(self, batch: Batch, reference: Reference) -> tuple[Tensor, Tensor]:
        """`[rows, images]` twice: 1 where the image is the row's, and where it counts for the row's site terms too."""
        members = membership([len(images) for _, images in batch], self.device, self.dtype)
        if not self.objective.only_correct:
            return members, members
        return members, members * self._correct(batch, reference.scores).to(self.dtype)

    def _loss(
        self,
        batch: Batch,
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
        through = [_straight_through(gate) for gate in gates] if objective.binary else gates
        # A product with ones and zeros spreads rows over their images; its gradient sums in a fixed order.
        means = [members.T @ gate for gate in through]
        spreads = None
        used = means
        if objective.noisy:
            spreads = [members.T @ functional.softplus(spread) for spread in leaves[len(sites) :]]
            noise = self._noise(batch, number)
            used = [mean + n * spread for mean, n, spread in zip(means, noise, spreads, strict=True)]
        tap = SearchTap(objective, sites, used, spreads, means, reference.activations, site_weight)
        with self.autocast():
            scores = self.tapped(reference.images, tap)
        class_loss = self._class_loss(
            batch, self._collapsed(batch, scores), self._collapsed(batch, reference.scores), labels
        )
        factor = objective.scale(len(sites)) * objective.penalty_scale(len(sites))
        penalty = torch.stack([objective.gate_term(gate) for gate in gates]).sum() * factor
        loss = (class_weight * class_loss).sum() + penalty
        return loss + sum(tap.local, torch.zeros((), device=self.device, dtype=self.dtype)), class_loss

    def _keys(self, batch: Batch, number: int) -> list[tuple[int, ...]]:
        """What each image's random numbers in pass `number` belong to."""
        return [(self.plan.seed, self.plan.targets[row].key, number, int(i)) for row, images in batch for i in images]

    def _noise(self, batch: Batch, number: int) -> list[Tensor]:
        keys = self._keys(batch, number)
        count = sum(site.channels for site in self.sites)
        drawn = torch.stack([normal("noise", *key, size=(count,)) for key in keys]).to(self.device, self.dtype)
        return list(torch.split(drawn, [site.channels for site in self.sites], dim=1))

    def measure(self) -> np.ndarray:
        """`[rows, 2]`: reconstruction error and size with the gates as they are, what the elbow weighs.

        Both are summed over sites and averaged over the row's images that count; rows without any are left out.
        """
        totals, counts = np.zeros((2, len(self.steps))), np.zeros(len(self.steps))
        for _, batch, reference in self.observed(0):
            if reference is None:
                continue
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

    def state(self) -> dict[str, np.ndarray]:
        """All that later steps depend on, by name; `restore` takes it back."""
        tables = {f"score.{site:04d}": table for site, table in enumerate(self.scores)}
        tables |= {f"spread.{site:04d}": table for site, table in enumerate(self.spreads or ())}
        return {"steps": self.steps, **{name: table.cpu().numpy() for name, table in tables.items()}}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state`.

        Raises
        ------
        KeyError, ValueError
            If it is not a state of this search.
        """
        for name, tables in (("score", self.scores), ("spread", self.spreads or [])):
            for site, table in enumerate(tables):
                found = state[f"{name}.{site:04d}"]
                if found.shape != tuple(table.shape):
                    raise ValueError(f"{name} of site {site} has shape {found.shape}, {tuple(table.shape)} is needed")
                table.copy_(torch.from_numpy(found))
        self.steps = np.array(state["steps"], dtype=np.int64)

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


def _with_others(own: np.ndarray, others: np.ndarray, start: int) -> np.ndarray:
    """A row's mini-batch with as many images of other classes, which take turns: those from `start` on."""
    if not len(others):
        return own
    return np.concatenate([own, np.take(others, range(start, start + len(own)), mode="wrap")])


def _straight_through(gate: Tensor) -> Tensor:
    """1 where the gate is above 0.5, else 0, with the gate's gradient."""
    return (gate > 0.5).to(gate.dtype) + (gate - gate.detach())


def _only(batch: Batch, positions: np.ndarray) -> Batch:
    """The batch without the images that are not among `positions`, and without rows that have none left."""
    parts = [(row, images[np.isin(images, positions)]) for row, images in batch]
    return [(row, images) for row, images in parts if len(images)]


def membership(sizes: list[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """`[rows, images]`, 1 where the image is the row's."""
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return functional.one_hot(owner, len(sizes)).T.to(device, dtype)
