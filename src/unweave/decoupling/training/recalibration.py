"""Batch norms' statistics for the gates of evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.images import TrainingImages, epoch_batches
from unweave.decoupling.training.settings import FitSettings
from unweave.network.precision import autocast


def recalibrate(net: DecoupledNetwork, images: TrainingImages, settings: FitSettings, epoch: int) -> None:
    """Estimate the statistics of all batch norms anew, on about `settings.recalibrate` of the images, without noise.

    In training, noise opens and closes gates, so that what a norm sees there is not what it sees in evaluation. The
    images belong to (seed, epoch), and come in the batches of training; each batch counts the same. The network is left
    in evaluation mode.
    """
    norms = [one for one in net.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]
    batches = -(-settings.recalibrate // settings.batch)
    net.eval()
    if not batches or not norms:
        return
    plan = epoch_batches(images.positions, settings.batch, epoch, settings.seed)[:batches]
    with _measuring(norms), torch.no_grad(), autocast(images.device, settings.precision):
        for batch, _, positions in images.batches(plan):
            if len(positions) > 1:  # the others are damaged, and batch norm takes no single one
                net(batch)


@contextmanager
def _measuring(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Within the block, `norms` alone are in training mode, and average over all batches that they see."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
