"""`TrainingFolder`: the one place that knows the file names of a decoupled network's training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from unweave.decoupling.tensor_file import read_tensors, write_tensors
from unweave.decoupling.training.table import are_notes
from unweave.errors import RunError
from unweave.places import is_url
from unweave.runs.folder import RunFolder

_KIND = "training checkpoint"


class TrainingFolder(RunFolder):
    """A folder with how training was begun, how far it has come, and the networks it made.

    run.json                 how it was begun: settings, fingerprints of network and images
    inputs.json              how the network and the images are opened (by the command line)
    journal.jsonl            what happened when, a line for every epoch
    checkpoint.safetensors   what training goes on from: weights, classifiers, momentum, figures of all epochs
    last.safetensors         the decoupled network after the last epoch that was finished
    best.safetensors         the one with the highest validation accuracy so far
    tables/training          figures of all epochs, once training has ended
    events/                  for TensorBoard
    """

    written_by: ClassVar[str] = "unweave decouple"

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """
        Raises
        ------
        RunError
            If it is behind a URL.
        """
        super().__init__(root)
        if is_url(self.root):
            raise RunError(f"{root}: training is kept on this machine; give a path, and copy the folder there later")

    @property
    def checkpoint_file(self) -> Path:
        """What training goes on from. Replaced after the other two: it says which epochs are done."""
        return self.root / "checkpoint.safetensors"

    @property
    def last_file(self) -> Path:
        """The decoupled network after the last epoch that was finished."""
        return self.root / "last.safetensors"

    @property
    def best_file(self) -> Path:
        """The decoupled network with the highest validation accuracy so far."""
        return self.root / "best.safetensors"

    @property
    def events(self) -> Path:
        """What TensorBoard reads."""
        return self.root / "events"

    @property
    def reached(self) -> bool:
        """Whether an epoch was finished."""
        return os.path.isfile(self.checkpoint_file)

    @property
    def holds_networks(self) -> bool:
        """Whether it holds what training leaves, instead of the paths that a search leaves."""
        return any(os.path.isfile(file) for file in (self.checkpoint_file, self.last_file, self.best_file))

    def save(self, notes: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        """Keep what training goes on from, instead of what was there.

        Raises
        ------
        RunError
            If it cannot be written; what was there stays.
        """
        write_tensors(self.checkpoint_file, _KIND, {"notes": dict(notes)}, state)

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """What was saved last; None where nothing was.

        Raises
        ------
        RunError
            If it is damaged.
        """
        if not self.reached:
            return None
        header, state = read_tensors(self.checkpoint_file, _KIND)
        notes = header.get("notes")
        if not are_notes(notes):
            raise RunError(f"{self.checkpoint_file} is damaged (no notes of its epochs); give another folder")
        return notes, state
