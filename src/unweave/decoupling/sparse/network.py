"""The sparse run time: per input, only the selected filters are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unweave.decoupling.controlled import Controller
from unweave.decoupling.layers import Layer
from unweave.decoupling.sparse.convolution import Executed, Shared, SparseConvolution
from unweave.decoupling.sparse.graph import sparse_graph
from unweave.decoupling.sparse.plan import Choice, Method, Plan
from unweave.decoupling.sparse.selection import Selection
from unweave.decoupling.sparse.timing import measured_plan, use
from unweave.network.folding import channels_last, fold_batch_norms
from unweave.network.graph import NetworkGraph


class SparseNetwork(nn.Module):
    """Computes what a decoupled network does in evaluation mode, but only its selected filters, on only the channels
    that can be non-zero: `forward(images)` -> class scores `[batch, classes]`.

    Made by `DecoupledNetwork.sparse`. It has weights of its own, folded with the norms, and does not follow later
    training. Nothing is kept from one input to the next. `plan` says how each convolution is computed.
    """

    def __init__(
        self,
        captured: NetworkGraph,
        layers: list[Layer],
        controllers: Mapping[str, Controller],
        example: Tensor,
        plan: Plan | Method | None = None,
    ) -> None:
        super().__init__()
        self._shared = Shared()
        with torch.inference_mode(False), torch.no_grad():
            folded = channels_last(fold_batch_norms(captured))
            self.network, self._convolutions = sparse_graph(folded, layers, controllers, self._shared)
            self.network.eval()
            if plan is None:
                device = captured.device
                plan = measured_plan(self.network, self._convolutions, self._shared, _placed(example.to(device)))
        self.plan = plan

    @property
    def plan(self) -> Plan:
        """How each convolution is computed. Another plan, or one method for all layers, may be put in its place.

        Raises
        ------
        SettingError
            If the method is unknown, or the plan is for other layers.
        """
        return self._plan

    @plan.setter
    def plan(self, plan: Plan | Method) -> None:
        if isinstance(plan, str):
            plan = Plan.same(self.layer_names, Choice(plan))
        plan.check(self.layer_names)
        use(self._convolutions, plan)
        self._plan = plan

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The convolutions that `plan` is about, in the order they run: all that are not grouped."""
        return tuple(one.name for one in self._convolutions)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Class scores, without gradients."""
        images = _placed(images)
        if len(images) <= 1 or self.plan.batches == "together":
            scores: Tensor = self.network(images)
            return scores
        return torch.cat([self.network(image) for image in torch.split(images, 1)])

    @contextmanager
    def gates(self) -> Iterator[dict[str, list[Tensor]]]:
        """Within the block, the gates of every controlled convolution are kept, `[inputs, filters]` of each pass."""
        kept: dict[str, list[Tensor]] = {one.name: [] for one in self._convolutions if one.controlled}

        def keep(one: SparseConvolution, values: Tensor, held: Selection | None, gates: Tensor | None) -> None:
            if gates is not None:
                kept[one.name].append(gates[:, : one.weights.filters])

        self._shared.watch = keep
        try:
            yield kept
        finally:
            self._shared.watch = None

    @contextmanager
    def counting(self) -> Iterator[Executed]:
        """Within the block, what is really computed is summed up."""
        self._shared.executed = Executed()
        try:
            yield self._shared.executed
        finally:
            self._shared.executed = None


def _placed(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
