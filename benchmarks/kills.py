"""Twenty kills of a real search, each followed by a run to the end: are the bytes those of an uninterrupted run?

    python -m benchmarks.kills

ResNet-20 on CIFAR-10 by the command line, 48 images a class, 6 passes. A quarter of the kills (at least five of twenty)
happen inside a write, of which half is left: the run's record, what a pass reached, or the result; the others at random
moments between two saves. `seconds_repeated`: from the last save to the kill.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.common import keep, real_data
from tests.invariants.killing import KillableSearch, Moment, save_times
from unweave.files import digest
from unweave.runs.folder import RunFolder


def search(beta: str) -> KillableSearch:
    """The search that is killed."""
    data = real_data()
    inputs = (f"{data / 'models' / 'networks.py'}:resnet20", f"cifar10:{data / 'data' / 'cifar10'}")
    options = {"--preprocess": "imagenet", "--limit-per-class": "48", "--passes": "6", "--beta": beta, "--seed": "0"}
    return KillableSearch((*inputs, *(part for option in options.items() for part in option)))


def killed(one: KillableSearch, folder: Path, moment: Moment, between_saves: float) -> dict[str, float | str | bool]:
    """Kill a new run once, go on to the end, and say what was there when it died."""
    died = one.kill(folder, moment, between_saves)
    events = RunFolder(folder).journal.read()
    drafts = [file.name.lstrip(".").split(".")[0] for file in folder.rglob(".*.part")]
    last = max((event["time"] for event in events), default=died)
    passes = [event["passes"] for event in events if event["event"] == "saved"]
    one.run(folder)
    return {
        "moment": f"inside write {moment.writes}, of {drafts[0]}" if moment.writes is not None else "between saves",
        "seconds_after_it_began": died - min((event["time"] for event in events), default=died),
        "saves_before": len(passes),
        "pass_reached": passes[-1] if passes else 0,
        "seconds_repeated": died - last,
        "digest": digest(RunFolder(folder).paths_file.read_bytes()),
        "drafts_left": len(list(folder.rglob(".*.part"))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beta", default="0.1", help="a number, or elbow")
    arguments = parser.parse_args()
    one, numbers = search(arguments.beta), random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        started = time.time()
        one.run(Path(place) / "whole")
        uninterrupted = time.time() - started
        saved = save_times(Path(place) / "whole")
        expected = digest(RunFolder(Path(place) / "whole").paths_file.read_bytes())
        between = statistics.median(b - a for a, b in itertools.pairwise(saved))
        raw = []
        for number in range(arguments.kills):
            draw = Moment.in_a_write if number % 4 == 0 else Moment.drawn
            raw.append(killed(one, Path(place) / f"run-{number}", draw(numbers, len(saved)), between))
            print(number, raw[-1], flush=True)
    keep(
        "kills",
        {
            "seed": arguments.seed,
            "seconds_uninterrupted": uninterrupted,
            "saves": len(saved),
            "median_seconds_between_saves": between,
            "kills": len(raw),
            "kills_inside_a_write": sum(kill["moment"] != "between saves" for kill in raw),
            "same_bytes": sum(kill["digest"] == expected for kill in raw),
            "most_seconds_repeated": max(float(kill["seconds_repeated"]) for kill in raw),
            "digest": expected,
            "raw": raw,
        },
    )


if __name__ == "__main__":
    main()
