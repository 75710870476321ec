"""The demo: train a small network on digits, take it apart, measure. Needs no download."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from unweave.data.digits import Digits
from unweave.data.labelled import labelled
from unweave.network.capture import captured_once
from unweave.network.devices import usable_device
from unweave.paths import Paths
from unweave.pipeline.measures import run_measures
from unweave.pipeline.report import report
from unweave.pipeline.subject import Measured, Subject
from unweave.runs.folder import RunFolder
from unweave.search.disentangle import disentangle
from unweave.zoo.digits import train_digits_network

_MEASURES = ("accuracy", "specificity", "usage", "similarity")
"""Those that take seconds; `unweave analyse` has all."""
_MOSAICS = 100


@dataclass(frozen=True)
class Demo:
    """What the demo found. `top1`: accuracy of the whole network on the `held_out` digits it has not seen."""

    paths: Paths
    measured: list[Measured]
    files: list[Path]
    top1: float
    held_out: int
    seconds: float


@captured_once()
def run_demo(
    folder: str | Path, seed: int = 0, show_progress: bool | None = None, *, device: str | None = None
) -> Demo:
    """Train, disentangle the ten digits with the default objective, measure on the held-out digits.

    Writes paths, tables, figures and a report into `folder`. Training is always on the CPU, so that every machine takes
    the same network apart; `device` is where that is done.

    Raises
    ------
    SettingError
        If the device cannot be used.
    """
    where = usable_device(device or "cpu")
    started = time.perf_counter()
    run = RunFolder(folder)
    network = train_digits_network(seed)
    train, held_out = Digits(train=True), Digits(train=False)
    with torch.no_grad():
        top1 = float((network(held_out.images).argmax(1) == held_out.targets).float().mean())
    network.to(where)
    paths = disentangle(network, train, validation=held_out, seed=seed, show_progress=show_progress)
    paths.save(run.paths_file)
    subject = Subject(paths, network, labelled(held_out), seed, show_progress)
    measured = run_measures(_MEASURES, subject, run)
    figures = [file for one in measured for file in one.files]
    page = report(
        paths,
        network,
        held_out,
        file=run.root / "report.html",
        mosaics=_MOSAICS,
        seed=seed,
        device=device,
        show_progress=show_progress,
    )
    return Demo(paths, measured, [run.paths_file, page, *figures], top1, len(held_out), time.perf_counter() - started)
