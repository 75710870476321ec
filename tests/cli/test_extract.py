"""`unweave extract`, used as a user would."""

import json

import pytest
import torch

from tests.cli.conftest import USER_FILE
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows
from unweave.pipeline.inputs import Inputs
from unweave.runs.folder import RunFolder
from unweave.surgery.file import load_extracted
from unweave.zoo.user_file import result_in_file


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the user's network: zero keeps half of the first site, one the other half."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.py").write_text(USER_FILE)
    network, example = result_in_file(f"{folder}/mine.py:network"), torch.zeros(2, 1, 8, 8)
    sites = find_sites(network, example)
    masks = {site.name: torch.ones(2, site.channels, dtype=torch.bool) for site in sites}
    masks["1/relu:0"] = torch.tensor([[True] * 3 + [False] * 3, [False] * 3 + [True] * 3])
    manifest = Paths.from_masks(masks, network, example).manifest
    run = RunFolder(folder / "run")
    Paths(masks, Rows.of_classes([0, 1], ["zero", "one"]), sites, manifest).save(run.paths_file)
    run.write_inputs({"inputs": Inputs(f"{folder}/mine.py:network", "digits", "digits").as_settings(), "seed": 0})
    return folder / "run"


def test_a_row_becomes_a_file_and_a_table(unweave, run, tmp_path):
    file = tmp_path / "zero.safetensors"
    ran = unweave("extract", run, "--row", "zero", "--classes", "one,7", "--out", file)
    assert ran.status == 0, ran.err
    small = load_extracted(file)
    assert (small.row, small.classes) == ("zero", (1, 7))
    assert small.description.channels["1/relu:0"] == (3, 6)
    lines = [line.split() for line in ran.out.splitlines()]
    table = next(line for line in lines if line[:1] == ["extracted:"])
    assert table[2] == f"{sum(one.numel() for one in small.parameters()):,}"
    assert any(line[:3] == ["before", "/", "after"] for line in lines)
    assert "Equal to the restricted network" in ran.out
    assert f"Written: {file}" in ran.out


def test_rows_are_united_and_json_is_one_object(unweave, run, tmp_path):
    file = tmp_path / "both.safetensors"
    options = ("--row", "zero", "--row", "one", "--round-to", "4", "--no-times", "--json")
    ran = unweave("extract", run, *options, "--out", file)
    found = json.loads(ran.out)
    assert found["extracted"]["row"] == "zero | one"
    assert found["extracted"]["channels"]["1/relu:0"] == [6, 6]
    assert found["extracted"]["round_to"] == 4
    assert found["cost"]["summary"]["parameters_ratio"] == 1
    assert found["size"] == file.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "small.safetensors"), "which of the 2 rows (zero, one)? give --row NAME"),
        (("--row", "two", "--out", "small.safetensors"), "no row 'two'; closest: "),
        (("--row", "one", "--out", "small.pt"), "small.pt must end in .safetensors or .onnx"),
        (("--row", "one", "--classes", "cat", "--out", "small.safetensors"), "'cat' is neither the name"),
        (("--row", "one", "--classes", "12", "--out", "small.safetensors"), "no class 12"),
    ],
)
def test_bad_input_is_one_line_and_status_2(unweave, run, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = unweave("extract", run, *arguments)
    assert ran.status == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.glob("small.*"))
