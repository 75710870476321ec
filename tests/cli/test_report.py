"""`unweave report`, as typed."""

import json

import pytest

SEARCH = ("--objective", "variational", "--beta", "0.1", "--passes", "2", "--limit-per-class", "4")


@pytest.fixture
def searched(unweave, user_file, tmp_path):
    """Finished searches, by seed."""

    def search(seed):
        folder = tmp_path / f"run{seed}"
        inputs = (f"{user_file}:network", f"{user_file}:images", "--validation", "digits")
        ran = unweave("disentangle", *inputs, "--out", folder, "--seed", seed, *SEARCH)
        assert ran.status == 0, ran.err
        return folder

    return search


def test_a_report_of_two_seeds_is_written_into_the_run(unweave, searched):
    run, other = searched(0), searched(1)
    ran = unweave("report", run, "--against", other, "--mosaics", "8", "--json")
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)
    text = (run / "report.html").read_text()
    assert said == {"file": str(run / "report.html"), "bytes": len(text.encode())}
    assert "Where in the image it looks" in text
    assert "searches with other seeds</dt><dd>1</dd>" in text


def test_without_images_it_is_refused_in_one_line(unweave, user_file, tmp_path):
    inputs = (f"{user_file}:network", f"{user_file}:images")
    assert unweave("disentangle", *inputs, "--out", tmp_path / "run", *SEARCH).status == 0
    ran = unweave("report", tmp_path / "run")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "give --data" in ran.err
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_seed_of_the_measures_is_the_run_s_unless_given(searched, undrawn):
    from unweave.pipeline.report import report

    run = searched(3)
    options = {"mosaics": 0, "others": 2, "show_progress": False}
    assert "seed of the measures</dt><dd>3<" in report(run, **options).read_text()
    assert "seed of the measures</dt><dd>5<" in report(run, seed=5, **options).read_text()


def test_what_was_searched_on_and_groups_are_on_the_page(unweave, searched, tmp_path, undrawn):
    run = searched(0)
    (tmp_path / "g.csv").write_text("0,even\n2,even\n1,odd\n3,odd\n")
    ran = unweave("report", run, "--mosaics", "0", "--others", "2", "--groups", tmp_path / "g.csv")
    assert ran.status == 0, ran.err
    page = (run / "report.html").read_text()
    assert "searched on</dt><dd>40 images of 10 classes" in page
    assert "objective</dt><dd>variational, beta 0.1" in page
    assert "begun from</dt><dd>random, deviation 1, mean 0" in page
    (tmp_path / "g.csv").write_text("nobody,even\n")
    ran = unweave("report", run, "--groups", tmp_path / "g.csv")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
