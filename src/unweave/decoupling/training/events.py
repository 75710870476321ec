"""What TensorBoard shows of a training; an extra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unweave.errors import MissingExtraError


@dataclass
class Events:
    """Writes the figures of every epoch for TensorBoard."""

    writer_class: Any
    _writer: Any = None

    @classmethod
    def imported(cls) -> Events:
        """TensorBoard's writer.

        Raises
        ------
        MissingExtraError
            If it is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            message = "tensorboard is not installed; type: pip install 'unweave[tensorboard]'"
            raise MissingExtraError(message) from error
        return cls(SummaryWriter)

    @contextmanager
    def opened(self, folder: Path, done: int) -> Iterator[Events]:
        """Within the block events go to `folder`; what an interrupted epoch after the `done` first wrote is hidden."""
        self._writer = self.writer_class(str(folder), purge_step=done + 1)
        try:
            yield self
        finally:
            self._writer.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """The figures of one epoch."""
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, row["epoch"])
