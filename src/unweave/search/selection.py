"""Which channels of a row's scores its mask keeps."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

import torch
from torch import Tensor

from unweave.errors import SettingError
from unweave.paths import Paths

Keep = float | Paths | None


def checked_choice(keep: Keep, threshold: float | None) -> None:
    """Refuse what cannot choose.

    Raises
    ------
    SettingError
    """
    if (keep is None) == (threshold is None):
        raise SettingError("give either keep (a share, or paths of the wanted sizes) or threshold")
    if keep is not None and not isinstance(keep, Paths) and not (_is_number(keep) and 0 < keep <= 1):
        raise SettingError(f"keep must be a share above 0 and up to 1, or paths, found {keep!r}")
    if threshold is not None and not (_is_number(threshold) and 0 <= threshold < 1):
        raise SettingError(f"threshold must be a share from 0 and below 1, found {threshold!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def chosen_channels(scores: Mapping[str, Tensor], keep: Keep, threshold: float | None) -> dict[str, Tensor]:
    """`Bool[rows, channels]` by site.

    With `keep` a share: the highest `round(keep * channels)` of every site, at least one. With `keep` paths of as many
    rows: as many channels of each row and site as there. With `threshold`: channels whose score is above this share of
    the row's highest at the site, and above 0. Of equal scores the first channels are kept.
    """
    found = {}
    for name, table in scores.items():
        if threshold is not None:
            highest = table.amax(1, keepdim=True).clamp_min(0)
            found[name] = (table > threshold * highest) & (table > 0)
            continue
        if isinstance(keep, Paths):
            sizes = keep.masks[name].sum(1)
        else:
            assert keep is not None
            sizes = torch.full((len(table),), max(1, round(keep * table.shape[1])))
        ranks = torch.argsort(torch.argsort(table, dim=1, descending=True, stable=True), dim=1)
        found[name] = ranks < sizes[:, None]
    return found
