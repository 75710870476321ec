"""`unweave analyse` on runs whose files are damaged, or that hold groups, or too little for some measure."""

import json
import shutil

import pytest
import torch
from torch import nn

from tests.cli.conftest import USER_FILE
from unweave.data.digits import Digits
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows
from unweave.pipeline.inputs import Inputs
from unweave.runs.folder import RunFolder
from unweave.zoo.user_file import result_in_file

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of the user's network: digits zero and one, seen through all channels of every site."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.py").write_text(USER_FILE)
    _write(folder / "run", result_in_file(f"{folder}/mine.py:network"), Rows.of_classes([0, 1]))
    inputs = Inputs(f"{folder}/mine.py:network", "digits", "digits").as_settings()
    RunFolder(folder / "run").write_inputs({"inputs": inputs, "seed": 0})
    return folder / "run"


def _write(run, network, rows):
    example = torch.zeros(2, *SHAPE)
    sites = find_sites(network, example)
    masks = {site.name: torch.ones(len(rows), site.channels, dtype=torch.bool) for site in sites}
    manifest = Paths.from_masks(masks, network, example).manifest
    Paths(masks, rows, sites, manifest).save(RunFolder(run).paths_file)


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def _change(run, **changes):
    file = run / "inputs.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps({**found, "inputs": {**found["inputs"], **changes}}))


def _cut(run):
    file = run / "paths.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _of_another_network(run):
    torch.manual_seed(5)
    other = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
    _write(run, other, Rows.of_classes([0, 1]))


def _file_in_place_of(name):
    return lambda run: (run / name).write_text("in the way")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "paths.safetensors is not a whole safetensors file"),
        (lambda run: (run / "paths.safetensors").unlink(), "has no paths.safetensors: its search has not finished"),
        (_of_another_network, "another network"),
        (lambda run: (run / "inputs.json").write_text("{"), "inputs.json is damaged"),
        (lambda run: (run / "inputs.json").write_text("[]"), "inputs.json is damaged (no settings)"),
        (lambda run: (run / "inputs.json").write_text("{}"), "inputs.json is damaged (no inputs and seed)"),
        (lambda run: (run / "inputs.json").write_bytes(b"\xff\xfe\x00"), "inputs.json is damaged"),
        (lambda run: _change(run, colour="red"), "damaged, or another version's ('colour' cannot be 'red')"),
        (lambda run: _change(run, model=3), "('model' cannot be 3)"),
        (lambda run: _change(run, validation=["digits"]), "('validation' cannot be ['digits'])"),
        (lambda run: _change(run, model="gone.py:network"), "no file gone.py"),
        (_file_in_place_of("tables"), "tables cannot be written to"),
        (_file_in_place_of("figures"), "figures cannot be written to"),
    ],
)
def test_a_damaged_run_is_one_line_and_status_2_and_nothing_is_written(unweave, run, damage, message):
    damage(run)
    before = sorted(run.rglob("*"))
    ran = unweave("analyse", run)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert sorted(run.rglob("*")) == before


def test_a_measure_that_lacks_images_is_refused_before_the_others_are_written(unweave, run):
    _change(run, validation=None)
    ran = unweave("analyse", run, "--measure", "usage", "--measure", "accuracy")
    assert ran.status == 2
    assert "accuracy needs images to measure on: give --data" in ran.err
    assert not (run / "tables").exists()


def test_a_run_of_one_row_is_measured_by_what_applies(unweave, run):
    _write(run, _network(run), Rows.of_classes([3]))
    found = json.loads(unweave("analyse", run, "--json").out)
    assert found["tables"].keys() == {"accuracy", "accuracy_histogram", "specificity", "ablation", "usage"}


def _run_of_five(run, name="run", seed=0):
    """Five digits with scores, as a search leaves them; named so that files and pages could trip over it."""
    network = _network(run)
    sites = find_sites(network, torch.zeros(2, *SHAPE))
    numbers = torch.Generator().manual_seed(seed)
    scores = {site.name: torch.randn(5, site.channels, generator=numbers) for site in sites}
    rows = Rows.of_classes(range(5), ["<b>zero</b>", "one/1", "x" * 300, "三", "four $"])
    masks = {site: table > 0 for site, table in scores.items()}
    manifest = Paths.from_masks(masks, network, torch.zeros(2, *SHAPE)).manifest
    folder = run.parent / name
    Paths(masks, rows, sites, manifest, scores).save(RunFolder(folder).paths_file)
    return folder


def test_every_measure_of_classes_leaves_its_tables_and_figures(unweave, run, tmp_path):
    first, second = _run_of_five(run), _run_of_five(run, "second", 1)
    groups = tmp_path / "groups.csv"
    groups.write_text("0,round\n1,straight\n2,round\n3,round\n4,straight\n")
    ran = unweave("analyse", first, "--against", second, "--groups", groups, "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    names = {
        *("accuracy", "accuracy_histogram", "specificity", "ablation", "keep_curve", "stability", "stability_classes"),
        *("usage", "similarity", "similarity_matrix", "clusters", "cluster_agreement", "interpretability", "hit_rate"),
        *("feature_maps", "misjudgements", "misjudged_images"),
    }
    assert found["tables"].keys() == names
    tables, figures = first / "tables", first / "figures"
    assert {file.stem for file in tables.iterdir()} == names
    drawn = names - {"accuracy_histogram", "cluster_agreement", "stability_classes", "misjudged_images", "feature_maps"}
    drawn |= {"feature_maps_0", "feature_maps_1"}
    assert {file.name for file in figures.iterdir()} == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    assert found["tables"]["clusters"]["columns"]["group"].count("round") == 3
    assert "x" * 300 in found["tables"]["accuracy"]["columns"]["name"]


def test_clusters_are_compared_with_a_hierarchy(unweave, run, tmp_path):
    network, example = _network(run), torch.zeros(2, *SHAPE)
    sites, even = find_sites(network, example), torch.arange(4) % 2 == 0
    # Even rows have the first channels, odd rows the others: within a kind the tree joins at 0, the kinds at 1.
    masks = {site.name: (torch.arange(site.channels) < 3) == even[:, None] for site in sites}
    manifest = Paths.from_masks(masks, network, example).manifest
    rows = Rows.of_classes(range(4), ["n0", "n1", "n2", "n3"])
    Paths(masks, rows, sites, manifest).save(RunFolder(run).paths_file)
    tree = tmp_path / "is_a.txt"
    tree.write_text("number even\nnumber odd\neven n0\nodd n1\neven n2\nodd n3\n")
    ran = unweave("analyse", run, "--measure", "clusters", "--hierarchy", tree, "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)["tables"]["cluster_agreement"]["columns"]
    agreement = dict(zip(found["measure"], found["value"], strict=True))
    assert agreement["hierarchy and tree, cophenetic correlation"] == pytest.approx(1)
    assert agreement["hierarchy and similarity, correlation"] == pytest.approx(1)


def test_images_that_excite_the_channels_of_a_row_are_shown(unweave, run):
    folder = _run_of_five(run)
    paths = Paths.load(RunFolder(folder).paths_file)
    site = paths.sites.names[0]
    ran = unweave("analyse", folder, "--measure", "exciting", "--row", "三", "--row", "4", "--channels", "2", "--json")
    assert ran.status == 0, ran.err
    table = json.loads(ran.out)["tables"]["exciting"]["columns"]
    shown = list(dict.fromkeys(zip(table["row"], table["site"], table["channel"], strict=True)))
    last = paths.sites.names[-1]
    assert shown == [(row, last, c) for row in ("三", "four $") for c, _ in paths[row].top(last, 2)]
    assert table["rank"] == [1, 2, 3, 4, 5, 6] * 4
    assert table["kept"] == [score > 0 for score in table["score"]]
    assert table["activation"][:6] == sorted(table["activation"][:6], reverse=True)
    digits = Digits(train=False)
    assert table["label"] == [digits.classes[int(digits.targets[position])] for position in table["position"]]
    assert {file.name for file in (folder / "figures").glob("*.png")} == {"exciting_3.png", "exciting_4.png"}
    again = unweave("analyse", folder, "--measure", "exciting", "--row", "one/1", "--site", site, "--json")
    columns = json.loads(again.out)["tables"]["exciting"]["columns"]
    assert set(columns["site"]) == {site}
    assert len(set(columns["channel"])) == min(5, paths.sites[0].channels)


def test_mosaics_are_pictured_by_their_number(unweave, run):
    folder = _run_of_five(run)
    chosen = ("--mosaic", "3", "--mosaic", "7", "--mosaic", "3")
    ran = unweave("analyse", folder, "--measure", "feature_maps", *chosen, "--json")
    assert ran.status == 0, ran.err
    assert set(json.loads(ran.out)["tables"]["feature_maps"]["columns"]["mosaic"]) == {3, 7}
    assert {file.name for file in (folder / "figures").glob("*.png")} == {"feature_maps_3.png", "feature_maps_7.png"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("usage", "--row", "三"), "--row is for --measure exciting, which is not measured here"),
        (("usage", "--site", "s"), "--site is for --measure exciting"),
        (("usage", "--channels", "3"), "--channels is for --measure exciting"),
        (("usage", "--mosaic", "0"), "--mosaic is for --measure feature_maps, which is not measured here"),
        (("usage", "--hierarchy", "tree"), "--hierarchy is for --measure clusters, which is not measured here"),
        (("clusters", "--hierarchy", "nowhere"), "nowhere cannot be read (No such file or directory)"),
        (("usage", "--groups", "cifar10"), "--groups is for --measure clusters, which is not measured here"),
        (("exciting",), "exciting shows what excites the channels of a row: name it with --row NAME"),
        (("exciting", "--row", "nine"), "no row 'nine'; closest: "),
        (("exciting", "--row", "9"), "no row '9'; closest: "),
        (("exciting", "--row", "三", "--site", "nowhere"), "no site 'nowhere'; closest: "),
        (("exciting", "--row", "三", "--channels", "0"), "--channels must be at least 1, found 0"),
    ],
)
def test_options_that_no_measure_uses_or_that_name_nothing_are_refused(unweave, run, options, message):
    folder = _run_of_five(run)
    ran = unweave("analyse", folder, "--measure", *options)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err
    assert not (folder / "tables").exists()


def test_runs_of_other_networks_are_compared_by_the_name_of_their_folders(unweave, run):
    first, second = _run_of_five(run), _run_of_five(run, "second", 1)
    RunFolder(second).write_inputs(json.loads(RunFolder(first).inputs_file.read_text()))
    ran = unweave("analyse", first, "--measure", "compare_interpretability", "--beside", second, "--json")
    assert ran.status == 0, ran.err
    table = json.loads(ran.out)["tables"]["compare_interpretability"]["columns"]
    assert table["network"] == [first.name, "second"]
    assert table["usage"][0] != table["usage"][1]
    assert (first / "figures" / "compare_interpretability.png").exists()
    refused = unweave("analyse", first, "--measure", "usage", "--beside", second)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "--beside is for --measure compare_interpretability" in refused.err


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("compare_interpretability", "give finished runs of others with --beside RUN"),
        ("hit_rate", "hit_rate compares at least 4 rows, there are 2"),
        ("clusters", "clusters compares at least 3 rows, there are 2"),
        ("keep_curve", "ranks channels by their scores, which these paths do not have"),
        ("exciting", "name it with --row NAME"),
        ("stability", "stability compares runs of other seeds: give them with --against RUN"),
    ],
)
def test_a_measure_that_a_run_is_too_little_for_is_refused_before_anything_is_written(unweave, run, measure, message):
    ran = unweave("analyse", run, "--measure", "usage", "--measure", measure)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert not (run / "tables").exists()


def test_measures_for_which_too_few_classes_have_images_are_left_out_unless_asked_for(unweave, run):
    folder, file = _run_of_five(run), run.parent / "few.py"
    file.write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n"
        "def images():\n    return TensorDataset(torch.zeros(6, 1, 8, 8), torch.arange(6) % 3)\n"
    )
    found = json.loads(unweave("analyse", folder, "--data", f"{file}:images", "--dry-run", "--json").out)
    assert "misjudgements" in found["measures"]
    assert not {"hit_rate", "feature_maps"} & set(found["measures"])
    ran = unweave("analyse", folder, "--data", f"{file}:images", "--measure", "hit_rate")
    assert ran.status == 2
    assert "a mosaic shows four classes, 3 of the 5 rows have images" in ran.err


def test_groups_and_opponents_are_measured_as_rows(unweave, run):
    rows = Rows.of_groups([(2,), (0, 1)], [(), (2, 3)], ["two", "round"])
    _write(run, _network(run), rows)
    found = json.loads(unweave("analyse", run, "--json").out)["tables"]
    targets = Digits(train=False).targets
    assert found["accuracy"]["columns"]["class"] == [2, -1]
    assert found["accuracy"]["columns"]["name"] == ["two", "round"]
    assert found["accuracy"]["columns"]["images"] == [int((targets == 2).sum()), int((targets < 2).sum())]
    # All channels are kept, so that a row is the whole network.
    for table, column, original in (
        ("accuracy", "sub_architecture", "original"),
        ("specificity", "own", "original_own"),
    ):
        assert found[table]["columns"][column] == found[table]["columns"][original]


def test_tables_fit_a_terminal_of_80_columns(unweave, run):
    ran = unweave("analyse", run)
    lines = ran.out.splitlines()
    assert "Own class and other classes, 449 images" in lines
    assert any(line.startswith("mean") for line in lines)
    assert max(map(len, lines[:-1])) <= 80
    assert lines == [line.rstrip() for line in lines]


def _network(run):
    return result_in_file(json.loads((run / "inputs.json").read_text())["inputs"]["model"])


@pytest.fixture
def inputs_run(run):
    """The run's paths, as if they were those of eight inputs of two classes; the last two channels differ."""
    network = _network(run)
    rows = Rows.of_inputs(8, labels=[0, 0, 0, 0, 1, 1, 1, 1])
    _write(run, network, rows)
    paths = Paths.load(RunFolder(run).paths_file)
    masks = {name: mask.clone() for name, mask in paths.masks.items()}
    for mask in masks.values():
        mask[4:, -1] = mask[::2, -2] = False
    manifest = {**paths.manifest, "class_names": {"0": "zero", "1": "one"}}
    Paths(masks, rows, paths.sites, manifest).save(RunFolder(run).paths_file)
    return run


def test_paths_of_inputs_are_measured_by_what_applies(unweave, inputs_run):
    found = json.loads(unweave("analyse", inputs_run, "--json").out)
    tables = found["tables"]
    assert tables.keys() == {
        "usage", "similarity", "similarity_matrix", "filter_states", "separation", "embedding",
    }  # fmt: skip
    channels = tables["filter_states"]["columns"]["channels"]
    assert tables["filter_states"]["columns"]["dynamic"] == [2] * len(channels)
    assert tables["separation"]["columns"]["agreement_1"][0] == 1.0
    assert tables["embedding"]["columns"]["name"] == ["zero"] * 4 + ["one"] * 4
    for name in ("filter_states", "embedding"):
        assert (inputs_run / "figures" / f"{name}.png").is_file()
        assert (inputs_run / "tables" / f"{name}.csv").is_file()


def test_a_table_without_means_is_printed_without_them(unweave, inputs_run):
    ran = unweave("analyse", inputs_run, "--measure", "embedding")
    assert "Separation of 2 classes by the paths of 8 inputs" in ran.out
    assert not any(line.startswith("mean") for line in ran.out.splitlines())
    assert "need images" not in ran.out


@pytest.mark.parametrize("measure", ["accuracy", "specificity"])
def test_a_measure_of_classes_says_why_it_is_not_one_of_inputs(unweave, inputs_run, measure):
    ran = unweave("analyse", inputs_run, "--measure", "usage", "--measure", measure)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"unweave: {measure} is about classes; these paths' rows are inputs\n"
    assert not (inputs_run / "tables").exists()


def test_the_embedding_of_classes_is_refused_before_anything_is_written(unweave, run):
    ran = unweave("analyse", run, "--measure", "usage", "--measure", "embedding")
    assert ran.status == 2
    assert "embedding is about inputs, several of a class; these paths' rows are classes" in ran.err
    assert not (run / "tables").exists()


def test_a_dry_run_says_what_would_be_measured_and_writes_nothing(unweave, run):
    before = sorted(run.rglob("*"))
    ran = unweave("analyse", run, "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("accuracy, specificity, ablation, usage, similarity; 2 rows on 449 images: about ")
    found = json.loads(unweave("analyse", run, "--measure", "usage", "--dry-run", "--json").out)
    assert found == {"measures": ["usage"], "rows": 2, "images": 0, "forward_passes": 0, "seconds": 0.0}
    assert sorted(run.rglob("*")) == before
