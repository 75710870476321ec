"""A training from its settings to a trained network: prepared, gone on with, kept in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch

from unweave.data.labelled import LabelledImages
from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.cost import TrainingCost, estimate_cost
from unweave.decoupling.training.events import Events
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.images import TrainingImages, check_labels, check_shape, epoch_batches
from unweave.decoupling.training.measurement import Measured, countable, data_cost, measure
from unweave.decoupling.training.processes import Processes
from unweave.decoupling.training.recalibration import recalibrate
from unweave.decoupling.training.settings import FitSettings
from unweave.decoupling.training.table import training_table
from unweave.decoupling.training.trainer import Trainer
from unweave.errors import DataError, NumericError, RunError, SettingError
from unweave.network.fingerprint import fingerprint
from unweave.network.graph import NetworkGraph
from unweave.progress import Advance, progress
from unweave.runs.identity import check_identity, check_parts
from unweave.tables import Table
from unweave.versions import versions

_KIND = "training of a decoupled network"


class Training:
    """One training: what `fit` does, in steps that can be looked at before they are taken.

    `folder`: where it is kept, if anywhere; a training that was begun there is gone on with.
    """

    def __init__(
        self,
        net: DecoupledNetwork,
        train: LabelledImages,
        validation: LabelledImages | None,
        settings: FitSettings,
        *,
        folder: TrainingFolder | None = None,
        device: str | torch.device | None = None,
        keep_images: bool | None = None,
        tensorboard: bool = False,
        show_progress: bool | None = None,
    ) -> None:
        self.net, self.settings, self.show_progress = net, settings, show_progress
        self.processes = Processes.found()
        self.folder = folder if self.processes.first else None
        where = next(net.parameters()).device
        self.device = self.processes.device(device, where)
        if tensorboard and folder is None:
            raise SettingError("tensorboard needs run=, the folder that its events are written to")
        self.events = Events.imported() if tensorboard and self.processes.first else None
        self.images = TrainingImages(train, self.device, keep_images)
        self.validation = None if validation is None else TrainingImages(validation, self.device, keep_images)
        if settings.batch % self.processes.count:
            raise SettingError(
                f"a batch of {settings.batch} cannot be shared equally by {self.processes.count} processes; give a "
                "multiple"
            )
        self.classes = self._checked_classes()
        self._begun = self.folder.read_record() if self.folder is not None else None
        self._identity = self._identified()
        self._refuse_another()

    def _checked_classes(self) -> int:
        """How many classes the network tells apart; refuses images and labels that do not fit it."""
        given = {"training": self.images} | ({} if self.validation is None else {"validation": self.validation})
        for what, images in given.items():
            check_shape(images, what, self.net.image_shape)
        with torch.no_grad():
            scores = self.net.eval()(self.images.example.to(next(self.net.parameters()).device))
        for what, images in given.items():
            check_labels(images, what, scores.shape[1])
        if self.steps == 0:
            raise DataError(f"{len(self.images.positions)} training images are too few; a step needs two a process")
        return int(scores.shape[1])

    @cached_property
    def steps(self) -> int:
        """Steps an epoch."""
        chosen = self.settings
        return len(
            epoch_batches(
                self.images.positions, chosen.batch, 0, chosen.seed, self.processes.rank, self.processes.count
            )
        )

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.processes.first

    @property
    def begun(self) -> bool:
        """Whether the folder holds this training, begun before."""
        return self._begun is not None

    def cost(self) -> TrainingCost:
        """What the training will take, from a few steps of it on a copy."""
        return estimate_cost(
            self.net, self.classes, self.settings, self.device, self.images, self.validation, self.steps
        )

    def run(self) -> Table:
        """Train, or go on; the network is left with the last epoch's weights, in evaluation mode."""
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.random.fork_rng(devices=devices),
            self.processes.joined(self.device),
        ):
            if self.folder is None:
                return self._train()
            with self.folder.opened():
                if self._begun is None and (other := self.folder.read_record()) is not None:
                    self._begun = other  # begun by another process since
                    self._refuse_another()
                if self._begun is None:
                    self.folder.begin(self._identity)
                return self._train()

    def _train(self) -> Table:
        trainer = Trainer(self.net, self.classes, self.settings, self.device, self.processes)
        notes = self._resumed(trainer)
        # Before the first epoch: what cannot be counted is refused now, not when all is trained.
        captured = countable(self.net, self.images) if notes["summary"] is None else None
        if self.folder is not None and notes["summary"] is None:
            event = "resumed" if self.begun else "begun"
            self.folder.journal.append(event, processes=self.processes.count, device=str(self.device))
        trainer.connect()
        if notes["original_accuracy"] is None:
            whole = self.validation or self.images
            start = measure(self.net, whole, self.settings.precision, self.processes, original=True)
            notes["original_accuracy"] = start.accuracy
        done = len(notes["epochs"])
        with self._shown(done) as advance, self._events(done) as events:
            for epoch in range(done, self.settings.epochs):
                started = time.monotonic()
                row = self._epoch(trainer, epoch, advance)
                notes["epochs"].append(row)
                self._save(trainer, notes, time.monotonic() - started)
                if events is not None:
                    events.add(row)
        self.net.eval()
        if captured is not None:
            summary = notes["summary"] = self._summary(notes, captured)
            if self.folder is not None:
                self.folder.save(notes, trainer.state())
                self.folder.journal.append("finished", **summary)
        table = training_table(notes, measured="training" if self.validation is None else "validation")
        if self.folder is not None:
            table.save(self.folder.table("training"))
        return table

    def _resumed(self, trainer: Trainer) -> dict[str, Any]:
        """Figures of the epochs that are done, their weights loaded."""

        def load() -> dict[str, Any] | None:
            found = self.folder.load() if self.folder is not None else None
            if found is None:
                return None
            try:
                trainer.load(found[1])
                return {name: found[0][name] for name in ("epochs", "original_accuracy", "summary")}
            except (KeyError, RuntimeError) as error:
                assert self.folder is not None
                reason = str(error).splitlines()[0]
                raise RunError(
                    f"{self.folder.checkpoint_file} is not of this training ({reason}); give another folder"
                ) from error

        notes = self.processes.from_first(load)
        return notes or {"epochs": [], "original_accuracy": None, "summary": None}

    def _epoch(self, trainer: Trainer, epoch: int, advance: Advance) -> dict[str, Any]:
        try:
            row: dict[str, Any] = {"epoch": epoch + 1, "rate": self.settings.rate_of(epoch)}
            row |= trainer.epoch(epoch, self.images, advance)
            recalibrate(self.net, self.images, self.settings, epoch)
            self.processes.copy_from_first(self.net.buffers())
        except NumericError as error:
            raise NumericError(f"{error}; {self._kept(epoch)}lower the rate, or a weight of the losses") from error
        found: Measured | None = None
        if self.validation is not None:
            found = measure(self.net, self.validation, self.settings.precision, self.processes)
        row["validation_accuracy"] = None if found is None else found.accuracy
        row["gates_open"] = None if found is None else found.gates_open
        shown = row["train_accuracy"] if found is None else found.accuracy
        advance(0, f"epoch {epoch + 1} of {self.settings.epochs}, accuracy {100 * shown:.1f} %")
        return row

    def _kept(self, epoch: int) -> str:
        if self.folder is None or epoch == 0:
            return ""
        return f"{self.folder.checkpoint_file} keeps epoch {epoch}: give another folder and "

    def _save(self, trainer: Trainer, notes: dict[str, Any], seconds: float) -> None:
        """Networks first: the checkpoint says that the epoch is done."""
        if self.folder is None:
            return
        row, earlier = notes["epochs"][-1], [one["validation_accuracy"] for one in notes["epochs"][:-1]]
        if self.validation is not None and row["validation_accuracy"] > max(earlier, default=-1.0):
            self.net.save(self.folder.best_file)
        self.net.save(self.folder.last_file)
        self.folder.save(notes, trainer.state())
        self.folder.journal.append("epoch", **row, seconds=round(seconds, 3))

    def _summary(self, notes: dict[str, Any], captured: NetworkGraph) -> dict[str, Any]:
        whole = self.validation or self.images
        found = measure(self.net, whole, self.settings.precision, self.processes)
        cost = data_cost(self.net, whole, self.settings.precision, self.processes, captured)
        accuracies = [row["validation_accuracy"] for row in notes["epochs"]]
        best = {} if self.validation is None else {"best_epoch": accuracies.index(max(accuracies)) + 1}
        return {
            "original_accuracy": notes["original_accuracy"],
            "accuracy": found.accuracy,
            **best,
            "gates_open": found.gates_open,
            "multiply_accumulates": cost.mean,
            "multiply_accumulates_spread": cost.spread,
            "original_multiply_accumulates": cost.dense,
            "images": len(whole.positions),
            "images_with_an_empty_layer": cost.empty,
            "damaged_images": len(self.images.damaged),
        }

    @contextmanager
    def _shown(self, done: int) -> Iterator[Advance]:
        show = self.show_progress if self.processes.first else False
        with progress("training", (self.settings.epochs - done) * self.steps, show) as advance:
            yield advance

    def _events(self, done: int) -> Any:
        if self.events is None or self.folder is None:
            return nullcontext()
        return self.events.opened(self.folder.events, done)

    def _identified(self) -> dict[str, Any]:
        """What tells this training from others."""
        if self.folder is None:
            return {}
        data = {"training": self.images.fingerprint()}
        if self.validation is not None:
            data["validation"] = self.validation.fingerprint()
        asked = {**self.settings.record(), "keep": self.net.keep, "logits": self.net.logits}
        return {
            "kind": _KIND,
            "asked": asked,
            "network": fingerprint(self.net),
            "data": data,
            "versions": versions(),
            "device": self.device.type,
        }

    def _refuse_another(self) -> None:
        """Refuse a folder that was begun with another network, other images or other settings."""
        if self._begun is None or self.folder is None:
            return
        record, where = self._begun, self.folder.root
        if record.get("kind") != _KIND:
            raise RunError(f"{where} holds another kind of run; give another folder")
        check_parts(self.folder.record_file, record, ("asked", "network", "data"))
        check_identity(where, record, self._identity, f"the training in {where} began with")
