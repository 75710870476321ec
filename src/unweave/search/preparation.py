"""A network made ready for a search, and the proof that it still computes the same."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unweave.data.labelled import LabelledImages
from unweave.errors import CaptureError, NumericError
from unweave.network.capture import capture, evaluating_copy
from unweave.network.devices import usable_device
from unweave.network.folding import channels_last, fold_batch_norms, to_device
from unweave.network.graph import NetworkGraph, operation_name
from unweave.network.refusals import check_numbers
from unweave.network.sites import Level, Sites, nodes_of_sites, sites_of
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.search.reference import observe


@dataclass(frozen=True)
class Prepared:
    """A network made ready for a search: the folded graph with taps, and where it runs."""

    tapped: TappedNetwork
    captured: NetworkGraph
    sites: Sites
    device: torch.device
    dtype: torch.dtype


def prepare(
    network: nn.Module,
    images: LabelledImages,
    sites: Sites | Level,
    device: str | torch.device | None,
    logits: str | int | None,
) -> Prepared:
    """Capture, fold, move and tap a network, and prove on real images that it still computes the same.

    Raises
    ------
    CaptureError
        If the graph with all gates open differs from the network.
    """
    example = images.images(np.repeat(images.intact(1), 2))
    if isinstance(sites, Sites):
        logits = sites.logits if logits is None else logits
    check_numbers(network)
    captured = capture(network, example, logits)
    found = sites if isinstance(sites, Sites) else sites_of(captured, sites, logits)
    nodes_of_sites(captured, found)
    where = usable_device(device) if device is not None else captured.device
    folded = to_device(channels_last(fold_batch_norms(captured, found)), where)
    prepared = Prepared(TappedNetwork(folded, found), folded, found, where, _working_dtype(captured))
    _self_test(network, images, prepared, logits)
    if (last := operation_name(captured.output)) in ("softmax", "_softmax", "sigmoid"):
        warnings.warn(
            f"the network ends in {last.strip('_')}: objectives take what it returns for class scores (logits), so "
            "gradients will be small; give the network without its last operation",
            stacklevel=3,
        )
    return prepared


def _working_dtype(captured: NetworkGraph) -> torch.dtype:
    return torch.float64 if captured.dtype == torch.float64 else torch.float32


_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference allowed, as a share of the largest class score."""


def _gpus(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _self_test(network: nn.Module, images: LabelledImages, prepared: Prepared, logits: str | int | None) -> None:
    """All-ones gates on the folded graph must give the network's own output."""
    batch = images.images(images.intact(8))
    own_module = evaluating_copy(network, logits)
    # A network that draws random numbers even in evaluation mode is refused below, and must not move the user's state.
    with torch.no_grad(), torch.random.fork_rng(devices=_gpus(prepared.device)):
        own = own_module(batch.to(next(own_module.parameters(), batch).device))
        ones = [torch.ones(site.channels, device=prepared.device, dtype=prepared.dtype) for site in prepared.sites]
        here = prepared.tapped(batch.to(prepared.device), Multiplier(prepared.sites, ones)).to(own.device)
    if not torch.isfinite(own).all():
        observe(prepared.tapped, batch.to(prepared.device))  # names the site
        raise NumericError("the network's class scores contain NaN or infinity for the given images")
    difference = float((own - here).abs().max())
    if difference > _TOLERANCE.get(prepared.captured.dtype, 1e-3) * max(1e-6, float(own.abs().max())):
        raise CaptureError(
            f"the captured graph does not compute what the network does: class scores differ by {difference:.2g} "
            "(is it random, or different for other batch sizes, in evaluation mode?)"
        )
