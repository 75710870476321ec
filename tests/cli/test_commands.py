"""The commands, used as a user would, on a network and data of the user's own file."""

import json

import pytest

from tests.cli.conftest import copied, finished
from unweave.paths import Paths

SEARCH = ("--objective", "variational", "--beta", "0.1", "--passes", "2", "--limit-per-class", "4")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    typed = ("disentangle", "{file}:network", "{file}:images", "--validation", "digits", *SEARCH)
    return finished(tmp_path_factory.mktemp("searched"), *typed)


@pytest.fixture
def run(searched, user_file, tmp_path):
    """A finished search of the user's file."""
    return copied(searched, tmp_path)


@pytest.mark.parametrize("command", ["demo", "sites", "disentangle", "analyse"])
def test_every_command_has_help_with_an_example(unweave, command):
    ran = unweave(command, "--help")
    assert ran.status == 0
    assert f"Example: unweave {command}" in " ".join(ran.out.split())


def test_sites_lists_names_channels_and_shapes(unweave, user_file):
    ran = unweave("sites", f"{user_file}:network", "--input", "1x8x8")
    assert ran.status == 0
    assert "2 sites, 14 channels" in ran.out
    assert "1/relu:0" in ran.out
    assert "6 x 8 x 8" in ran.out


def test_sites_as_json_is_one_object(unweave, user_file):
    listed = json.loads(unweave("sites", f"{user_file}:network", "--input", "1x8x8", "--json").out)
    assert [site["channels"] for site in listed["sites"]] == [6, 8]


UNKNOWN = """
from torch import nn

class Heap(nn.Module):
    def forward(self, values):
        return values.tril()

def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), Heap(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(48, 2))
"""


def test_sites_names_operations_that_the_table_does_not_know(unweave, tmp_path):
    file = tmp_path / "heap.py"
    file.write_text(UNKNOWN)
    typed = ("sites", f"{file}:network", "--input", "1x8x8", "--level", "filter")
    assert unweave(*typed).out.splitlines()[-1].startswith("channels are lost track of at 1/tril:0: operations that")
    assert json.loads(unweave(*typed, "--json").out)["unknown"] == ["1/tril:0"]


def test_sites_by_name(unweave, user_file):
    ran = unweave("sites", f"{user_file}:network", "--input", "1x8x8", "--level", "0/conv2d:0", "--json")
    assert [site["name"] for site in json.loads(ran.out)["sites"]] == ["0/conv2d:0"]


def test_disentangle_writes_paths_that_load_and_says_what_next(unweave, user_file, run):
    paths = Paths.load(run / "paths.safetensors")
    assert len(paths) == 10
    assert paths.manifest["objective"]["name"] == "variational"
    assert paths.manifest["data"].keys() == {"search", "validation"}


def test_disentangle_searches_the_named_classes_only(unweave, user_file, tmp_path):
    ran = unweave(
        "disentangle",
        f"{user_file}:network",
        "digits",
        "--out",
        tmp_path / "few",
        *SEARCH,
        "--classes",
        "two,7",
        "--json",
    )
    assert json.loads(ran.out)["rows"] == ["two", "seven"]


def test_analyse_prints_tables_and_writes_them_and_figures(unweave, run):  # of all measures: test_analyse.py
    ran = unweave("analyse", run, "--measure", "accuracy", "--measure", "usage")
    assert ran.status == 0, ran.err
    for name in ("accuracy", "accuracy_histogram", "usage"):
        assert json.loads((run / "tables" / f"{name}.json").read_text())["columns"]
        assert (run / "tables" / f"{name}.csv").stat().st_size > 0
    for name in ("accuracy", "usage"):
        assert (run / "figures" / f"{name}.png").stat().st_size > 0
        assert (run / "figures" / f"{name}.svg").stat().st_size > 0
    assert "449 images" in ran.out


def test_analyse_one_measure_as_json(unweave, run):
    found = json.loads(unweave("analyse", run, "--measure", "usage", "--json").out)
    assert found["tables"].keys() == {"usage"}
    assert not (run / "tables" / "accuracy.json").exists()


def test_analyse_says_when_the_images_are_those_of_the_search(unweave, user_file, run):
    ran = unweave("analyse", run, "--data", f"{user_file}:images", "--measure", "accuracy")
    assert "THAT THE SEARCH SAW" in ran.out


def test_analyse_refuses_the_run_after_its_network_changed(unweave, user_file, run):
    user_file.write_text(user_file.read_text().replace("manual_seed(0)", "manual_seed(5)"))
    ran = unweave("analyse", run, "--measure", "accuracy")
    assert ran.status == 2
    assert "another network" in ran.err
    assert "'0.weight'" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sites", "nothing"), "no model 'nothing'"),
        (("sites", "missing.py:f"), "no file missing.py"),
        (("sites", "{file}:nothing"), "has no function 'nothing'; it has"),
        (("sites", "{file}:not_a_network"), "returned int"),
        (("sites", "{file}:network", "--input", "1xeight"), "--input must be a shape"),
        (("sites", "{file}:network", "--input", "1x8x8", "--level", "blocks"), "no level 'blocks'"),
        (("sites", "{file}:network", "--input", "3x8x8"), "cannot be captured"),
        (("sites", "torchvision:nothing", "--weights", "random"), "no classification network 'nothing'"),
        (("disentangle", "{file}:network", "digit", "--out", "{out}"), "no data 'digit'"),
        (("disentangle", "{file}:network", "imagefolder:{out}", "--out", "{out}"), "give --preprocess"),
        (
            ("disentangle", "{file}:network", "imagefolder:{out}", "--preprocess", "unit", "--out", "{out}"),
            "no folder",
        ),
        (
            ("disentangle", "{file}:network", "digits", "--out", "{out}", "--beta", "x"),
            "--beta must be a number or elbow",
        ),
        (("disentangle", "{file}:network", "digits", "--out", "{out}", "--objective", "x"), "no objective 'x'"),
        (("disentangle", "{file}:network", "digits", "--out", "{out}", "--classes", "ten"), "no class 'ten'"),
        (("disentangle", "{file}:network", "digits", "--out", "{out}", "--device", "moon"), "device 'moon'"),
        (("disentangle", "{file}:network", "digits", "--out", "{out}", "--augment", "x"), "no augmentation 'x'"),
        (("analyse", "{out}"), "not a run folder"),
        (
            ("disentangle", "{file}:network", "--out", "{out}"),
            "Missing argument 'TRAIN'; see: unweave disentangle --help",
        ),
        (
            ("disentangle", "{file}:network", "digits", "--out", "{out}", "--passes", "x"),
            "Invalid value for '--passes'",
        ),
        (("disentangle", "{file}:network", "digits", "--out", "{out}", "--nope"), "No such option: --nope"),
        (
            ("disentangle", "{file}:Dictionary", "digits", "--out", "{out}", "--beta", "1"),
            "give logits= or --logits (the key",
        ),
        (("disentangle", "{file}:infinite", "digits", "--out", "{out}", "--beta", "1"), "1/relu:0"),
        (("disentangle", "{file}:scripted", "digits", "--out", "{out}", "--beta", "1"), "script"),
        (("disentangle", "{file}:Pair", "digits", "--out", "{out}", "--beta", "1"), "torch.where"),
        (("disentangle", "{file}:network", "{file}:Stream", "--out", "{out}"), "for a stream"),
        (("disentangle", "zoo:digits", "digits", "--weights", "{file}", "--out", "{out}"), "mine.py"),
        (("disentagle",), "No such command 'disentagle'"),
    ],
    ids=lambda value: " ".join(map(str, value[:2])) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_status_2_and_writes_nothing(unweave, user_file, tmp_path, arguments, message):
    out = tmp_path / "out"
    ran = unweave(*(a.format(file=user_file, out=out) for a in arguments))
    assert ran.status == 2
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""
    assert not out.exists()


def test_an_unknown_measure_is_refused_before_any_work(unweave, run):
    ran = unweave("analyse", run, "--measure", "beauty")
    assert ran.status == 2
    assert "no measure 'beauty'; there are accuracy" in ran.err


def test_measures_that_need_images_say_how_to_give_them(unweave, user_file, tmp_path):
    folder = tmp_path / "bare"
    assert unweave("disentangle", f"{user_file}:network", "digits", "--out", folder, *SEARCH).status == 0
    ran = unweave("analyse", folder, "--measure", "accuracy")
    assert ran.status == 2
    assert "--data" in ran.err


def test_progress_is_silent_where_standard_error_is_no_terminal(unweave, user_file, tmp_path):
    ran = unweave("disentangle", f"{user_file}:network", "digits", "--out", tmp_path / "quiet", *SEARCH)
    assert ran.err == "" or ran.err.startswith("unweave: warning:")


def test_another_search_into_a_finished_folder_is_refused(unweave, user_file, run):
    before = (run / "paths.safetensors").read_bytes()
    ran = unweave("disentangle", f"{user_file}:network", "digits", "--out", run, *SEARCH)
    assert ran.status == 2
    assert "was begun with other search images: 40 of 10 classes" in ran.err
    assert (run / "paths.safetensors").read_bytes() == before


def test_the_same_command_again_reads_the_finished_result(unweave, user_file, run):
    before = (run / "paths.safetensors").stat().st_mtime_ns
    arguments = (f"{user_file}:network", f"{user_file}:images", "--validation", "digits", "--out", run, *SEARCH)
    ran = unweave("disentangle", *arguments)
    assert ran.status == 0
    assert "holds this search already" in ran.err
    assert "10 sub-architectures" in ran.out
    assert (run / "paths.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--passes", 3), "was begun with passes = 2, this call has 3"),
        (("--seed", 1), "was begun with seed = 0, this call has 1"),
        (("--beta", 0.2), "was begun with beta = 0.1, this call has 0.2"),
        (("--limit-per-class", 2), "was begun with limit_per_class = 4, this call has 2"),
    ],
)
def test_a_changed_setting_is_refused_by_name(unweave, user_file, run, option, message):
    ran = unweave("disentangle", f"{user_file}:network", f"{user_file}:images", "--out", run, *SEARCH, *option)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(unweave, user_file, tmp_path):
    arguments = ("disentangle", f"{user_file}:network", f"{user_file}:images", "--out", tmp_path / "run", *SEARCH)
    ran = unweave(*arguments, "--dry-run")
    assert ran.status == 0
    assert "10 rows, 40 images x 2 passes" in ran.out
    found = json.loads(unweave(*arguments, "--dry-run", "--json").out)
    assert (found["visits"], found["rows"], found["passes"]) == (80, 10, 2)
    assert min(found["seconds"], found["memory"], found["disk"]) > 0
    assert not (tmp_path / "run").exists()


def test_groups_and_against_make_the_rows(unweave, user_file, tmp_path):
    (tmp_path / "groups.json").write_text('{"round": [0, 6, "8"], "straight": [1, 7]}')
    grouped = ("--groups", tmp_path / "groups.json", "--against", "2,3")
    arguments = ("disentangle", f"{user_file}:network", f"{user_file}:images", "--out", tmp_path / "run", *SEARCH)
    assert unweave(*arguments, *grouped).status == 0
    rows = Paths.load(tmp_path / "run" / "paths.safetensors").rows
    assert (rows.names, rows.members, rows.against) == (("round", "straight"), ((0, 6, 8), (1, 7)), ((2, 3), (2, 3)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "must hold an object"),
        ('{"a": 1}', "group 'a' must list class names or indices"),
        ('{"a": []}', "group 'a' must list class names or indices"),
        ('{"a": [true]}', "group 'a' must list class names or indices"),
        ('{"a": ["ten"]}', "no class 'ten'"),
        ('{"a": [11]}', "names class 11, the network has classes 0 to 9"),
        ('{"a": [1, 1]}', "names a class twice"),
    ],
)
def test_a_bad_file_of_groups_is_one_line(unweave, user_file, tmp_path, content, message):
    (tmp_path / "groups.json").write_text(content)
    arguments = ("disentangle", f"{user_file}:network", f"{user_file}:images", "--out", tmp_path / "run", *SEARCH)
    ran = unweave(*arguments, "--groups", tmp_path / "groups.json")
    assert (ran.status, len(ran.err.strip().splitlines())) == (2, 1)
    assert message in ran.err
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_search(unweave, user_file, tmp_path):
    (tmp_path / "file").write_text("")
    ran = unweave("disentangle", f"{user_file}:network", "digits", "--out", tmp_path / "file" / "run", *SEARCH)
    assert ran.status == 2
    assert "cannot be written to" in ran.err


def test_the_manifest_records_what_was_typed(run):
    notes = Paths.load(run / "paths.safetensors").manifest["inputs"]
    assert notes["model"] == "mine.py:network"


def test_ctrl_c_ends_with_one_line_that_says_how_to_go_on(unweave, user_file, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("unweave.search.search.Search.run", interrupted)
    arguments = (f"{user_file}:network", f"{user_file}:images", "--beta", "0.1", "--out", tmp_path / "run")
    ran = unweave("disentangle", *arguments)
    assert (ran.status, ran.out) == (130, "")
    assert ran.err == "unweave: stopped; what a run folder holds is kept: repeat the command to go on\n"


def test_a_run_that_left_images_out_is_not_gone_on_with_strictly(unweave, user_file, tmp_path):
    out = tmp_path / "run"
    typed = ("disentangle", f"{user_file}:network", "digits", "--out", out, *SEARCH)
    assert unweave(*typed).status == 0
    before = (out / "inputs.json").read_bytes()
    ran = unweave(*typed, "--strict")
    assert ran.status == 2
    assert "was begun with strict = False, this call has True" in ran.err
    assert (out / "inputs.json").read_bytes() == before


def test_a_dry_run_of_a_finished_search_has_nothing_to_do_and_writes_nothing(unweave, user_file, tmp_path):
    out = tmp_path / "run"
    typed = ("disentangle", f"{user_file}:network", "digits", "--out", out, *SEARCH)
    assert unweave(*typed).status == 0
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    assert unweave(*typed, "--dry-run").out == "nothing is left to do\n"
    assert json.loads(unweave(*typed, "--dry-run", "--json").out)["seconds"] == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before


def test_an_unfinished_run_is_not_measured_but_told_to_be_finished(unweave, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    ran = unweave("analyse", tmp_path)
    assert ran.status == 2
    assert "its search has not finished; repeat the command that began it" in ran.err


def test_a_run_made_from_python_says_why_the_command_cannot_measure_it(unweave, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "paths.safetensors").touch()
    ran = unweave("analyse", tmp_path)
    assert ran.status == 2
    assert "made from Python; measure it there" in ran.err
