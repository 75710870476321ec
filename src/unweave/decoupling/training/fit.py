"""`fit`: training of decoupled networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.settings import FitSettings
from unweave.decoupling.training.training import Training
from unweave.errors import SettingError
from unweave.tables import Table


def fit(
    net: DecoupledNetwork,
    train: Data | LabelledImages,
    validation: Data | LabelledImages | None = None,
    *,
    settings: str | FitSettings = "fine-tune",
    run: str | Path | None = None,
    device: str | torch.device | None = None,
    workers: int | None = None,
    keep_images: bool | None = None,
    tensorboard: bool = False,
    show_progress: bool | None = None,
    **changes: Any,
) -> Table:
    """Train a decoupled network, in place, with cross entropy and the losses of ECCV 2020 section 3.2 (Eq. 12).

    `L = CE + wm sum_l CE(a, softmax(W_l z_l)) + wk sum_l KL(z_l || y_l) + ws sum_l | ||z_l||_1 - R N_l |`, with `R` the
    network's `keep`; stochastic gradient descent with momentum. Afterwards `net` has the weights of the last epoch and
    is in evaluation mode.

    In a folder (`run=`) every epoch is kept, and the same call goes on from the last one that was finished, to the same
    weights on a CPU as without the interruption. Started by `torchrun`, all processes train together and the first one
    writes.

    Parameters
    ----------
    net
        What `decouple` made.
    train, validation
        Data sets or loaders of (image, class index). The network after the epoch with the highest validation accuracy
        is kept as `best.safetensors`; that accuracy is an optimistic figure, because the images chose the epoch.
    settings
        "fine-tune", or the published schedules "cifar", "imagenet-vgg16", "imagenet-resnet18", or `FitSettings`.
    run
        Folder for `last.safetensors`, `best.safetensors`, a checkpoint, a journal and a table.
    device
        By default where the network is; with `torchrun` and "cuda" each process takes its own.
    workers
        Processes that read images ahead; by default as many as a `DataLoader` has.
    keep_images
        Whether all images stay in memory (on the device) after they were read once; by default where they take at most
        a gigabyte and the data set has no random transforms.
    tensorboard
        Also write events for TensorBoard, in `run/events`; needs `unweave[tensorboard]`.
    show_progress
        By default where standard error is a terminal.
    changes
        Single settings that differ, such as `epochs=20`; see `FitSettings`.

    Returns
    -------
    Table
        A row an epoch (losses in nats or filters, accuracies and gates as shares); `summary` has the accuracies of the
        original and the decoupled network, the share of gates open, and multiply-accumulates (mean, spread, the
        original's) on the validation images, or on the training images where there are none.

    Raises
    ------
    SettingError
        If a setting has a value that it cannot have.
    DataError
        If images or labels do not fit the network.
    NumericError
        If the loss becomes NaN or infinite, with epoch, step and layer; what was kept stays.
    RunError
        If the folder is in use, damaged, or was begun with other settings or images.
    MismatchError
        If the folder was begun with another network.
    MissingExtraError
        If `tensorboard` is asked for and not installed.
    """
    if not isinstance(net, DecoupledNetwork):
        raise SettingError(f"fit needs what decouple made, found {type(net).__name__}; see unweave.decouple")
    with torch.inference_mode(False):
        return Training(
            net,
            labelled(train, workers=workers),
            None if validation is None else labelled(validation, workers=workers),
            FitSettings.of(settings, changes),
            folder=None if run is None else TrainingFolder(run),
            device=device,
            keep_images=keep_images,
            tensorboard=tensorboard,
            show_progress=show_progress,
        ).run()
