"""How active channels are on images of a class, and scales that make it tell nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unweave.planted.architecture import PlantedNetwork, stream_of
from unweave.planted.merging import rescale
from unweave.planted.scoring import auroc

_POWERS = np.linspace(0.0, 1.0, 41)
_MOST_SELECTIVE = 20.0


@dataclass(frozen=True)
class Activity:
    """Of one site, on images of every class, all (class, channel) pairs pooled. Activation: mean absolute value.

    `others`: mean activation of the channels that are not the class's (experts of other classes, and distractors), as a
    share of that of the planted ones; `distractors`: the same of the channels that no class reads. `auroc`: of ranking
    the judged channels by activation; `auroc_of_distractors`: of planted channels against those that no class reads
    alone. NaN where there is nothing to compare.
    """

    others: float
    distractors: float
    auroc: float
    auroc_of_distractors: float


def activity_at(means: np.ndarray, planted: np.ndarray, judged: np.ndarray, reached: np.ndarray) -> Activity:
    """Of a site with mean absolute activations `means` `[classes, channels]`; the others are `Bool[classes,
    channels]`."""
    idle = np.broadcast_to(~reached.any(0), reached.shape)
    own = means[planted]
    return Activity(
        _mean(means[~reached]) / _mean(own),
        _mean(means[idle]) / _mean(own),
        auroc(means[judged], planted[judged]),
        auroc(np.concatenate([own, means[idle]]), np.arange(len(own) + int(idle.sum())) < len(own)),
    )


def balance(
    network: PlantedNetwork, means: Sequence[np.ndarray], planted: Sequence[np.ndarray], reaches: Sequence[np.ndarray]
) -> None:
    """Scale channels so that at every layer the others are at least as active on a class's images as the planted ones.

    A ReLU network does not notice (`merge`). An expert is more active on its own class, by a factor `r` of each
    channel. Divided by `r ** t`, experts of other classes gain on one's own as `t` grows; the smallest `t` of 0, 0.025,
    ..., 1 is taken that makes them as active, or, if there is none, the one that comes nearest. Then one factor for all
    distractors makes these as active on average too, and makes up for what experts may lack. Layers whose values are
    added share the scale of a channel, and the least favourable of them decides.

    `means[layer]` `[classes, channels]`: mean absolute activations; `planted`, `reaches`: `Bool[classes, channels]`.
    """
    streams = stream_of(network.kind)
    scales = {}
    for stream in sorted(set(streams)):
        layers = [number for number, own in enumerate(streams) if own == stream]
        tables = [(means[n], planted[n], reaches[n]) for n in layers]
        scales[stream] = torch.from_numpy(_scale(tables)).float()
    rescale(network, [scales[stream] for stream in streams])


_Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def _scale(tables: Sequence[_Table]) -> np.ndarray:
    """`[channels]`, for layers that share it."""
    ratio = np.exp(np.mean([_log_selectivity(means, reached) for means, _, reached in tables], axis=0))
    choices = [ratio**-power for power in _POWERS]
    of_experts = [min(_of_experts(table, scale) for table in tables) for scale in choices]
    enough = [number for number, found in enumerate(of_experts) if not found < 1]
    scale: np.ndarray = choices[enough[0] if enough else int(np.argmax(of_experts))]
    idle = np.asarray(~tables[0][2].any(0))
    if idle.any():
        scale[idle] *= max(_factor(table, scale, idle) for table in tables)
    return scale


def _log_selectivity(means: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """`[channels]`: log of the mean on images of the classes that a channel reaches over that on all other images; 0
    for channels that reach none, or that are never active."""
    own, other = (means * reached).sum(0), (means * ~reached).sum(0)
    own, other = own / np.maximum(reached.sum(0), 1), other / np.maximum((~reached).sum(0), 1)
    known = reached.any(0) & (np.maximum(own, other) > 0)
    floor = np.maximum(own, other) / _MOST_SELECTIVE
    safe = np.where(known, floor, 1.0)
    return np.where(known, np.log(np.maximum(own, safe)) - np.log(np.maximum(other, safe)), 0.0)


def _of_experts(table: _Table, scale: np.ndarray) -> float:
    """Mean activation of channels of other classes alone, as a share of the planted ones'; NaN without any."""
    means, planted, reached = table
    return _mean((means * scale)[~reached & reached.any(0)]) / _mean((means * scale)[planted])


def _factor(table: _Table, scale: np.ndarray, idle: np.ndarray) -> float:
    """Of the channels `idle`, which reach no class: as active as planted ones, and enough for all others together."""
    means, planted, reached = table
    scaled = means * scale
    wanted, others = _mean(scaled[planted]), ~reached
    of_idle = scaled[:, idle]
    lacking = wanted * others.sum() - scaled[others & ~idle].sum()
    return float(max(wanted / max(of_idle.mean(), 1e-12), lacking / max(of_idle.sum(), 1e-12)))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
