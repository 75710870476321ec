"""Which channels a class keeps at each site, and who else keeps them: the data of the report's flow."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from unweave.analysis.similarity import jaccard
from unweave.analysis.similarity_ranks import SimilarityRanks
from unweave.analysis.stability import Stability
from unweave.paths import Paths
from unweave.tables import Table

_NEAREST = 3


def flow_data(
    paths: Paths, exciting: Table | None, pictures: dict[int, str], stability: Stability | None = None
) -> dict[str, Any]:
    """Plain values for the page's script.

    `masks` of a site: the bits of all rows one after another, most significant first, in base64. `nearest[row]`: the
    rows that share most of its channels there, with their Jaccard similarity (`_nearest`).
    `exciting[site][channel]`: positions of images; `pictures` by position, as addresses that hold their own data.
    `itself` of a site: the similarity of a class to itself under other seeds, null where it was not measured.
    """
    itself = stability.per_site["self_similarity"] if stability is not None else (None,) * len(paths.sites)
    sites = []
    for site, mask, own in zip(paths.sites, paths.masks.values(), itself, strict=True):
        bits = mask.numpy()
        sites.append(
            {
                "name": site.name,
                "channels": site.channels,
                "masks": base64.b64encode(np.packbits(bits.reshape(-1)).tobytes()).decode("ascii"),
                "users": bits.sum(0).tolist(),
                "nearest": _nearest(jaccard(mask)),
                "itself": own,
            }
        )
    found: dict[str, dict[str, list[int]]] = {}
    if exciting is not None:
        for name, channel, position in zip(*(exciting[c] for c in ("site", "channel", "position")), strict=True):
            if position in pictures:
                found.setdefault(name, {}).setdefault(str(channel), []).append(position)
    return {
        "rows": list(paths.rows.names),
        "sites": sites,
        "exciting": found,
        "pictures": {str(position): address for position, address in pictures.items()},
    }


def _nearest(matrix: np.ndarray) -> list[dict[str, Any]]:
    """For each row its most similar others, `rows` of (row, similarity); and how many others are equally similar and
    would share the places left, `alike` (number, similarity), null where there are none."""
    ranks = SimilarityRanks.of(matrix)
    found = []
    for row, values in enumerate(matrix.round(3).tolist()):
        certain, shared = ranks.first(row, _NEAREST)
        alike = [len(shared), values[shared[0]]] if shared else None
        found.append({"rows": [[other, values[other]] for other in certain], "alike": alike})
    return found
