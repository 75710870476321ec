"""A search that is killed, anywhere, and begun again ends with the bytes of one that was not."""

import random

import numpy as np
import pytest
from safetensors.torch import save_file

from tests.invariants.killing import KillableSearch, Moment, save_times
from unweave.runs.folder import RunFolder
from unweave.zoo.digits import train_digits_network

OPTIONS = ("--objective", "released", "--beta", "0.1", "--limit-per-class", "32", "--passes", "6")


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A search of a network for digits."""
    place = tmp_path_factory.mktemp("digits")
    (place / "digits.py").write_text("from unweave.zoo.digits import DigitsNetwork\n")
    save_file(train_digits_network(epochs=1).state_dict(), place / "digits.safetensors")
    weights = ("--weights", str(place / "digits.safetensors"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield KillableSearch((f"{place / 'digits.py'}:DigitsNetwork", "digits", *weights, *OPTIONS))


@pytest.fixture(scope="module")
def whole(search, tmp_path_factory):
    """Its uninterrupted run: the result's bytes, and when it saved."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    search.run(folder)
    return RunFolder(folder).paths_file.read_bytes(), save_times(folder)


def check_goes_on(search, whole, folder, moments):
    """Kill at each of the moments, go on to the end, and compare."""
    expected, saved = whole
    for moment in moments:
        search.kill(folder, moment, float(np.median(np.diff(saved))))
        assert not RunFolder(folder).finished
    search.run(folder)
    assert RunFolder(folder).paths_file.read_bytes() == expected
    assert not list(folder.rglob("*.part"))
    assert len(save_times(folder)) <= len(saved)  # what was saved is not done again


def test_what_is_killed_saves_after_every_pass(whole):
    assert len(whole[1]) == 6


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_a_random_moment_it_ends_with_the_same_bytes(search, whole, tmp_path, seed):
    moment = Moment.drawn(random.Random(seed), len(whole[1]))
    check_goes_on(search, whole, tmp_path / "run", [moment])


def test_killed_inside_writes_it_ends_with_the_same_bytes(search, whole, tmp_path):
    # inside the record's, then the second pass's, then, when all passes after the first are there, the result's
    in_the_result = len(whole[1]) - 1
    check_goes_on(search, whole, tmp_path / "run", [Moment(writes=0), Moment(writes=2), Moment(writes=in_the_result)])
