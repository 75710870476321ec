"""`disentangle`: the sub-architecture of every class of a frozen network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.network.sites import Level, Sites
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.search.elbow import BETAS
from unweave.search.objectives import Objective
from unweave.search.search import Search
from unweave.search.settings import DEFAULT_OBJECTIVE, Settings
from unweave.search.targets import Against, Group


def disentangle(
    network: nn.Module,
    data: Data | LabelledImages,
    sites: Sites | Level = "block",
    objective: str | Objective = DEFAULT_OBJECTIVE,
    *,
    beta: float | Literal["elbow"] | None = None,
    reconstruction: bool = True,
    validation: Data | LabelledImages | None = None,
    classes: Sequence[int] | None = None,
    groups: Mapping[str, Group] | None = None,
    against: Against | None = None,
    labels: Sequence[int] | Tensor | None = None,
    strict: bool = False,
    limit_per_class: int | None = None,
    rate: float = 0.1,
    passes: int = 20,
    batch: int = 16,
    augment: str = "none",
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "float32",
    rows_per_batch: int | None = None,
    classes_per_shard: int | None = None,
    keep_activations: bool | None = None,
    betas: Sequence[float] = BETAS,
    elbow_limit_per_class: int = 200,
    start: Paths | Literal["random", "attribution"] | None = None,
    keep: float | None = None,
    logits: str | int | None = None,
    run: str | os.PathLike[str] | None = None,
    engine: str = "inline",
    workers: int | None = None,
    address: str | None = None,
    threads: int | None = None,
    show_progress: bool | None = None,
) -> Paths:
    """Find, for every class, the channels that a frozen network needs to recognise it (NAD, ICCV 2021).

    For each class `c` and site `i`, scores `s` are learned by normalised gradient steps on images of the class (ICCV
    Eq. 15, `s -= rate * g / ||g||_2`, the norm over the site's channels), from N(0, 1), while channels are multiplied
    with `sigmoid(s)`; a channel belongs to the class's sub-architecture if `sigmoid(s) > 0.5` (Eq. 16). Classes share
    batches but not losses, so each result is that of a search for the class alone.

    Parameters
    ----------
    network
        Maps images `[batch, ...]` to class scores `[batch, classes]`. Never changed; used in evaluation mode.
    data
        Training images: a data set or `DataLoader` of (image, class index). A loader's sampler and batch size are not
        used: the search makes batches of its own, class by class.
    sites
        What `find_sites` returned, or a level for it (`"block"`, `"filter"`, `"heads"`, ...), or a list of names.
    objective
        `"released"`, `"variational"`, `"variational-noise"`, `"literal"`, `"concept-path"`, `"selective"` (which looks
        at images of other classes too), or an `Objective` (which brings its own beta).
    beta
        Weight of the penalty (the preprint's lambda for `concept-path`); `"elbow"` tries all of `betas` on the first
        5 % of the classes, at least three, and takes the elbow of reconstruction error against size (ICCV Appendix B).
        Betas between the elbow and its neighbours are tried too. Default: the elbow, or the objective's own
        (`selective`: 1). The sweep is kept in `paths.manifest["elbow"]`.
    reconstruction
        False leaves the reconstruction terms out (the preprint's ablation: lower masks may then become empty).
    validation
        Images that will be measured on; the search does not use them, it records their fingerprint in the manifest.
    classes
        Class indices to search; default: all that have images, or none where `groups` are given.
    groups
        Several classes as one row: `{"dog": [151, 152, 153]}`. A group's share is the sum of its classes' shares.
    against
        Classes to tell the rows from, instead of all others: class indices for all rows (a row's own are left out), or
        for some rows by name. The other classes' scores then take no part in the search.
    labels
        The class of each image, where the data set does not tell.
    strict
        Refuse data with an image that cannot be read; default: such images are left out, counted and warned of.
    limit_per_class
        At most so many images a class, at least one, drawn by (seed, class).
    rate, passes, batch
        Step length, passes over each class's images, images of a class per step.
    augment
        `"none"`; `"published"`: random resized crops (0.08 to 1.25 of the area) and flips; or `"mild"`: half of the
        images, crops of 0.4 to 1 of the area.
    device
        Default: where the network is.
    precision
        `"float32"`, or `"bfloat16"`: the network's own operations in mixed precision, in the attribution that
        `selective` starts from too; scores and losses stay float32.
    rows_per_batch
        Classes that share one pass through the network; default: as many as run fastest.
    classes_per_shard
        Classes searched from the first pass to the last before the next ones begin; default: all, or as many as have
        activations that fit in memory. It does not change the result.
    keep_activations
        Whether what the untouched network does is kept between passes; default: if it fits in 40 % of free memory, for
        all classes or, one shard of classes after the other, for some at a time.
    betas, elbow_limit_per_class
        What the elbow tries, on at most so many images a class, at least one.
    start
        `"random"`: scores from a normal distribution, N(0, 1) but for `selective` (N(0.5, 0.1^2)); `"attribution"`:
        scores of `attribute(of="logit", signed=False)` on the search images, in units of their deviation; or paths of
        the same classes and sites, whose scores are moved so that a mask is where they are above 0. Default: the
        objective's own (`selective`: attribution; the others: random).
    keep
        The share of all channels that every row keeps, between 0 and 1, for `selective`: instead of learning scores,
        channels are closed one after the other, some after every hundred images of a class, always the one whose
        closing is predicted to harm decisions least; the last 0.3 of the passes exchange some (docs/objectives.md).
        `beta`, `rate` and `start` have no part in it, and there is no reconstruction. More passes make it better.
    logits
        For networks that return a dict, tuple or dataclass: which part is the class scores.
    run
        A folder to keep the search in: scores are saved after every pass and every five minutes, and the same call goes
        on with what it finds there (to the same bytes that an uninterrupted call gives), or reads the finished result.
        Another network, other images or other settings are refused.
    engine, workers, address
        `"inline"`: here; `"processes"`: shards of classes in so many processes of this machine; `"ray"`: in so many
        workers of the Ray cluster at `address` (`"host:port"`, or `"auto"` on one of its nodes), or of a Ray that is
        started here for this call. A shard whose worker dies is gone on with, where `run` is a place that all nodes
        see, or begun again.
    threads
        Of the processor, a worker; default: torch's, shared among workers. Part of the plan: another number rounds
        differently.
    show_progress
        Default: if standard error is a terminal.

    Returns
    -------
    Paths
        One row per class, ascending, with scores.

    Raises
    ------
    CaptureError, SiteError
        If the network cannot be captured or has no such site.
    DataError, SettingError
        If data or a setting cannot be used.
    PathsError
        If `start` has other sites or lacks a class.
    NumericError
        If NaN or infinity appears, naming the site.
    RunError
        If `run` was begun with something else, is in use by another process, or cannot be written to.
    EngineError
        If a worker process dies, Ray cannot be reached, or memory is short with half the rows a batch too.
    """
    settings = Settings(
        objective=objective,
        beta=beta,
        reconstruction=reconstruction,
        classes=classes,
        groups=groups,
        against=against,
        limit_per_class=limit_per_class,
        rate=rate,
        passes=passes,
        batch=batch,
        augment=augment,
        seed=seed,
        precision=precision,
        rows_per_batch=rows_per_batch,
        classes_per_shard=classes_per_shard,
        keep_activations=keep_activations,
        threads=threads,
        betas=betas,
        elbow_limit_per_class=elbow_limit_per_class,
        start=start,
        keep=keep,
    )
    search = Search.with_engine(
        engine,
        workers,
        network,
        labelled(data, labels, strict=strict),
        sites,
        settings,
        validation=None if validation is None else labelled(validation),
        device=device,
        logits=logits,
        folder=None if run is None else RunFolder(run),
        address=address,
        show_progress=show_progress,
    )
    return search.run()
