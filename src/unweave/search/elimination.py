"""A search that closes channels one after the other until a given share is open: `selective` at a told size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.errors import NumericError
from unweave.network.tapping import Multiplier
from unweave.search.closing import Closed, MarginModel, close_channels
from unweave.search.objectives.class_terms import margin
from unweave.search.plan import Plan
from unweave.search.reference import Reference, observe
from unweave.search.solver import Batch, Solver, membership
from unweave.search.start import Start

CHOICE_IMAGES = 100
"""Images of a row that a choice looks at, and as many others."""
REOPENED = 0.4
"""Channels that a choice may open again, as a share of those by which it makes a row smaller."""


class Elimination(Solver):
    """Starts with every channel open; a choice closes as many of a row's channels as the plan's `keep` wants by then.

    A choice looks at about `CHOICE_IMAGES` images of the row and as many others, those since the last one. Each image's
    margin `m = z_c - logsumexp_{k != c} z_k` and its derivatives by all gates are taken with the row's channels as they
    are; `close_channels` then chooses on the linear model of them. Scores say when: below 0 for closed channels, the
    first ones lowest; above 0 for open ones, by how much their closing would cost.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.channels = sum(site.channels for site in self.sites)
        self._seen: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
        self._batches = np.zeros(len(self.plan.targets), dtype=np.int64)

    def _started(self, site: int, start: Start | None) -> Tensor:
        shape = (len(self.plan.targets), self.sites[site].channels)
        return torch.ones(shape, device=self.device, dtype=self.dtype)

    def _referred(self, images: Tensor) -> Reference:
        """Nothing of the untouched network is read."""
        placed = self.place(images)
        return Reference(placed, [], placed.new_zeros((len(placed), 0)))

    def run_pass(
        self, number: int, first: int = 0, after_batch: Callable[[int, float], None] = lambda done, loss: None
    ) -> None:
        super().run_pass(number, first, after_batch)
        for row in list(self._seen):  # rows whose last images are damaged
            self._choose(row, number + 1)
        self._batches[:] = 0

    def step(self, batch: Batch, reference: Reference, number: int) -> Tensor:
        """Take the margins and their derivatives; choose where a row has seen enough. Returns the mean class loss."""
        margins, slopes = self._slopes(batch, reference)
        own = self._own(batch)
        sizes = [len(images) for _, images in batch]
        for (row, _), *part in zip(batch, *(torch.split(t, sizes) for t in (margins, slopes, own)), strict=True):
            self._seen.setdefault(row, []).append((part[0], part[1], part[2]))
            before = self._choices_made(row)
            self._batches[row] += 1
            if (made := self._choices_made(row)) > before:
                self._choose(row, number + made)
        return MarginModel(margins, slopes, own).loss(margins[:, None])[0]

    def _choices_made(self, row: int) -> float:
        """In this pass, by the row's mini-batches so far, as a share of those of the pass."""
        images, batch = len(self.images[row]), self.plan.batch
        batches = -(-images // batch)
        choices = min(batches, max(1, round(images / CHOICE_IMAGES)))
        return float(int(self._batches[row]) * choices // batches) / choices

    def _slopes(self, batch: Batch, reference: Reference) -> tuple[Tensor, Tensor]:
        """`[images]` margins and `[images, channels of all sites]` their derivatives by the image's own gates."""
        members = membership([len(images) for _, images in batch], self.device, self.dtype)
        rows = torch.tensor([row for row, _ in batch], device=self.device)
        gates = [members.T @ (table.index_select(0, rows) > 0).to(self.dtype) for table in self.scores]
        gates = [gate.requires_grad_() for gate in gates]
        with torch.enable_grad(), self.autocast():
            scores = self.tapped(reference.images, Multiplier(self.sites, gates))
            margins = margin(self._collapsed(batch, scores), self._labels(batch))
            slopes = torch.cat(torch.autograd.grad(margins.sum(), gates), 1)
        if not (torch.isfinite(margins).all() and torch.isfinite(slopes).all()):
            observe(self.tapped, reference.images)  # names the site, where the network itself is to blame
            raise NumericError("the derivatives of the class scores by the gates contain NaN or infinity")
        return margins.detach(), slopes

    def _choose(self, row: int, done: float) -> None:
        """Close channels of a row, `done` passes being over."""
        margins, slopes, own = (torch.cat(parts) for parts in zip(*self._seen.pop(row), strict=True))
        if not own.any():
            return  # a row without intact images stays as it is
        scores = torch.cat([table[row] for table in self.scores])
        open_ = scores > 0
        keep = self._kept_after(done)
        reopen = round(REOPENED * max(0, int(open_.sum()) - keep))
        found = close_channels(MarginModel(margins, slopes, own), open_, keep, reopen)
        self._write(row, scores, found)
        self.steps[row] += 1

    def _kept_after(self, done: float) -> int:
        """Channels that are open after so many passes: from all to `keep` in equal steps."""
        assert self.plan.keep is not None
        share = 1 - (1 - self.plan.keep) * done / self.plan.passes
        return max(1, round(share * self.channels))

    def _write(self, row: int, scores: Tensor, found: Closed) -> None:
        """Scores of a row: its closed channels in the order in which they went, its open ones by what they cost."""
        earlier = torch.nonzero((scores <= 0) & ~found.open)[:, 0]
        earlier = earlier[scores[earlier].argsort()]
        now = set(found.order)
        order = [channel for channel in earlier.tolist() if channel not in now] + found.order
        ranks = torch.arange(1, len(order) + 1, dtype=scores.dtype, device=scores.device)
        scores[order] = ranks / (len(order) + 1) - 1
        costs = found.costs[found.open]
        scores[found.open] = (costs.argsort().argsort() + 1).to(self.dtype) / len(costs)
        for table, part in zip(self.scores, torch.split(scores, [site.channels for site in self.sites]), strict=True):
            table[row] = part

    def state(self) -> dict[str, np.ndarray]:
        """With the margins and derivatives of rows that are in the middle of a pass."""
        found = super().state() | {"batches": self._batches.copy()}
        for row, parts in self._seen.items():
            for name, tables in zip(_SEEN, zip(*parts, strict=True), strict=True):
                found[f"{name}.{row:06d}"] = torch.cat(tables).cpu().numpy()
        return found

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        super().restore(state)
        self._batches = np.array(state["batches"], dtype=np.int64)
        self._seen = {}
        for row in (row for row in range(len(self._batches)) if f"own.{row:06d}" in state):
            tables = [torch.from_numpy(state[f"{name}.{row:06d}"]).to(self.device) for name in _SEEN]
            self._seen[row] = [(tables[0], tables[1], tables[2])]


_SEEN = ("margins", "slopes", "own")


def solver_of(plan: Plan) -> type[Solver]:
    """What searches by `plan`."""
    return Solver if plan.keep is None else Elimination
