"""The channels that a report shows with the images that excite them most."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unweave.paths import Paths

_SITES = 3
_CHANNELS = 240
_GOLDEN = (5**0.5 - 1) / 2


def channels_with_images(paths: Paths) -> dict[str, list[int]]:
    """Channels whose images are shown, at sites spread over the depth: the highest scored of every class, then the
    second of every class, as far as the limit goes. Where it does not reach all classes, those that it reaches are
    spread evenly over them, and are others at each site."""
    names = paths.sites.names
    shown = np.unique(np.linspace(0, len(names) - 1, min(_SITES, len(names))).round().astype(int))
    each, spread = _CHANNELS // len(shown), _evenly_begun(len(paths))
    chosen = {}
    for number, position in enumerate(shown):
        begun = number * len(paths) // len(shown)
        chosen[names[position]] = _of_every_row(paths, names[position], spread[begun:] + spread[:begun], each)
    return chosen


def _evenly_begun(count: int) -> list[int]:
    """0 to `count` - 1 in an order of which every stretch is spread evenly: by multiples of the golden ratio."""
    order: list[int] = np.argsort(np.arange(count) * _GOLDEN % 1, kind="stable").tolist()
    return order


def _of_every_row(paths: Paths, site: str, rows: Sequence[int], limit: int) -> list[int]:
    """At most `limit` kept channels: the highest scored of each of `rows`, the second of each, and so on."""
    kept = paths.masks[site]
    strength = (paths.scores or {}).get(site, kept.float()).float().masked_fill(~kept, -math.inf)
    order, sizes = strength.sort(dim=1, descending=True, stable=True).indices.tolist(), kept.sum(1).tolist()
    found: dict[int, None] = {}
    for rank in range(max(sizes)):
        for row in rows:
            if len(found) == limit:
                return list(found)
            if rank < sizes[row]:
                found[order[row][rank]] = None
    return list(found)


def in_words(paths: Paths, chosen: dict[str, list[int]], pictures: bool) -> str:
    """At which sites channels have images, and how many."""
    if not pictures:
        return "No channel has images: the network's inputs are not pictures."
    sizes = {site.name: site.channels for site in paths.sites}
    parts = []
    for name, channels in chosen.items():
        rows = int(paths.masks[name][:, channels].any(1).sum())
        parts.append(f"{len(channels)} of {sizes[name]} at {name} ({rows} of {len(paths)} classes keep one of them)")
    first = "highest scored" if paths.scores is not None else "first"
    return f"Channels with the images that excite them most: {'; '.join(parts)}. They are the {first} of each class."
