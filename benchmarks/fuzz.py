"""Ten thousand damaged and hostile inputs, through the doors that users have.

    python -m benchmarks.fuzz

Every input is made from a seed (`tests/hostile.py` has the kinds), used under an alarm, and must be taken or refused in
one line: no other exception, no hang, no code run from a file, no memory beyond a bound. Some go through the command
line in this process, some through processes of their own. A single one again: `--surface NAME --number N`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from benchmarks.common import keep
from tests import judging
from tests.hostile import SURFACES
from tests.judging import Judged, inputs, judge, judge_command, judge_process, make

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="inputs through functions")
    parser.add_argument("--commands", type=int, default=100, help="inputs through the command line, in this process")
    parser.add_argument("--processes", type=int, default=10, help="inputs through the command line, each in its own")
    parser.add_argument("--surface", help="one input of this surface, kept in the folder whose name is printed")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--only", help="inputs of these surfaces alone, names by comma; kept only with --label")
    parser.add_argument("--label", help="keep the result as fuzz_LABEL.json")
    parser.add_argument("--seconds", type=float, default=judging.SECONDS, help="what takes longer hangs; busy: more")
    arguments = parser.parse_args()
    judging.SECONDS = arguments.seconds
    torch.set_num_threads(1)
    if arguments.surface:
        show(arguments.surface, arguments.number)
        return
    begun = time.monotonic()
    judged: list[Judged] = []
    wanted = None if arguments.only is None else arguments.only.split(",")
    surfaces = [surface for surface in SURFACES if wanted is None or surface.name in wanted]
    if not surfaces:
        parser.error(f"no surface {arguments.only}; there are: {', '.join(surface.name for surface in SURFACES)}")
    typed = [surface for surface in surfaces if surface.command is not None]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for door, count, entered, through in (
            ("function", arguments.count, surfaces, judge),
            ("command", arguments.commands, typed, judge_command),
            ("process", arguments.processes, typed, judge_process),
        ):
            for surface, number in inputs(count, SEED, entered) if entered else ():
                found = through(surface, number, SEED, root)
                judged.append(found)
                if found.outcome == "finding":
                    sys.stderr.write(f"{door}: {found}\n")
            print(f"{count} inputs by {door}, {time.monotonic() - begun:.0f} s")
    if wanted is None or arguments.label:
        keep(f"fuzz_{arguments.label}" if arguments.label else "fuzz", summary(judged, time.monotonic() - begun))
    else:
        print(json.dumps(summary(judged, time.monotonic() - begun), indent=1))


def show(name: str, number: int) -> None:
    """Make one input, say where it is, and use it without a net."""
    surface = next(surface for surface in SURFACES if surface.name == name)
    root = Path(tempfile.mkdtemp())
    print(f"{make(surface, number, SEED, root)}: {root}")
    print(surface.use(root))


def summary(judged: list[Judged], seconds: float) -> dict[str, object]:
    """Counts by surface, by damage and by outcome; findings in full."""
    by_surface = Counter((one.surface, one.outcome) for one in judged)
    by_damage = Counter((one.damage, one.outcome) for one in judged)
    findings = [vars(one) for one in judged if one.outcome == "finding"]
    return {
        "seed": SEED,
        "inputs": len(judged),
        "outcomes": dict(Counter(one.outcome for one in judged)),
        "by_surface": _nested(by_surface),
        "by_damage": _nested(by_damage),
        "findings": findings,
        "seconds": round(seconds, 1),
    }


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (name, outcome), count in sorted(counts.items()):
        found.setdefault(name, {})[outcome] = count
    return found


if __name__ == "__main__":
    main()
