"""What a search is asked for."""

import numpy as np
import pytest

from unweave.errors import SettingError
from unweave.search.objectives.released import Released
from unweave.search.objectives.selective import Selective
from unweave.search.settings import Settings


def test_a_record_leaves_out_what_changes_speed_alone():
    fast = Settings(beta=0.1, rows_per_batch=3, classes_per_shard=2, keep_activations=True, threads=8)
    assert fast.record() == Settings(beta=0.1).record()
    assert not {"rows_per_batch", "classes_per_shard", "keep_activations", "threads"} & fast.record().keys()


def test_a_record_holds_what_changes_the_result():
    asked = Settings("variational", 0.5, classes=[1, 2], passes=3, seed=4, groups={"a": (1, 2)}, against={"a": 3})
    assert asked.record() == {
        "objective": "variational",
        "beta": 0.5,
        "reconstruction": True,
        "classes": [1, 2],
        "groups": {"a": [1, 2]},
        "against": {"a": 3},
        "limit_per_class": None,
        "rate": 0.1,
        "passes": 3,
        "batch": 16,
        "augment": "none",
        "seed": 4,
        "precision": "float32",
    }


def test_the_sweep_is_in_the_record_of_an_elbow_alone():
    assert Settings("released", betas=(1, 2, 3), elbow_limit_per_class=5).record()["betas"] == [1.0, 2.0, 3.0]
    assert Settings("released", elbow_limit_per_class=5).record()["elbow_limit_per_class"] == 5
    assert not {"betas", "elbow_limit_per_class"} & Settings(beta=1.0).record().keys()


def test_numbers_of_numpy_are_recorded_as_plain_ones():
    record = Settings(beta=np.float32(0.5), passes=np.int64(2), classes=np.array([0, 1])).record()
    assert (record["beta"], record["passes"], record["classes"]) == (0.5, 2, [0, 1])
    assert [type(record["beta"]), type(record["passes"]), type(record["classes"][0])] == [float, int, int]


def test_an_objective_is_recorded_by_its_own_settings():
    asked = Settings(objective=Released(0.2))
    assert asked.wants_elbow is False
    assert asked.objective_with("ignored") == Released(0.2)
    assert (asked.record()["objective"], asked.record()["beta"]) == (Released(0.2).settings(), 0.2)
    assert asked.record() != Settings(objective=Released(0.3)).record()


def test_beta_goes_into_the_named_objective():
    assert Settings("released").wants_elbow
    assert Settings("released").objective_with(0.7) == Released(0.7)
    off = Settings("released", beta=1, reconstruction=False)
    assert off.objective_with(1) == Released(1.0, reconstruction=False)


def test_nothing_given_is_selective_from_attribution():
    asked = Settings()
    assert asked.objective_with(asked.beta) == Selective(1.0)
    assert (asked.start, asked.wants_elbow) == ("attribution", False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objective": Released(0.1), "beta": 0.2}, "brings its own beta and reconstruction"),
        ({"objective": Released(0.1), "reconstruction": False}, "brings its own beta and reconstruction"),
        ({"objective": "released", "reconstruction": False}, "give beta a number with reconstruction=False"),
        ({"objective": "nad"}, "no objective 'nad'"),
        ({"objective": "nad", "beta": 0.1}, "no objective 'nad'"),
        ({"objective": "released", "betas": (1, 2, 2)}, "at least three betas, found 2"),
        ({"beta": "knee"}, "must be a number or 'elbow', found 'knee'"),
        ({"beta": True}, "must be a number or 'elbow', found True"),
        ({"elbow_limit_per_class": 0}, "elbow_limit_per_class must be a whole number from 1, found 0"),
        ({"elbow_limit_per_class": 2.5}, "elbow_limit_per_class must be a whole number from 1, found 2.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(SettingError, match=message):
        Settings(**given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "released", "beta": 0.1}, "keep= needs the objective 'selective' by name, found 'released'"),
        ({"objective": Selective(1.0)}, "keep= needs the objective 'selective' by name"),
        ({"beta": 1.0}, "beta has no part in it"),
        ({"start": "random"}, "start has no part in it"),
        ({"rate": 0.2}, "rate has no part in it"),
        ({"reconstruction": False}, "reconstruction has no part in it"),
        ({"betas": (0.1, 1.0, 3.0)}, "betas has no part in it"),
        ({"elbow_limit_per_class": 3}, "elbow_limit_per_class has no part in it"),
    ],
)
def test_a_told_size_goes_with_nothing_else_that_would_decide_it(settings, message):
    with pytest.raises(SettingError, match=message):
        Settings(keep=0.5, **settings)


def test_a_told_size_is_recorded_and_leaves_penalty_and_reconstruction_out():
    told = Settings(keep=0.5)
    assert told.record()["keep"] == 0.5
    assert told.objective_with(told.beta) == Selective(0.0, reconstruction=False)
    assert "keep" not in Settings().record()
