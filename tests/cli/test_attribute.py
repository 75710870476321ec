"""`unweave attribute`, used as a user would."""

import json

import pytest
import torch

from unweave.paths import Paths


@pytest.fixture
def attribute(unweave, user_file):
    """`unweave attribute` of the user's network and images."""

    def run(*arguments):
        return unweave("attribute", f"{user_file}:network", f"{user_file}:images", "--steps", "2", *arguments)

    return run


def test_paths_are_written_with_the_settings_asked_for(attribute, tmp_path):
    run = tmp_path / "run"
    asked_for = ("--of", "logit", "--unsigned", "--over", "all", "--keep", "0.25", "--precision", "bfloat16")
    ran = attribute("--out", run, *asked_for, "--json")
    assert ran.status == 0, ran.err
    paths = Paths.load(run / "paths.safetensors")
    asked = paths.manifest["settings"]
    assert [asked[name] for name in ("steps", "of", "signed", "over")] == [2, "logit", False, "all"]
    assert asked["precision"] == "bfloat16"
    assert json.loads(ran.out)["rows"] == list(paths.rows.names)
    assert all((mask.sum(1) == round(0.25 * mask.shape[1])).all() for mask in paths.masks.values())
    again = attribute("--out", run, *asked_for)
    assert "holds these paths already" in again.err
    assert f"Next: unweave analyse {run}" in again.out


def test_sizes_of_another_run_are_kept(attribute, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert attribute("--out", first, "--threshold", "0.3").status == 0
    assert attribute("--out", second, "--of", "logit", "--keep-sizes-of", first).status == 0
    sizes, found = (Paths.load(run / "paths.safetensors") for run in (first, second))
    assert all(torch.equal(mask.sum(1), sizes.masks[name].sum(1)) for name, mask in found.masks.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--of", "loss"), "of must be 'class_probability' or 'logit', found 'loss'"),
        (("--keep", "2"), "keep must be a share above 0 and up to 1"),
        (("--keep", "0.5", "--threshold", "0.1"), "either keep"),
        (("--keep", "0.5", "--keep-sizes-of", "elsewhere"), "give either --keep or --keep-sizes-of"),
    ],
)
def test_bad_settings_end_with_one_line(attribute, tmp_path, arguments, message):
    ran = attribute("--out", tmp_path / "run", *arguments)
    assert ran.status == 2
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(attribute, tmp_path):
    ran = attribute("--out", tmp_path / "run", "--dry-run")
    assert " x 2 steps, 10 rows: about " in ran.out
    assert not (tmp_path / "run").exists()
