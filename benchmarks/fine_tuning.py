"""What the cost/accuracy curve and its baselines share: images, options, training of a plain network, comparisons.

All networks of a curve see the same images, as often, in the same batches, at the same rates, with the same
augmentation: those of `FitSettings`, by the functions that `unweave.fit` uses.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.utils.data import Subset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import user_networks
from benchmarks.images import data_of
from unweave.data.labelled import labelled
from unweave.decoupling.tensor_file import read_tensors, write_tensors
from unweave.decoupling.training.images import TrainingImages, epoch_batches, in_order
from unweave.decoupling.training.settings import FitSettings
from unweave.decoupling.training.trainer import augmented, autocast
from unweave.errors import UnweaveError
from unweave.files import canonical_json, digest, replacing, write_text
from unweave.network.fingerprint import fingerprint

NETWORKS = ("resnet20", "resnet56")
NOTE = (
    "The given weights were trained by others on all 50,000 training images, those held out here among them: only the "
    "1,000 test images are new to every network."
)
_TRAINED_FROM, _HELD_OUT = 45_000, 5_000
_KIND = "fine-tuned network"
_BATCH = 256
MOST_BYTES = 5_000_000
"""Weights above are saved in float16."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What both scripts take."""
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--work", type=Path, required=True, help="folder that an interrupted run goes on from")
    parser.add_argument("--train", type=int, default=22_500, help="training images, the first so many of 45,000")
    parser.add_argument("--held-out", type=int, default=_HELD_OUT, help="of the last 5,000, the last so many")
    parser.add_argument("--settings", default="fine-tune", help="named settings of unweave.fit")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--weight-decay", type=float)
    parser.add_argument("--augment", help="none, cifar or imagenet")
    parser.add_argument("--precision", help="float32, or bfloat16")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"), help="folder for weights")
    parser.add_argument("--label", default="", help="put behind the names of results, weights and figure")


def settings_of(arguments: argparse.Namespace) -> FitSettings:
    """The named settings with what was given on the command line, weights of losses included where there are any."""
    names = (
        "epochs",
        "batch",
        "rate",
        "controller_rate",
        "weight_decay",
        "augment",
        "precision",
        "recalibrate",
        "seed",
    )
    given = {name: getattr(arguments, name, None) for name in names}
    settings = FitSettings.of(arguments.settings, {name: value for name, value in given.items() if value is not None})
    terms = {name: getattr(arguments, name, None) for name in vars(settings.weights)}
    changed = {name: value for name, value in terms.items() if value is not None}
    return replace(settings, weights=replace(settings.weights, **changed))


def budget_of(settings: FitSettings, train: int) -> dict[str, Any]:
    """What every network of a curve gets: all settings but those of controlling modules, their noise and losses."""
    own = ("controller_rate", "weights", "recalibrate")
    recorded = {name: value for name, value in settings.record().items() if name not in own}
    return {"images": train, **recorded}


class Parts:
    """A network with its training images, held-out ones, and the 1,000 test images."""

    def __init__(self, name: str, train: int, held_out: int, device: str) -> None:
        if not 2 <= held_out <= _HELD_OUT:
            sys.exit(f"--held-out must be from 2 to {_HELD_OUT}, found {held_out}")
        if not 2 <= train <= _TRAINED_FROM:
            sys.exit(f"--train must be from 2 to {_TRAINED_FROM}, found {train}")
        self.network = getattr(user_networks(), name)()
        whole, self.test = data_of(name)
        self.train = labelled(Subset(whole.dataset, range(train)))
        self.held_out = labelled(Subset(whole.dataset, range(len(whole) - held_out, len(whole))))
        self.device = torch.device(device)
        self.example = self.train.images([0, 1])
        self._kept: dict[str, TrainingImages] = {}

    def images(self, part: str) -> TrainingImages:
        """`train`, `held_out` or `test` on the device."""
        if part not in self._kept:
            self._kept[part] = TrainingImages(getattr(self, part), self.device, True)
        return self._kept[part]

    def hits(self, network: nn.Module) -> dict[str, np.ndarray]:
        """Whether each image is classified as labelled: `held_out` and `test`."""
        network.to(self.device).eval()
        found = {}
        for part in ("held_out", "test"):
            images = self.images(part)
            with torch.no_grad():
                batches = images.batches(in_order(images.positions, _BATCH))
                found[part] = np.concatenate([(network(x).argmax(1) == y).cpu().numpy() for x, y, _ in batches])
        return found


def fine_tune(
    network: nn.Module,
    images: TrainingImages,
    settings: FitSettings,
    file: Path,
    *,
    before: int = 0,
    penalised: tuple[nn.Module, ...] = (),
    penalty: float = 0.0,
) -> nn.Module:
    """Train a plain `network`, in place, with cross entropy, as `unweave.fit` trains a decoupled one; go on from
    `file`, which is written after every epoch.

    `before`: epochs that the network had before; orders and augmentations go on from there. `penalty` times the sum of
    the absolute scales of the `penalised` norms is added to the loss.
    """
    network.to(images.device)
    own = [list(filter(lambda one, big=big: (one.ndim > 1) == big, network.parameters())) for big in (True, False)]
    groups = [{"params": own[0], "weight_decay": settings.weight_decay}, {"params": own[1], "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=settings.rate, momentum=settings.momentum)
    budget = budget_of(settings, len(images.positions))
    begun = {"budget": budget, "before": before, "penalty": penalty, "data": images.fingerprint()}
    identity = digest(canonical_json({**begun, "network": fingerprint(network)["digest"]}))
    for epoch in range(_go_on(network, optimiser, file, identity), settings.epochs):
        began = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_of(epoch)
        network.train()
        number = before + epoch
        for read, labels, positions in images.batches(
            epoch_batches(images.positions, settings.batch, number, settings.seed)
        ):
            batch = augmented(read, positions, settings, number)
            with autocast(images.device, settings.precision):
                scores = network(batch)
            loss = functional.cross_entropy(scores.float(), labels)
            if not torch.isfinite(loss):
                sys.exit(f"the loss became NaN or infinite in epoch {epoch + 1}; lower the rate")
            optimiser.zero_grad()
            loss.backward()
            for norm in penalised:
                norm.weight.grad.add_(norm.weight.detach().sign(), alpha=penalty)
            optimiser.step()
        _save(network, optimiser, file, identity, epoch + 1)
        seconds = time.perf_counter() - began
        print(f"{file.stem}: epoch {epoch + 1} of {settings.epochs}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return network.eval()


def _momentum(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    found = {}
    for name, parameter in network.named_parameters():
        state = optimiser.state[parameter]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        found[f"momentum.{name}"] = state["momentum_buffer"]
    return found


def _save(network: nn.Module, optimiser: torch.optim.Optimizer, file: Path, identity: str, epochs: int) -> None:
    state = {f"state.{name}": value for name, value in network.state_dict().items()}
    write_tensors(file, _KIND, {"identity": identity, "epochs": epochs}, {**state, **_momentum(network, optimiser)})


def _go_on(network: nn.Module, optimiser: torch.optim.Optimizer, file: Path, identity: str) -> int:
    """Epochs that are done, their weights loaded."""
    if not file.is_file():
        return 0
    header, state = read_tensors(file, _KIND)
    if header["identity"] != identity:
        sys.exit(f"{file} was begun with another network, other images or other settings; give another --work")
    network.load_state_dict({name[6:]: value for name, value in state.items() if name.startswith("state.")})
    for name, buffer in _momentum(network, optimiser).items():
        buffer.copy_(state[name])
    return int(header["epochs"])


def once(file: Path, asked: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` returned for what is `asked`: from `file`, or from calling it now."""
    if file.is_file():
        found = json.loads(file.read_text())
        if found["asked"] != json.loads(json.dumps(asked)):
            sys.exit(f"{file} is of other settings; give another --work")
        return found["result"]
    result = make()
    write_text(file, json.dumps({"asked": asked, "result": result}, indent=1))
    return result


def multiply_accumulates(network: nn.Module, example: torch.Tensor) -> int:
    """Of convolutions and linear layers, for one image."""
    device = next(network.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(example[:1].to(device))
    return counter.get_total_flops() // 2


def top1(hits: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy in per cent."""
    return {part: 100 * float(found.mean()) for part, found in hits.items()}


def paired(hits: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Points of accuracy more than the other network, on the same images, with the normal 95 % interval of the mean
    difference."""
    found = {}
    for part, own in hits.items():
        difference = 100 * (own.astype(float) - others[part].astype(float))
        reach = 1.96 * float(difference.std(ddof=1)) / len(difference) ** 0.5
        mean = float(difference.mean())
        found[part] = {"points": mean, "low": mean - reach, "high": mean + reach}
    return found


def packed(hits: dict[str, np.ndarray]) -> dict[str, str]:
    """One bit an image, in the images' order, as hexadecimal digits."""
    return {part: np.packbits(found).tobytes().hex() for part, found in hits.items()}


def unpacked(text: dict[str, str], parts: Parts) -> dict[str, np.ndarray]:
    """What `packed` was given."""
    return {
        part: np.unpackbits(np.frombuffer(bytes.fromhex(found), np.uint8))[: len(getattr(parts, part))].astype(bool)
        for part, found in text.items()
    }


def save_weights(network: nn.Module, file: Path) -> str:
    """A state dict as safetensors, in float16 where float32 would take more than 5 MB."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if sum(value.nbytes for value in state.values()) > MOST_BYTES:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    with replacing(file) as draft:
        save_file(state, draft)
    return file.name


def originals(parts: Parts, settings: FitSettings, arguments: argparse.Namespace) -> dict[str, dict[str, np.ndarray]]:
    """Hits of the network as `given`, and `fine_tuned` with the same budget, whose weights are saved."""

    def make() -> dict[str, Any]:
        given = parts.hits(copy.deepcopy(parts.network))  # it stays on the CPU, where it is pruned
        tuned = fine_tune(
            copy.deepcopy(parts.network), parts.images("train"), settings, arguments.work / "original.safetensors"
        )
        save_weights(tuned, arguments.checkpoints / f"fine_tuned_{arguments.network}{arguments.label}.safetensors")
        return {"given": packed(given), "fine_tuned": packed(parts.hits(tuned))}

    budget = budget_of(settings, len(parts.train))
    asked = {"network": arguments.network, "budget": budget, "held_out": len(parts.held_out)}
    found = once(arguments.work / "original.json", asked, make)
    return {which: unpacked(text, parts) for which, text in found.items()}


def started(arguments: argparse.Namespace) -> tuple[FitSettings, Parts]:
    """Settings and images as the options say, refused in one line where they cannot be."""
    torch.set_num_threads(arguments.threads)
    try:
        settings = settings_of(arguments)
    except UnweaveError as error:
        sys.exit(str(error))
    arguments.work.mkdir(parents=True, exist_ok=True)
    return settings, Parts(arguments.network, arguments.train, arguments.held_out, arguments.device)
