"""Small searches in a run folder that stop where a test wants them to."""

import warnings
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from tests.search.problems import small_problem
from unweave.data.labelled import labelled
from unweave.errors import DamagedImageError
from unweave.runs.folder import RunFolder
from unweave.search.preparation import prepare
from unweave.search.search import Search
from unweave.search.settings import Settings

SETTINGS = {"objective": "released", "beta": 0.3, "classes": [0, 1, 2], "passes": 3, "batch": 4}
ELBOW = {"beta": "elbow", "betas": (0.01, 1.0, 30.0), "passes": 2, "batch": 8, "rate": 0.5}


class Scratched(Dataset):
    """The small problem's images, two of which cannot be read."""

    def __init__(self, data, scratched=(1, 12)):
        self.images, self.scratched = data.tensors[0], scratched
        self.targets = data.tensors[1].tolist()

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, position):
        if position in self.scratched:
            raise DamagedImageError("scratched")
        return self.images[position], self.targets[position]


class SmallSearches:
    """Searches of the small problem, which is prepared once for all of them."""

    def __init__(self, scratched=False):
        self.network, data = small_problem(torch.float32)
        self.images = labelled(Scratched(data) if scratched else data)
        self.prepared = prepare(self.network, self.images, "block", None, None)

    def search(self, folder=None, *, seconds_between_saves=0.0, engine=None, **settings):
        """A search in `folder`; saved after every batch, unless told otherwise."""
        made = Search(
            self.network,
            self.images,
            "block",
            Settings(**{**SETTINGS, **settings}),
            folder=None if folder is None else RunFolder(folder),
            seconds_between_saves=seconds_between_saves,
            engine=engine,
        )
        made.prepared = self.prepared
        return made

    def run(self, folder, **settings):
        """Search to the end; the bytes of the result."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*cannot be read and were left out.*")
            self.search(folder, **settings).run()
        return RunFolder(folder).paths_file.read_bytes()


class Stopped(BaseException):
    """Not an error: like a signal, it goes through every `except Exception`."""


@dataclass
class Countdown:
    """Counts the calls of a function and fails instead of call `stop_at` (from 0)."""

    stop_at: int | None = None
    error: type[BaseException] = Stopped
    calls: int = 0

    def wrapped(self, function):
        def counted(*arguments, **keywords):
            if self.calls == self.stop_at:
                raise self.error("stopped by the test")
            self.calls += 1
            return function(*arguments, **keywords)

        return counted

    def restart(self, stop_at=None):
        """Count anew; how many calls there were."""
        calls, self.calls, self.stop_at = self.calls, 0, stop_at
        return calls
