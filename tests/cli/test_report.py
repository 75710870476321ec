"""`unweave report`, as typed."""

import json
from html import unescape

import numpy as np
import pytest

from tests.cli.conftest import copied, finished
from unweave.data.digits import Digits
from unweave.data.labelled import labelled
from unweave.pipeline.report import report

SEARCH = ("--objective", "variational", "--beta", "0.1", "--passes", "2", "--limit-per-class", "4")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Finished searches with seeds 0 and 1."""
    typed = ("disentangle", "{file}:network", "{file}:images", "--validation", "digits", *SEARCH)
    return [finished(tmp_path_factory.mktemp("searched"), *typed, "--seed", seed) for seed in (0, 1)]


@pytest.fixture
def run(searched, user_file, tmp_path):
    return copied(searched[0], tmp_path)


def test_a_report_of_two_seeds_is_written_into_the_run(unweave, searched, run, undrawn):
    typed = ("report", run, "--against", searched[1] / "run", "--mosaics", "8")
    beforehand = json.loads(unweave(*typed, "--dry-run", "--json").out)
    assert (beforehand["rows"], beforehand["images"]) == (10, 449)
    assert beforehand["seconds"] > 0
    assert not (run / "report.html").exists()
    ran = unweave(*typed, "--json")
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)
    text = (run / "report.html").read_text()
    assert said == {"file": str(run / "report.html"), "bytes": len(text.encode())}
    assert "Where in the image it looks" in text
    assert "searches with other seeds</dt><dd>1: seed 1</dd>" in text
    mine = (run.parent / "mine.py").resolve()
    assert f"data of the search</dt><dd>{mine}:images</dd>" in text
    assert "data of the measures</dt><dd>digits</dd>" in text
    measured = Digits(train=False)
    digest = labelled(measured).fingerprint(np.arange(len(measured)))["digest"]
    assert f"images of the measures</dt><dd>449 images of 10 classes, digest {digest}</dd>" in text
    words = unescape(" ".join(text.split()))
    assert 'alt="similarity of sub-architectures at every site. How to read: 1 means' in words


def test_without_images_it_is_refused_in_one_line(unweave, user_file, tmp_path):
    inputs = (f"{user_file}:network", f"{user_file}:images")
    assert unweave("disentangle", *inputs, "--out", tmp_path / "run", *SEARCH).status == 0
    ran = unweave("report", tmp_path / "run")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "give --data" in ran.err
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_seed_of_the_measures_is_the_run_s_unless_given(searched, monkeypatch):
    used = []
    monkeypatch.setattr("unweave.pipeline.report.gather", lambda paths, measuring, against: used.append(measuring.seed))
    monkeypatch.setattr("unweave.views.report.render.render", lambda content: "")
    report(searched[1] / "run")
    report(searched[1] / "run", seed=5)
    assert used == [1, 5]


def test_what_was_searched_on_groups_and_a_hierarchy_are_on_the_page(unweave, run, tmp_path, monkeypatch):
    monkeypatch.setattr("unweave.views.report.render.figure_address", lambda figure: figure.get_supxlabel())
    (tmp_path / "g.csv").write_text("0,even\n2,even\n1,odd\n3,odd\n")
    (tmp_path / "tree").write_text("number even\nnumber odd\neven 0\neven 2\nodd 1\nodd 3\n")
    options = ("--groups", tmp_path / "g.csv", "--hierarchy", tmp_path / "tree")
    ran = unweave("report", run, "--mosaics", "0", "--others", "2", *options)
    assert ran.status == 0, ran.err
    page = (run / "report.html").read_text()
    assert "searched on</dt><dd>40 images of 10 classes" in page
    assert "objective</dt><dd>variational, beta 0.1" in page
    assert "begun from</dt><dd>random, deviation 1, mean 0" in page
    assert "seed of the measures</dt><dd>0<" in page
    words = " ".join(page.split())
    assert "groups that were given; the tree finds them with an adjusted Rand index of" in words
    assert "the hierarchy that was given set classes apart: correlation" in words
    for option, content in (("--groups", "nobody,even\n"), ("--hierarchy", "thing animal\n")):
        (tmp_path / "wrong").write_text(content)
        ran = unweave("report", run, option, tmp_path / "wrong")
        assert (ran.status, ran.err.count("\n")) == (2, 1)
    (tmp_path / "wrong").write_text("0,even\n2,even\n")
    for command in ("report", "analyse"):
        ran = unweave(command, run, "--groups", tmp_path / "wrong", "--dry-run")
        assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "at least two groups must have rows, found 1 of 1" in ran.err
