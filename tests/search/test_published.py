"""The papers' settings by name, against their tables."""

import dataclasses
import inspect

import pytest

import unweave as uw
from unweave.errors import SettingError
from unweave.network.published import PUBLISHED_SITES
from unweave.search.published import PUBLISHED_SETTINGS

NETWORKS = ("vgg16", "resnet50", "densenet121", "darts")


@pytest.mark.parametrize(
    ("data", "betas"), [("imagenet", [4.5, 0.02, 0.02, 0.45]), ("places365", [5.0, 0.02, 0.02, 0.20])]
)
def test_iccv_settings_are_the_table_of_its_program(data, betas):
    found = [uw.published_settings(f"iccv2021:{network}:{data}") for network in NETWORKS]
    assert [settings.beta for settings in found] == betas
    assert {(one.objective, one.rate, one.passes, one.batch, one.augment) for one in found} == {
        ("released", 0.1, 20, 16, "published")
    }


@pytest.mark.parametrize(
    ("data", "rates", "lambdas"),
    [
        ("imagenet", [0.1, 2.5, 0.6, 0.1], [6, 0.03, 0.08, 0.3]),
        ("places365", [0.1, 2.5, 0.6, 0.3], [6, 0.023, 0.02, 0.19]),
    ],
)
def test_preprint_settings_are_those_of_its_section_5(data, rates, lambdas):
    found = [uw.published_settings(f"preprint:{network}:{data}") for network in NETWORKS]
    assert ([one.rate for one in found], [one.beta for one in found]) == (rates, lambdas)
    assert {one.objective for one in found} == {"concept-path"}


def test_every_run_has_a_network_its_sites_and_its_images():
    assert len(PUBLISHED_SETTINGS) == 16
    assert {one.level for one in PUBLISHED_SETTINGS.values()} == set(PUBLISHED_SITES)
    assert {(one.name.split(":")[2], one.classes, one.classes_file) for one in PUBLISHED_SETTINGS.values()} == {
        ("imagenet", 1000, "imagenet"),
        ("places365", 365, None),
    }
    named = {one.name for one in PUBLISHED_SETTINGS.values() if one.weights == "IMAGENET1K_V1"}
    assert named == {f"{paper}:{name}:imagenet" for paper in ("iccv2021", "preprint") for name in NETWORKS[:3]}
    assert {(one.preprocess, one.size) for one in PUBLISHED_SETTINGS.values()} == {("imagenet", 224)}
    models = {one.name.split(":")[1]: one.model for one in PUBLISHED_SETTINGS.values()}
    assert models == {
        **{name: f"torchvision:{name}" for name in NETWORKS[:3]},
        "darts": "zoo:darts_imagenet",
    }


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(SettingError, match="no settings 'iccv2021:vgg:imagenet'; closest: iccv2021:vgg16:imagenet, "):
        uw.published_settings("iccv2021:vgg:imagenet")
    with pytest.raises(SettingError, match="then vgg16, resnet50, densenet121, darts, then imagenet or places365"):
        uw.published_settings("?")


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        uw.published_settings("iccv2021:vgg16:imagenet").beta = 1.0


def test_settings_are_arguments_of_disentangle():
    settings = uw.published_settings("iccv2021:densenet121:imagenet")
    bound = inspect.signature(uw.disentangle).bind("network", "images", **settings.search)
    assert bound.arguments == {
        **{"network": "network", "data": "images", "sites": "iccv2021:densenet121", "objective": "released"},
        **{"beta": 0.02, "rate": 0.1, "passes": 20, "batch": 16, "augment": "published"},
    }
