"""`plant`: a network with known class channels, with images, made on the spot."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from unweave.data.labelled import labelled
from unweave.errors import SettingError
from unweave.network.capture import capture
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import Sites, sites_of
from unweave.network.tapping import TappedNetwork
from unweave.paths import Paths, Rows
from unweave.planted.ablation import Ablation
from unweave.planted.activity import balance
from unweave.planted.architecture import KINDS, Kind, PlantedNetwork
from unweave.planted.blocks import Blocks, arrange, train
from unweave.planted.images import class_images
from unweave.planted.merging import Merged, merge
from unweave.planted.truth import SHARE, Truth, find_truth
from unweave.whole_numbers import whole_number

_TRAINING_IMAGES = 1000
_STEPS, _STEPS_PER_CLASS = 50, 2
_JUDGED_ON = 20
"""Images of a class that the truth is found on."""
_CHECKED_ON = 50
"""Images of a class that it is checked on."""
_BALANCED_ON = 500
"""Images of all classes together by whose activations channels are scaled; at least 5 a class."""
_LAST_SEED = 2**43 - 1
"""The seeds of images are a million times as high, and have 64 bits."""
RECIPE = 3
"""Raised whenever the same settings make another network, or are judged otherwise: kept results are then not used."""


@dataclass(frozen=True)
class Planted:
    """A `network` with known class channels, `search` images (those it was trained on), `held_out` images, its filter
    level `sites` and the `truth` about them. `top1`: its accuracy on the held-out images."""

    network: PlantedNetwork
    search: TensorDataset
    held_out: TensorDataset
    sites: Sites
    truth: Truth
    top1: float
    settings: Mapping[str, Any]


def plant(
    kind: Kind = "plain",
    classes: int = 10,
    *,
    seed: int = 0,
    width: int = 4,
    shared: int | None = None,
    distractors: int | None = None,
    images_per_class: int | None = None,
    share: float = SHARE,
    spread: float = 0.7,
) -> Planted:
    """Build a network of which it is known which channels each class needs.

    Small separate networks (blocks of `width` channels in every layer) are trained side by side on generated images:
    an expert for every class, `shared` ones that two classes read each, and `distractors`, which learn a class as an
    expert does and whose answer nothing reads. They are written into one wide network of dense convolutions, whose
    channels are permuted and scaled at random (which a ReLU network does not notice). What is planted for a class is
    then found by ablation, see `Truth`, and checked, see `check_truth`.

    Parameters
    ----------
    kind
        `"plain"`, `"residual"` or `"concatenating"`.
    classes
        4 to 100.
    seed
        From 0.
    width
        At least 1.
    shared, distractors
        How many such blocks, from 0; default: a third, and half, of the classes.
    images_per_class
        At least one, to train and search on, and half as many held out; default: 1,000 in all, at least 20 a class.
    share
        A channel is planted if removing it changes its class's score by more than this share on images of the class;
        on other images, drawn for this check alone, it must change it by more than half of that. Between 0 and 1.
    spread
        Standard deviation of the logarithm of channels' mean activations, from 0.

    Raises
    ------
    SettingError
        If there is no such kind, a count or seed is not a whole number or out of its range, or `share` or `spread` is.
    PlantedError
        If the network that came out is not fair to judge by; another seed may be.
    """
    if kind not in KINDS:
        raise SettingError(f"no kind {kind!r} of planted network; there are {', '.join(KINDS)}")
    classes = whole_number("classes", classes, 4, 100)
    seed, width = whole_number("seed", seed, 0, _LAST_SEED), whole_number("width", width, 1)
    shared = classes // 3 if shared is None else whole_number("shared", shared, 0)
    distractors = classes // 2 if distractors is None else whole_number("distractors", distractors, 0)
    if images_per_class is None:
        per_class = max(20, _TRAINING_IMAGES // classes)
    else:
        per_class = whole_number("images_per_class", images_per_class, 1)
    if not (_is_real(share) and 0 < share < 1):
        raise SettingError(f"share must be a number above 0 and below 1, found {share!r}")
    if not (_is_real(spread) and 0 <= spread < math.inf):
        raise SettingError(f"spread must be a number from 0, found {spread!r}")
    draw = np.random.default_rng([seed, KINDS.index(kind), classes])
    search, held_out = class_images(classes, per_class, seed, 0), class_images(classes, -(-per_class // 2), seed, 1)
    blocks = arrange(kind, classes, width, shared, distractors, draw)
    images, labels = search.tensors
    trained = train(blocks, images, labels, _STEPS + _STEPS_PER_CLASS * classes, seed)
    with torch.no_grad():
        merged = merge(blocks, trained, images, spread, draw)
        top1 = float((merged.network(held_out.tensors[0]).argmax(1) == held_out.tensors[1]).float().mean())
        sites, truth = _judged(blocks, merged, search, class_images(classes, _CHECKED_ON, seed, 2), share)
    settings = {"kind": kind, "classes": classes, "seed": seed, "width": width, "share": share, "spread": spread}
    settings |= {"blocks": len(blocks.serves), "channels": blocks.channels, "images_per_class": per_class}
    return Planted(merged.network, search, held_out, sites, truth, top1, settings)


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _judged(
    blocks: Blocks, merged: Merged, data: TensorDataset, others: TensorDataset, share: float
) -> tuple[Sites, Truth]:
    """Balance the merged network, whose channels keep their effects, and judge it."""
    network, reaches = merged.network, reaching(blocks, merged)
    tapped, sites = _tapped(network, data)
    found = Ablation.of(network, tapped, sites, labelled(data), _JUDGED_ON, reaches)
    planted = [(found.effects(number) > share).numpy() for number in range(len(reaches))]
    few = Ablation.of(network, tapped, sites, labelled(data), max(_BALANCED_ON // blocks.classes, 5), reaches)
    balance(network, [means.numpy() for means in few.activations], planted, reaches)
    tapped, sites = _tapped(network, data)
    digest = fingerprint(network)

    def to_paths(masks: Mapping[str, Tensor]) -> Paths:
        manifest = {"method": "planted", "network": digest}
        return Paths(masks, Rows.of_classes(range(blocks.classes)), sites, manifest)

    judged = Ablation.of(network, tapped, sites, labelled(data), _JUDGED_ON, reaches)
    held_out = Ablation.of(network, tapped, sites, labelled(others), _CHECKED_ON, reaches)
    return sites, find_truth(judged, held_out, to_paths, share)


def _tapped(network: PlantedNetwork, data: TensorDataset) -> tuple[TappedNetwork, Sites]:
    captured = capture(network, data.tensors[0][:2])
    sites = sites_of(captured, "filter")
    return TappedNetwork(captured, sites), sites


def reaching(blocks: Blocks, merged: Merged) -> list[np.ndarray]:
    """Of every layer, `Bool[classes, channels]`: which channels can reach which class's score."""
    before = np.stack([blocks.of_class(c) for c in range(blocks.classes)])
    found = []
    for place in merged.places:
        after = np.zeros_like(before)
        after[:, place] = before
        found.append(after)
    return found
