"""`Paths` made by hand, without a network."""

import torch
from hypothesis import strategies as st

from unweave.network.sites import Site, Sites
from unweave.paths import Paths, Rows

MANIFEST = {"method": "by hand", "seed": 3, "settings": {"rate": 0.1, "classes": [0, 1]}}


def sites_of(*channels):
    """Sites `a/relu:0`, `b/relu:0`, ... with these channel counts."""
    found = [Site(f"{chr(97 + i)}/relu:0", 1, count, (count, 2, 2)) for i, count in enumerate(channels)]
    return Sites(found, (3, 8, 8), "float32", None)


def make(rows, sites, seed=0, scores=True, manifest=None):
    """Paths with random masks, and scores that they are the signs of."""
    numbers = torch.Generator().manual_seed(seed)
    tables = {site.name: torch.randn(len(rows), site.channels, generator=numbers) for site in sites}
    masks = {name: table > 0 for name, table in tables.items()}
    return Paths(masks, rows, sites, MANIFEST if manifest is None else manifest, tables if scores else None)


def animals(scores=True, seed=0):
    """Three class rows (cat 0, dog 3, cow 7) over sites of 5 and 9 channels."""
    return make(Rows.of_classes([0, 3, 7], ["cat", "dog", "cow"]), sites_of(5, 9), seed, scores)


def masks_equal(first, second):
    """Whether two `Paths` keep the same channels of the same sites."""
    return list(first.masks) == list(second.masks) and all(
        torch.equal(mask, second.masks[name]) for name, mask in first.masks.items()
    )


@st.composite
def any_paths(draw):
    """Class or input rows with odd names, sites with any channel counts, with and without scores."""
    sites = sites_of(*draw(st.lists(st.integers(1, 19), min_size=1, max_size=4)))
    count = draw(st.integers(0, 5))
    names = draw(st.lists(st.text(max_size=300), min_size=count, max_size=count))
    if draw(st.booleans()):
        classes = sorted(draw(st.sets(st.integers(0, 10**6), min_size=count, max_size=count)))
        rows = Rows.of_classes(classes, names)
    else:
        labels = draw(st.lists(st.integers(-1, 10**9), min_size=count, max_size=count))
        rows = Rows.of_inputs(count, names=names, sources=names[::-1], labels=labels, predictions=labels[::-1])
    return make(rows, sites, draw(st.integers(0, 2**30)), draw(st.booleans()))
