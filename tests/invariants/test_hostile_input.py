"""No file that a user hands over ends in a traceback, a hang, or code run from it; refusals are one line.

Ten thousand inputs of the same making: `benchmarks/fuzz.py`.
"""

import pytest

from tests.hostile import SURFACES, Surface
from tests.judging import MOST_CHARACTERS, inputs, judge, judge_command, make
from unweave.cli import main

SEED = 1
LEFT_OUT = ["picture"]  # damaged pictures are left out of the search and counted, unless it is strict
TYPED = [surface for surface in SURFACES if surface.command is not None]


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_damaged_and_hostile_files_are_taken_or_refused_in_one_line(surface, tmp_path):
    judged = [judge(surface, number, SEED, tmp_path) for number in range(round(20 * min(1, surface.weight)))]
    assert [one for one in judged if one.outcome == "finding"] == []
    assert any(one.outcome == "refused" for one in judged) or surface.name in LEFT_OUT


def test_the_command_line_refuses_them_in_one_line(tmp_path):
    judged = [judge_command(surface, number, SEED, tmp_path) for surface, number in inputs(12, SEED, TYPED)]
    assert [one for one in judged if one.outcome == "finding"] == []
    assert any(one.outcome == "refused" for one in judged)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_what_is_not_damaged_is_taken(surface, tmp_path):
    whole = Surface(surface.name, surface.write, surface.victims, {"none": lambda file, numbers: None}, surface.use)
    found = judge(whole, 0, SEED, tmp_path)
    expected = "refused" if surface.name == "CIFAR batches" else "taken"  # only the published pickles are read
    assert (found.outcome, found.damage) == (expected, "none"), found.why


def test_the_same_number_makes_the_same_input(tmp_path):
    surface = SURFACES[0]
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        make(surface, 3, SEED, tmp_path / name)
        contents.append([file.read_bytes() for file in sorted((tmp_path / name).glob("*")) if file.is_file()])
    assert contents[0] == contents[1]


def _raising(error):
    def use(folder):
        raise error

    return use


def _running(folder):
    (folder / "canary").touch()


def _hanging(folder):
    while True:
        pass


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (_raising(KeyError("x")), "KeyError"),
        (_raising(OSError("x")), "OSError"),
        (_running, "code from the file was run"),
        (_hanging, "Hung"),
    ],
    ids=["another error", "a bare OSError", "code run", "a hang"],
)
def test_the_judge_finds(use, why, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.judging.SECONDS", 0.1)
    surface = Surface("made up", lambda folder: (folder / "x").write_text("x"), ["x"], {"none": lambda *_: None}, use)
    found = judge(surface, 0, SEED, tmp_path)
    assert found.outcome == "finding"
    assert why in found.why
    assert not any(tmp_path.iterdir())


def test_a_long_message_with_signs_that_no_terminal_shows_becomes_one_short_line():
    line = main.as_line("start\n\x1b[31m \ud800" + "x" * 10_000 + "\r\nend")
    assert len(line) == MOST_CHARACTERS
    assert line.startswith("start \\x1b[31m \\ud800xx")
    assert line.endswith("xx end")
    assert " ... " in line
