"""`route`: the critical data routing path of every input of a frozen network."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unweave.data.inputs import labelled_inputs
from unweave.data.labelled import Data, LabelledImages
from unweave.network.sites import Level, Sites
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.search.routing import Routing
from unweave.search.routing_gates import Descent


def route(
    network: nn.Module,
    images: Tensor | Data | LabelledImages,
    sites: Sites | Level | None = None,
    *,
    steps: int = 30,
    rate: float = 0.1,
    momentum: float = 0.9,
    weight: float = 0.05,
    bound: float = 10.0,
    batch: int | None = None,
    limit: int | None = None,
    labels: Sequence[int] | Tensor | None = None,
    strict: bool = False,
    device: str | torch.device | None = None,
    logits: str | int | None = None,
    run: str | os.PathLike[str] | None = None,
    show_progress: bool | None = None,
) -> Paths:
    """Find, for every input, the channels that a frozen network's prediction of it needs (Wang et al., CVPR 2018).

    Per input, every channel of every site is multiplied with a gate of its own, from 1. Gates are learned by gradient
    descent with momentum on the cross entropy to the network's own softmax, plus `weight` times the sum of all gates,
    and held between 0 and `bound`. Of the gates on the way (the first, all 1, included) that leave the highest class
    score where it was, those with the lowest loss are the input's path. A channel belongs to it if its gate is above 0.
    Where no step leaves the prediction at a lower loss, the path is the whole network: all gates 1
    (`paths.manifest["all_gates_open"]` counts such inputs). Inputs share batches but not losses. Nothing is random.

    Parameters
    ----------
    network
        Maps images `[batch, ...]` to class scores `[batch, classes]`. Never changed; used in evaluation mode.
    images
        `[inputs, ...]`, or a data set or `DataLoader` of (image, class index), whose labels the rows keep.
    sites
        What `find_sites` returned, or a level for it. Default: block outputs where the network adds two computed values
        of one shape (residual), else all convolutions' outputs after norm and activation.
    steps, rate, momentum
        Of the descent.
    weight
        Of the sum of gates, against the cross entropy.
    bound
        The largest gate, at least 1.
    batch
        Inputs that share one pass through the network; default: as many as run fastest.
    limit
        At most so many inputs, evenly spread over all.
    labels
        The class of each image, where `images` do not tell.
    strict
        Refuse data with an image that cannot be read; default: such images are left out, counted and warned of.
    device
        Default: where the network is.
    logits
        For networks that return a dict, tuple or dataclass: which part is the class scores.
    run
        A folder to keep the work in: every batch is saved as it is done, and the same call goes on with what it finds
        there (to the same bytes that an uninterrupted call gives), or reads the finished result. Another network, other
        images or other settings are refused.
    show_progress
        Default: if standard error is a terminal.

    Returns
    -------
    Paths
        One row per input, named by its position, with labels (-1: unknown) and the network's predictions; scores are
        the gates.

    Raises
    ------
    CaptureError, SiteError
        If the network cannot be captured or has no such site.
    DataError, SettingError
        If images or a setting cannot be used.
    NumericError
        If NaN or infinity appears, naming the site.
    RunError
        If `run` was begun with something else, is in use by another process, or cannot be written to.
    """
    routing = Routing(
        network,
        labelled_inputs(images, labels, strict=strict),
        sites,
        Descent(steps, rate, momentum, weight, bound),
        batch=batch,
        limit=limit,
        device=device,
        logits=logits,
        folder=None if run is None else RunFolder(run),
        show_progress=show_progress,
    )
    return routing.run()
