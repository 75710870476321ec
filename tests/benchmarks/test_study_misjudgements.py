"""All seeds of a study in one test."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.study_misjudgements import adjusted, holm, section, together
from tests.analysis.by_hand import ReadOut, keeping
from unweave.analysis.misjudgements import Confusions

NAN = float("nan")


def test_holm_multiplies_the_smallest_by_the_count_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_no_correction_and_bonferroni_s(chances):
    found = holm(chances)
    assert all(p <= q <= min(1, len(chances) * p) + 1e-12 for p, q in zip(chances, found, strict=True))
    order = np.argsort(chances, kind="stable")
    assert sorted(found) == [found[index] for index in order]


def entry(images, p, correlation_p=NAN, mis=0.5):
    told = {"network": "n", "method": "m", "images": images, "mis": mis, "oth": 0.25, "correlation": correlation_p}
    return {**told, "p": p, "correlation_p": correlation_p, "classes_compared": 4}


def test_sets_of_images_are_corrected_apart_and_what_has_no_p_is_left_out():
    found = adjusted([entry("a", 0.01), entry("a", NAN, mis=NAN), entry("a", 0.02, 0.5), entry("b", 0.03)])
    assert [one.get("p_holm") for one in found] == pytest.approx([0.02, None, 0.02, 0.03])
    assert [one.get("correlation_p_holm") for one in found] == [None, None, 0.5, None]
    assert found[1]["p"] is None


def test_similarities_are_averaged_over_seeds():
    # Of classes 0 and 1: 1 with the first seed, 0 with the second; of 0 and 2: 0 and 1/2; of 0 and 3: none.
    network = ReadOut()
    runs = [keeping(network, [[0], [0], [1], [2]]), keeping(network, [[0], [1], [0, 2], [3]])]
    confusions = Confusions.of((0, 1, 2, 3), np.array([0, 0, 1]), np.array([1, 0, 1]))  # one image of 0 is called 1
    found = together(runs, confusions)
    assert found["mis"] == pytest.approx(1 / 2)
    assert found["oth"] == pytest.approx((1 / 4 + 0) / 2)
    assert found["classes_compared"] == found["misjudged"] == 1


def test_the_page_has_a_line_a_pair_and_says_so_where_nothing_was_measured(tmp_path):
    assert section(tmp_path) == ["Not measured yet."]
    entries = adjusted([entry("a", 0.01), entry("a", NAN, mis=NAN)])
    (tmp_path / "studies_misjudgements.json").write_text(json.dumps({"raw": entries}))
    lines = section(tmp_path)
    assert "| n | m | 50.00, 25.00 (4) | 0.0100 | 0.0100 | - | - | - |" in lines
    assert "| n | m | - | - | - | - | - | - |" in lines
