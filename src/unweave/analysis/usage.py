"""How much of every site is used (preprint Fig. 4)."""

from __future__ import annotations

import numpy as np

from unweave.errors import PathsError
from unweave.paths import Paths
from unweave.tables import Table


def usage(paths: Paths) -> Table:
    """Unit usage rate: kept channels / channels at each site, mean over rows (preprint section 5, Fig. 4).

    Returns
    -------
    Table
        One row per site, in forward order: `site`, `channels` (count), `usage`, `least`, `most` (shares over rows),
        `in_every_row`, `in_no_row` (channel counts).

    Raises
    ------
    PathsError
        Without rows.
    """
    if len(paths) == 0:
        raise PathsError("there are no rows whose usage could be measured")
    masks = list(paths.masks.values())
    kept = paths.kept()
    return Table(
        title=f"Share of channels used at each site, {len(paths)} rows",
        columns={
            "site": paths.sites.names,
            "channels": tuple(site.channels for site in paths.sites),
            "usage": tuple(kept.mean(0).tolist()),
            "least": tuple(kept.min(0).tolist()),
            "most": tuple(kept.max(0).tolist()),
            "in_every_row": tuple(int(mask.all(0).sum()) for mask in masks),
            "in_no_row": tuple(int((~mask.any(0)).sum()) for mask in masks),
        },
        meanings={
            "usage": "kept channels / channels, mean over rows",
            "least": "of the row that keeps fewest",
            "most": "of the row that keeps most",
            "in_every_row": "channels that all rows keep",
            "in_no_row": "channels that no row keeps",
        },
        summary={"usage": float(np.average(kept.mean(0), weights=[site.channels for site in paths.sites]))},
    )
