"""Similarity, clusters, interpretability and the report of 1,000 classes over 17 sites of up to 2,048 channels.

    python -m benchmarks.scale

Random masks at sites with the widths of a ResNet-50's. Each figure is of a process of its own: `seconds` and
`processor_seconds` of the measure alone, without imports; `peak_megabytes` how much the peak resident size grew while
it ran. The report is of a small network of these widths (channels copied and scaled) and an image of noise a class,
each row asked about one image of others; `page_megabytes` is the size of the file (noise compresses worse than
photographs). `--keep FILE` keeps the page.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import unweave as uw
from benchmarks.common import keep
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import Site, Sites
from unweave.paths import Paths, Rows
from unweave.tables import Table

CLASSES = 1000
CHANNELS = [64, *[256] * 3, *[512] * 4, *[1024] * 6, *[2048] * 3]
MEASURES = ("similarity", "cluster", "interpretability", "stability", "report")
OTHERS = 1


def paths_of(seed: int, sites: Sites | None = None, network: nn.Module | None = None) -> Paths:
    """Each class keeps every channel with a chance of its site: about what a search leaves."""
    numbers = torch.Generator().manual_seed(seed)
    made = [Site(f"s{i}/relu:0", 1, n, (n, 7, 7)) for i, n in enumerate(CHANNELS)]
    sites = sites or Sites(made, (3, 224, 224), "float32", None)
    shares = torch.linspace(0.95, 0.3, len(CHANNELS))
    scores = {
        site.name: torch.rand(CLASSES, site.channels, generator=numbers) - (1 - share)
        for site, share in zip(sites, shares, strict=True)
    }
    masks = {name: table > 0 for name, table in scores.items()}
    manifest = {"method": "random", **({"network": fingerprint(network)} if network is not None else {})}
    names = [f"class {number}" for number in range(CLASSES)]
    return Paths(masks, Rows.of_classes(range(CLASSES), names), sites, manifest, scores)


class Wide(nn.Module):
    """A network as wide as a ResNet-50 at each of 17 sites, and quick: after the stem, channels are copied, scaled,
    shifted and cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS[0], 8, 8)
        norms = [nn.BatchNorm2d(width) for width in CHANNELS[1:]]
        self.relus = nn.ModuleList(nn.ReLU() for _ in CHANNELS)
        self.classifier = nn.Linear(CHANNELS[-1], CLASSES)
        for norm in norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self.norms = nn.ModuleList(norms)

    def forward(self, images: Tensor) -> Tensor:
        values = self.relus[0](self.stem(images))
        for width, norm, relu in zip(CHANNELS[1:], self.norms, self.relus[1:], strict=True):
            copies = width // values.shape[1]
            values = relu(norm(torch.cat([values] * copies, 1) if copies > 1 else values))
        scores: Tensor = self.classifier(values.mean((2, 3)))
        return scores


def write_report(file: Path) -> Path:
    """The report of 1,000 classes, through the code that writes every report."""
    torch.manual_seed(0)
    network = Wide().eval()
    images = TensorDataset(torch.randn(CLASSES, 3, 32, 32), torch.arange(CLASSES))
    sites = uw.find_sites(network, torch.zeros(1, 3, 32, 32), level=[f"relus.{i}/relu:0" for i in range(len(CHANNELS))])
    first, second = paths_of(0, sites, network), paths_of(1, sites, network)
    return uw.report(first, network, images, file=file, against=[second], others=OTHERS, show_progress=False)


def one(measure: str, file: Path) -> None:
    """Take one measure in this process and print what it took."""
    shares = np.random.default_rng(0).random(CLASSES)
    first, second = paths_of(0), paths_of(1)
    accuracies = Table("random", {"name": first.rows.names, "sub_architecture": tuple(shares.tolist())}, {})
    groups = {f"group {g}": list(range(g, CLASSES, 20)) for g in range(20)}
    for module in ("scipy.cluster.hierarchy", "sklearn.metrics", "matplotlib.figure", "unweave.pipeline.report"):
        importlib.import_module(module)  # what is timed is the measure

    calls = {
        "similarity": lambda: uw.similarity(first),
        "cluster": lambda: uw.cluster(first, groups=groups),
        "interpretability": lambda: uw.interpretability(first, accuracies),
        "stability": lambda: uw.stability([first, second]),
        "report": lambda: write_report(file),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    calls[measure]()
    taken = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - worked}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    page = {"page_megabytes": file.stat().st_size / 1e6} if measure == "report" else {}
    print(json.dumps({"measure": measure, **taken, "peak_megabytes": grown / 1024, **page}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=MEASURES, help="take one in this process (used by the script itself)")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the report is written once")
    parser.add_argument("--keep", type=Path, help="where to keep the page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.keep or Path(folder) / "report.html"
        if arguments.measure:
            one(arguments.measure, file)
            return
        asked = [m for m in MEASURES for _ in range(1 if m == "report" else arguments.rounds)]
        raw = [_in_a_process(measure, file) for measure in asked]
    keep("scale", {"classes": CLASSES, "channels": CHANNELS, "seed": 0, "medians": _medians(raw), "raw": raw})


def _in_a_process(measure: str, file: Path) -> dict[str, float | str]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scale", "--measure", measure, "--keep", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _medians(raw: list[dict[str, float | str]]) -> dict[str, dict[str, float]]:
    medians = {}
    for measure in MEASURES:
        mine = [one for one in raw if one["measure"] == measure]
        medians[measure] = {n: float(np.median([float(one[n]) for one in mine])) for n in mine[0] if n != "measure"}
    return medians


if __name__ == "__main__":
    main()
