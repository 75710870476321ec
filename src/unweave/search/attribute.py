"""`attribute`: sub-architectures by integrated gradients along the gates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.network.sites import Level, Sites
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.search.attribution import Attribution
from unweave.search.attribution_scores import Of, Over, Question
from unweave.search.targets import Against, Group


def attribute(
    network: nn.Module,
    data: Data | LabelledImages,
    sites: Sites | Level = "block",
    *,
    steps: int = 8,
    of: Of = "class_probability",
    signed: bool = True,
    over: Over = "own",
    keep: float | Paths | None = None,
    threshold: float | None = None,
    classes: Sequence[int] | None = None,
    groups: Mapping[str, Group] | None = None,
    against: Against | None = None,
    labels: Sequence[int] | Tensor | None = None,
    strict: bool = False,
    limit_per_class: int | None = None,
    batch: int | None = None,
    precision: str = "float32",
    seed: int = 0,
    device: str | torch.device | None = None,
    logits: str | int | None = None,
    run: str | os.PathLike[str] | None = None,
    show_progress: bool | None = None,
) -> Paths:
    """Score every channel for every class by integrated gradients along the gates: a fast search.

    All channels of all sites are multiplied with one gate `t`, which goes from 0 (closed) to 1 (open). With `F_c(x; t)`
    what is asked about class c on image x, channel i gets

        A_i(x) = integral from 0 to 1 of dF_c(x; t) / dg_i dt

    by the midpoint rule in `steps` steps (one: the gradient at 1, a first-order Taylor expansion). The attributions of
    all channels of all sites add up to `F_c(x; 1) - F_c(x; 0)`. A row's scores are their mean over images, or the mean
    of their absolute values. Source: Sundararajan et al., ICML 2017 (Eq. 1), along gates instead of pixels.

    Which question is asked:

    - `of="class_probability"` (`F = log p_c`), `signed`, `over="own"`: which channels make the network answer c on
      images of c? As NAD's searches, it likes channels that hold other classes back, and leaves out those that hold c
      back.
    - `signed=False`: which channels have a say at all, for or against? A network also needs channels that inhibit a
      class on other images; a signed score drops them.
    - `of="logit"` (`F = z_c`): which channels the score of c is made of, whatever the other classes' scores do.
    - `over="all"`: on images of every class, so that a channel counts that says no to others' images.

    Parameters
    ----------
    data, sites, classes, groups, against, labels, strict, limit_per_class, precision, device, logits, show_progress
        As `disentangle`. `limit_per_class` draws by (seed, class). A group's logit is the logarithm of the sum of its
        classes' exponentials.
    keep
        Share of every site's channels that a mask keeps, those with the highest scores, or paths: as many channels for
        each row and site as there. Default: 0.5, unless `threshold` is given.
    threshold
        Instead: a mask keeps channels whose score is above 0 and above this share of the row's highest at the site.
    batch
        Images that share one pass through the network; default: as many as run fastest.
    run
        A folder to keep the work in; the same call goes on with what it finds there.

    Returns
    -------
    Paths
        One row per class, ascending, with scores; usable as `start` of `disentangle`.

    Raises
    ------
    CaptureError, SiteError
        If the network cannot be captured or has no such site.
    DataError, SettingError
        If data or a setting cannot be used.
    PathsError
        If `keep` are paths of other sites or rows.
    NumericError
        If NaN or infinity appears, naming the site.
    RunError
        If `run` was begun with something else, is in use by another process, or cannot be written to.
    """
    attribution = Attribution(
        network,
        labelled(data, labels, strict=strict),
        sites,
        Question(steps, of, signed, over),
        keep=0.5 if keep is None and threshold is None else keep,
        threshold=threshold,
        classes=classes,
        groups=groups,
        against=against,
        limit_per_class=limit_per_class,
        seed=seed,
        batch=batch,
        precision=precision,
        device=device,
        logits=logits,
        folder=None if run is None else RunFolder(run),
        show_progress=show_progress,
    )
    return attribution.run()
