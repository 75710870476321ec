"""A search by the command line, in a process of its own that is killed where one wants it to be."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.preloaded import PRELOADED, output_to
from unweave.cli import main
from unweave.files import DRAFT_SUFFIX
from unweave.runs.folder import RunFolder


@dataclass(frozen=True)
class Moment:
    """When to kill: after `saves` saves and a `share` of the time between two; or inside write number `writes`."""

    saves: int = 0
    share: float = 0.0
    writes: int | None = None

    @classmethod
    def drawn(cls, numbers: random.Random, saves: int) -> Moment:
        """Any moment of a search that saves so often, from its first batch to the last part's last pass."""
        return cls(numbers.randrange(saves - 1), numbers.random())

    @classmethod
    def in_a_write(cls, numbers: random.Random, saves: int) -> Moment:
        """Inside any of the search's writes: its record, what is saved, the result."""
        return cls(writes=numbers.randrange(saves + 2))


@dataclass(frozen=True)
class KillableSearch:
    """`arguments`: of `unweave disentangle`, all but `--out`."""

    arguments: tuple[str, ...]

    def run(self, folder: Path) -> None:
        """Begin, or go on, to the end."""
        running = self._started(folder)
        running.join()
        assert running.exitcode == 0, _complaint(folder)

    def kill(self, folder: Path, moment: Moment, between_saves: float) -> float:
        """Begin, or go on, and be killed at `moment`, where saves are so many seconds apart; when that was."""
        running = self._started(folder, moment.writes)
        if moment.writes is None:
            while not (RunFolder(folder).journal.file.exists() and len(save_times(folder)) >= moment.saves):
                assert running.is_alive(), f"it ended before it had saved {moment.saves} times: {_complaint(folder)}"
                time.sleep(0.005)
            time.sleep(moment.share * between_saves)
            running.kill()
        running.join()
        assert running.exitcode == -signal.SIGKILL, f"it ended before it was killed: {_complaint(folder)}"
        return time.time()

    def _started(self, folder: Path, writes: int | None = None) -> ForkServerProcess:
        running = PRELOADED.Process(target=_command, args=(self.arguments, folder, writes))
        running.start()
        return running


def save_times(folder: Path) -> list[float]:
    """When the search in `folder` saved."""
    return [event["time"] for event in RunFolder(folder).journal.read() if event["event"] == "saved"]


def _complaint(folder: Path) -> str:
    return folder.with_suffix(".err").read_text()


def _command(arguments: tuple[str, ...], folder: Path, writes: int | None) -> None:
    """`unweave disentangle`; instead of write number `writes` (from 0) half of it is left, and the process gone."""
    output_to(folder.with_suffix(".err"), folder.with_suffix(".err"))
    if writes is not None:
        _die_in(writes)
    sys.argv = ["unweave", "disentangle", *arguments, "--out", str(folder)]
    main.run()


def _die_in(writes: int) -> None:
    move, left = os.replace, iter(range(writes, -1, -1))

    def dying(draft: Any, target: Any) -> None:
        if str(draft).endswith(DRAFT_SUFFIX) and next(left) == 0:
            os.truncate(draft, os.path.getsize(draft) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        move(draft, target)

    os.replace = dying
