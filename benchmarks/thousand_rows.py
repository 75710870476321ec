"""A search of 1,000 classes: `released` on ResNet-50 with its 1,000 outputs, 16 synthetic images a class of 64 x 64
pixels, one pass; and what the published job (1.3 million images at 224 x 224, 20 passes) would take.

    python -m benchmarks.thousand_rows
    python -m benchmarks.thousand_rows --device cuda

Weights are random; every class has a pattern, its images are the pattern with noise, and the last layer holds the
patterns' features, so that most images are recognised, as `released` needs. `peak_megabytes` is the process's peak
resident size during the search, `megabytes_before` its size when the search begins. `--limit 2` looks at two images a
class, for the memory alone, in a file of its own; there `selective` is searched, too, which begins with attribution and
looks at images of all other classes. What was not run is computed from what was,
and named so: on this machine from batches at 224 x 224, on another from multiply-accumulates and a share of its peak
that is assumed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn

from benchmarks.common import keep
from unweave.data.labelled import labelled
from unweave.data.pixels import PictureData
from unweave.data.preprocessing import Preprocessing
from unweave.network.capture import capture
from unweave.network.cost import multiply_accumulates
from unweave.search.search import Search
from unweave.search.settings import Settings

CLASSES, EACH, SIZE = 1000, 16, 64
PUBLISHED = {"images": 1_281_167, "passes": 20, "size": 224}
FORWARDS = 3
"""What an image takes in units of the network's own arithmetic: the untouched network, the gated one, and back to the
gates (no gradients of weights are taken). ImageNet's activations do not fit in memory, so every pass is like this."""
H200 = {"float32": 67e12, "bfloat16": 989e12}
"""Floating-point operations a second as its maker states them (dense)."""
ASSUMED_SHARE = 0.3


class Patterns(PictureData):
    """Pictures of `classes` patterns with noise, made when they are read."""

    def __init__(self, classes: int, each: int, size: int) -> None:
        self.size, self.transform = size, Preprocessing("imagenet")
        self.targets = np.repeat(np.arange(classes), each)
        self.classes = [f"pattern {c}" for c in range(classes)]

    def pattern(self, label: int) -> np.ndarray:
        coarse = np.random.default_rng([0, label]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((self.size, self.size)))

    def picture(self, position: int) -> Image.Image:
        noise = np.random.default_rng([1, position]).normal(0, 12, (self.size, self.size, 3))
        return Image.fromarray(np.clip(self.pattern(int(self.targets[position])) + noise, 0, 255).astype(np.uint8))


def network_of(data: Patterns) -> nn.Module:
    """ResNet-50 whose class scores are likeness to the classes' patterns (centred features)."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None).eval()
    head, network.fc = nn.Linear(network.fc.in_features, len(data.classes)), nn.Identity()
    chunks = np.array_split(np.arange(len(data.classes)), max(1, len(data.classes) // 50))
    with torch.no_grad():
        patterns = [torch.stack([data.transform(Image.fromarray(data.pattern(c))) for c in part]) for part in chunks]
        features = torch.cat([network(images) for images in patterns])
        centred = features - features.mean(0)
        head.weight.copy_(centred / centred.norm(dim=1, keepdim=True))
        head.bias.copy_(-head.weight @ features.mean(0))
        head.weight.mul_(20 / (features @ head.weight.T + head.bias).std())
        head.bias.copy_(-head.weight @ features.mean(0))
    network.fc = head
    return network


def resident(name: str) -> float:
    """Megabytes, now (`VmRSS`) or at the peak since it was forgotten (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def searched(
    network: nn.Module, data: Patterns, device: str | None, limit: int | None, objective: str = "released"
) -> dict[str, object]:
    """The search itself: images a second, memory, and what was expected of it."""
    beta = 0.02 if objective == "released" else None
    search = Search(
        network,
        labelled(data),
        "block",
        Settings(objective, beta, passes=1, seed=0, limit_per_class=limit),
        device=device,
        show_progress=True,
    )
    expected = search.cost()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = resident("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one step a class leaves scores near the random start
        paths = search.run()
    seconds, processor = time.perf_counter() - wall, time.process_time() - processor
    peak, steps, images = resident("VmHWM"), paths.manifest["steps"], expected.images
    return {
        "objective": objective,
        "rows": len(paths),
        "images": images,
        "channels": paths.sites.channels,
        "rows_that_made_a_step": int(np.count_nonzero(steps)),
        "seconds": seconds,
        "processor_seconds": processor,
        "images_per_second": images / seconds,
        "images_per_processor_second": images / processor,
        "expected_seconds": expected.seconds,
        "megabytes_before": before,
        "peak_megabytes": peak,
        "score_table_megabytes": len(paths) * paths.sites.channels * 4 / 1e6,
        "plan": {k: v for k, v in search.plan.record().items() if k != "targets"},
    }


def at_published_size(network: nn.Module, device: str | None) -> dict[str, float]:
    """Seconds an image of one pass at 224 x 224, as the cost estimate times it: a few batches, the fastest."""
    data = Patterns(4, 32, PUBLISHED["size"])
    settings = Settings("released", 0.02, passes=1)
    search = Search(network, labelled(data), "block", settings, device=device, show_progress=False)
    cost = search.cost()
    return {"seconds_per_image": cost.seconds / len(data), "images_per_second": len(data) / cost.seconds}


def published_job(network: nn.Module, seconds_per_image: float) -> dict[str, object]:
    """What 1.3 million images and 20 passes take: computed."""
    visits = PUBLISHED["images"] * PUBLISHED["passes"]
    captured = capture(network, torch.zeros(2, 3, PUBLISHED["size"], PUBLISHED["size"]))
    one = sum(multiply_accumulates(captured.graph, captured.names).values())
    operations = 2 * one * FORWARDS * visits
    here = seconds_per_image * visits / 3600
    return {
        "visits": visits,
        "multiply_accumulates_per_image": one,
        "hours_one_worker_like_this_computed_from_batches_at_224": here,
        "hours_eight_workers_like_this_computed": here / 8,
        "hours_one_h200_computed": {kind: operations / (peak * ASSUMED_SHARE) / 3600 for kind, peak in H200.items()},
        "hours_eight_h200_computed": {
            kind: operations / (peak * ASSUMED_SHARE) / 3600 / 8 for kind, peak in H200.items()
        },
        "assumed_share_of_peak": ASSUMED_SHARE,
        "operations": operations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device")
    parser.add_argument("--classes", type=int, default=CLASSES, help="fewer, for a trial: nothing is then kept")
    parser.add_argument("--limit", type=int, help="images a class: only the search, for its memory")
    arguments = parser.parse_args()
    data = Patterns(arguments.classes, EACH, SIZE)
    network = network_of(data)
    if arguments.classes < CLASSES:
        network.fc = nn.Sequential(network.fc, nn.ZeroPad1d((0, CLASSES - arguments.classes)))
    if arguments.limit:
        found = [searched(network, data, arguments.device, arguments.limit, name) for name in ("released", "selective")]
        keep("thousand_rows_memory", {"seed": 0, "searches": found})
        return
    large = at_published_size(network, arguments.device)
    result = {"seed": 0, "search": searched(network, data, arguments.device, None), "at_224": large}
    result["published_job"] = published_job(network, large["seconds_per_image"])
    if arguments.classes == CLASSES:
        keep("thousand_rows", result)
    else:
        print(result)


if __name__ == "__main__":
    main()
