"""The methods of the planted bench, by name. None is told how many channels are planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from unweave.data.labelled import labelled
from unweave.network.capture import capture
from unweave.network.tapping import Recorder, TappedNetwork
from unweave.paths import Paths, Rows
from unweave.planted import Planted
from unweave.search.attribute import attribute
from unweave.search.disentangle import disentangle
from unweave.search.settings import Settings

_BETAS = (0.01, 0.1, 1.0, 10.0)
_ELBOW_LIMIT = 32
_THRESHOLD = 0.02


@dataclass(frozen=True)
class Method:
    """`find(planted, seed)` searches a network; `asked` says with which settings, as plain values: a kept result is one
    of the same settings."""

    find: Callable[[Planted, int], Paths]
    asked: Mapping[str, Any]


def _search(**settings: Any) -> Method:
    def find(planted: Planted, seed: int) -> Paths:
        return disentangle(planted.network, planted.search, planted.sites, seed=seed, show_progress=False, **settings)

    return Method(find, {"by": "disentangle", **Settings(**settings).record()})


def _by_elbow(objective: str, **settings: Any) -> Method:
    """With beta by the elbow: no method is told the size."""
    return _search(objective=objective, beta="elbow", elbow_limit_per_class=_ELBOW_LIMIT, betas=_BETAS, **settings)


def _attribution(**question: Any) -> Method:
    settings = {"threshold": _THRESHOLD, "limit_per_class": 50, **question}

    def find(planted: Planted, seed: int) -> Paths:
        return attribute(planted.network, planted.search, planted.sites, seed=seed, show_progress=False, **settings)

    return Method(find, {"by": "attribute", **settings})


def _by_activation(planted: Planted, seed: int) -> Paths:
    """Mean absolute activation on the class's images; masks keep the upper half of every site."""
    captured = capture(planted.network, planted.search.tensors[0][:2])
    recorder, labels = Recorder(), planted.search.tensors[1]
    with torch.no_grad():
        TappedNetwork(captured, planted.sites)(planted.search.tensors[0], recorder)
    means = [value.abs().mean((2, 3)) for value in recorder.values]
    classes = labelled(planted.search).classes
    scores = {
        site.name: torch.stack([mean[labels == c].mean(0) for c in classes])
        for site, mean in zip(planted.sites, means, strict=True)
    }
    masks = {name: table > table.median(1, keepdim=True).values for name, table in scores.items()}
    return Paths(masks, Rows.of_classes(classes), planted.sites, {"method": "mean activation"}, scores)


METHODS: dict[str, Method] = {
    "default": _search(),
    "released": _by_elbow("released"),
    "variational": _by_elbow("variational"),
    "variational-noise": _by_elbow("variational-noise"),
    "literal": _by_elbow("literal"),
    "concept-path": _by_elbow("concept-path"),
    "selective, random start": _search(objective="selective", start="random"),
    "released, attribution start": _by_elbow("released", start="attribution"),
    "variational, attribution start": _by_elbow("variational", start="attribution"),
    "concept-path, attribution start": _by_elbow("concept-path", start="attribution"),
    "attribute": _attribution(),
    "attribute, one step": _attribution(steps=1),
    "attribute, unsigned": _attribution(signed=False),
    "attribute, logit": _attribution(of="logit"),
    "attribute, logit, unsigned": _attribution(of="logit", signed=False),
    "attribute, logit, unsigned, all images": _attribution(of="logit", signed=False, over="all"),
    "mean activation": Method(_by_activation, {"by": "mean activation"}),
}
"""By name. `selective` from a random start and the others from the default's start: what is owed to the objective, and
what to the attribution that the default search begins with."""
