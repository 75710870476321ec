"""Files and their classes, as many as ImageNet has, in little memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np


class FileList(Sequence[tuple[str, int]]):
    """(file, class index) of every image.

    Names are kept as one run of bytes: 1.3 million Python strings take 200 MB, and every worker process that looks at
    them comes to hold a copy of its own.
    """

    def __init__(self, root: str | os.PathLike[str], names: Iterable[str], labels: Sequence[int] | np.ndarray) -> None:
        encoded = [os.fsencode(name) for name in names]
        self.root = os.fspath(root)
        self.labels = np.asarray(labels, dtype=np.int64)
        self._names = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        if len(self._ends) != len(self.labels):
            raise ValueError(f"{len(self._ends)} names, {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, position: int) -> tuple[str, int]: ...
    @overload
    def __getitem__(self, position: slice) -> list[tuple[str, int]]: ...
    def __getitem__(self, position: int | slice) -> tuple[str, int] | list[tuple[str, int]]:
        if isinstance(position, slice):
            return [self[index] for index in range(*position.indices(len(self)))]
        index = range(len(self))[position]
        start = int(self._ends[index - 1]) if index else 0
        name = os.fsdecode(self._names[start : int(self._ends[index])].tobytes())
        return os.path.join(self.root, name), int(self.labels[index])
