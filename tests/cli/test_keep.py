"""`unweave disentangle --keep`, used as a user would."""

import json

import pytest

from unweave.paths import Paths


@pytest.fixture
def disentangle(unweave, user_file, tmp_path):
    """`unweave disentangle` of the user's network and images."""

    def run(*arguments):
        typed = (f"{user_file}:network", f"{user_file}:images", "--out", tmp_path / "run", "--passes", "2")
        return unweave("disentangle", *typed, *arguments)

    return run


def test_every_row_keeps_the_share_that_was_told(disentangle, tmp_path):
    ran = disentangle("--keep", "0.5", "--augment", "mild")
    assert ran.status == 0, ran.err
    assert "told to keep 50.0 %" in ran.out
    paths = Paths.load(tmp_path / "run" / "paths.safetensors")
    kept = sum(mask.sum(1) for mask in paths.masks.values())
    assert set(kept.tolist()) == {round(0.5 * paths.sites.channels)}
    assert paths.manifest["settings"]["augment"] == "mild"


def test_another_share_is_refused_by_a_run_that_was_begun(disentangle):
    assert disentangle("--keep", "0.5").status == 0
    ran = disentangle("--keep", "0.6")
    assert ran.status == 2
    assert "keep" in ran.err


def test_the_json_answer_names_the_share(disentangle):
    ran = disentangle("--keep", "0.5", "--json")
    assert json.loads(ran.out)["keep"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--keep", "1.5"), "keep must be a share between 0 and 1, found 1.5"),
        (("--keep", "0.5", "--beta", "1"), "beta has no part in it"),
        (("--keep", "0.5", "--objective", "released"), "keep= needs the objective 'selective' by name"),
    ],
)
def test_a_share_that_cannot_be_used_is_one_line(disentangle, arguments, message):
    ran = disentangle(*arguments)
    assert ran.status == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
