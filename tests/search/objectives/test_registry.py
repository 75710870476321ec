"""The objectives by name."""

import pytest

from unweave.errors import SettingError
from unweave.search.objectives import OBJECTIVES, Objective, objective_named


def test_registry_names_the_five_objectives_of_the_papers():
    assert set(OBJECTIVES) >= {"released", "variational", "variational-noise", "literal", "concept-path"}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_named_objective_carries_its_settings(name):
    objective = objective_named(name, 0.25, reconstruction=False)
    assert isinstance(objective, Objective)
    assert objective.name == name
    assert objective.source
    settings = objective.settings()
    assert (settings["name"], settings["beta"], settings["reconstruction"]) == (name, 0.25, False)


def test_settings_hold_every_field():
    assert objective_named("variational", 1.0).settings() == {
        "name": "variational",
        "beta": 1.0,
        "reconstruction": True,
        "every_class": False,
    }


def test_unknown_objective_is_refused_with_the_known_ones():
    with pytest.raises(SettingError, match=r"no objective 'nad'; there are released, variational"):
        objective_named("nad", 0.1)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_negative_beta_is_refused(name):
    with pytest.raises(SettingError, match="beta must be a number from 0, found -1"):
        objective_named(name, -1)


def test_objectives_are_frozen():
    with pytest.raises(AttributeError, match="beta"):
        objective_named("released", 0.1).beta = 0.2
