"""One hostile input at a time: made, used, and judged.

Right is that it is taken, or refused by an `UnweaveError` that the command line prints as one line; everything else is
a finding.
"""

import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.damages import CANARY
from tests.hostile import SURFACES, Surface
from unweave.cli import main
from unweave.errors import UnweaveError

SECONDS = 20
"""What takes longer hangs."""
MOST_CHARACTERS = 500
MOST_BYTES = 2_000_000_000
"""By which one input may raise this process's peak memory; the largest picture that is read takes 0.7 GB."""


class Hung(BaseException):
    """An input took longer than `SECONDS`."""


@dataclass(frozen=True)
class Judged:
    """`outcome` is "taken", "refused" or "finding"; `why` what was said."""

    surface: str
    damage: str
    number: int
    outcome: str
    why: str = ""


def inputs(count: int, seed: int, surfaces: Sequence[Surface] = SURFACES) -> Iterator[tuple[Surface, int]]:
    """`count` numbered inputs, spread over `surfaces` by weight."""
    numbers = random.Random(seed)
    chosen = numbers.choices(surfaces, [surface.weight for surface in surfaces], k=count)
    yield from zip(chosen, range(count), strict=True)


@cache
def _intact(surface: Surface, root: Path) -> dict[str, bytes]:
    """The surface's files; made once, and in the place where they are used, because a run records where that is."""
    surface.write(root)
    found = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
    _clear(root)
    return found


def make(surface: Surface, number: int, seed: int, root: Path) -> str:
    """Write input `number` into `root`, an empty folder; the name of its damage."""
    for name, content in _intact(surface, root).items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    numbers = random.Random(f"{surface.name} {seed} {number}")
    victims = sorted(file for pattern in surface.victims for file in root.glob(pattern) if file.is_file())
    victim = numbers.choice([file for file in victims if file.stat().st_size] or victims)
    damage = numbers.choice(sorted(surface.damages))
    surface.damages[damage](victim, numbers)
    return damage


def judge(surface: Surface, number: int, seed: int, root: Path) -> Judged:
    """Make an input, use it through functions, and say what came of it. `root` is empty before and after."""

    def use() -> tuple[str, str]:
        try:
            surface.use(root)
        except UnweaveError as error:
            return _line(main.as_line(error))
        return "taken", ""

    return _judged(surface, number, seed, root, use)


def judge_command(surface: Surface, number: int, seed: int, root: Path) -> Judged:
    """The same through the command line, in this process: status 2 and one line on standard error, or success."""

    def use() -> tuple[str, str]:
        assert surface.command is not None
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace")]
        before = sys.argv, sys.stdout, sys.stderr, warnings.showwarning
        sys.argv, (sys.stdout, sys.stderr) = ["unweave", *surface.command(root)], streams
        try:
            main.run()
            status: Any = 0
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            sys.argv, sys.stdout, sys.stderr, warnings.showwarning = before
        streams[1].seek(0)
        return _said(status, streams[1].read())

    return _judged(surface, number, seed, root, use)


def judge_process(surface: Surface, number: int, seed: int, root: Path) -> Judged:
    """The same in a process of its own."""

    def use() -> tuple[str, str]:
        assert surface.command is not None
        line = [sys.executable, "-c", "from unweave.cli.main import run; run()", *surface.command(root)]
        done = subprocess.run(line, capture_output=True, check=False)
        return _said(done.returncode, done.stderr.decode(errors="replace"))

    return _judged(surface, number, seed, root, use, 6 * SECONDS)


def _judged(
    surface: Surface,
    number: int,
    seed: int,
    root: Path,
    use: Callable[[], tuple[str, str]],
    seconds: float | None = None,
) -> Judged:
    damage = make(surface, number, seed, root)
    before = _peak_bytes()
    try:
        with _limited(seconds or SECONDS):
            outcome, why = use()
    except (Exception, Hung) as error:  # noqa: BLE001 - whatever it is, it should not be
        outcome, why = "finding", f"{type(error).__name__}: {str(error)[:300]}"
    # A walk, because some versions of `rglob` fail at links to names that are too long.
    if any(CANARY in folders or CANARY in files for _, folders, files in os.walk(root)):
        outcome, why = "finding", "code from the file was run"
    if _peak_bytes() - before > MOST_BYTES:
        outcome, why = "finding", "too much memory"
    _clear(root)
    return Judged(surface.name, damage, number, outcome, why)


def _said(status: int, printed: str) -> tuple[str, str]:
    """Of a command: warnings may stand before what ends it."""
    lines = [line for line in printed.splitlines() if not line.startswith("unweave: warning: ")]
    if status == 0:
        return (
            ("finding", f"printed {lines[0]!r}")
            if any(not line.startswith("unweave: ") for line in lines)
            else ("taken", "")
        )
    if status != 2 or len(lines) != 1:
        return "finding", f"status {status}, {len(lines)} lines: {printed[-300:]!r}"
    return _line(lines[0].removeprefix("unweave: "))


def _line(text: str) -> tuple[str, str]:
    if 0 < len(text) <= MOST_CHARACTERS and text.isprintable():
        return "refused", text
    return "finding", f"not a line of at most {MOST_CHARACTERS} characters: {text[:200]!r}"


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hung(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _clear(root: Path) -> None:
    for entry in list(os.scandir(root)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
