"""Which filters all inputs select, which none, and which only some (ECCV Fig. 4)."""

from __future__ import annotations

import numpy as np

from unweave.errors import PathsError
from unweave.paths import Paths
from unweave.tables import Table

STATES = ("energetic", "silent", "dynamic")


def filter_states(paths: Paths) -> Table:
    """Filters in each of three states, at each site (ECCV section 4.2, Fig. 4).

    With `z_i` the gate of a channel for row `i` of `n`: energetic if `sum_i z_i = n`, silent if `sum_i z_i = 0`, else
    dynamic. A state is one over these rows: over more inputs, channels can only become dynamic.

    Returns
    -------
    Table
        One row per site, in forward order: `site`, `channels`, and for each state the number of channels (`energetic`,
        `silent`, `dynamic`) and their share of the site's (`energetic_share`, ...). The summary has the shares of all
        channels.

    Raises
    ------
    PathsError
        With fewer than two rows: nothing can differ.
    """
    if len(paths) < 2:
        raise PathsError(f"filter states compare what rows select, there is {len(paths)}; give at least two")
    selected = [mask.sum(0).numpy() for mask in paths.masks.values()]
    counts = {
        "energetic": np.array([(times == len(paths)).sum() for times in selected]),
        "silent": np.array([(times == 0).sum() for times in selected]),
        "dynamic": np.array([((times > 0) & (times < len(paths))).sum() for times in selected]),
    }
    channels = np.array([site.channels for site in paths.sites])
    rows = {"class": "classes", "input": "inputs"}.get(paths.rows.kind, "rows")
    return Table(
        title=f"States of filters over {len(paths)} {rows}",
        columns={
            "site": paths.sites.names,
            "channels": tuple(channels.tolist()),
            **{state: tuple(counts[state].tolist()) for state in STATES},
            **{f"{state}_share": tuple((counts[state] / channels).tolist()) for state in STATES},
        },
        meanings={
            "energetic": f"channels that all {rows} select",
            "silent": "channels that none selects",
            "dynamic": "channels that some select and others do not",
            "*_share": "of the site's channels",
        },
        summary={f"{state}_share": float(counts[state].sum() / channels.sum()) for state in STATES},
    )
