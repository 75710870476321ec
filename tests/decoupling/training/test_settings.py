"""Settings of training: published schedules by name, refusals."""

import math

import pytest

from unweave.decoupling.training.losses import Weights
from unweave.decoupling.training.settings import SETTINGS, FitSettings
from unweave.errors import SettingError


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "rates"),
    [
        ("cifar", 200, 128, {0: 0.1, 99: 0.1, 100: 0.01, 149: 0.01, 150: 0.001, 199: 0.001}),
        ("imagenet-vgg16", 120, 64, {0: 0.01, 29: 0.01, 30: 0.001, 60: 0.0001, 90: 0.00001, 119: 0.00001}),
        ("imagenet-resnet18", 120, 256, {29: 0.01, 30: 0.001, 59: 0.001, 60: 0.0001, 89: 0.0001, 90: 0.00001}),
    ],
)
def test_the_published_schedules(name, epochs, batch, rates):
    chosen = FitSettings.of(name, {})
    assert (chosen.epochs, chosen.batch, chosen.momentum) == (epochs, batch, 0.9)
    assert {epoch: chosen.rate_of(epoch) for epoch in rates} == pytest.approx(rates)


def test_changes_replace_single_settings():
    chosen = FitSettings.of("cifar", {"epochs": 4, "seed": 3})
    assert (chosen.epochs, chosen.seed, chosen.rate) == (4, 3, SETTINGS["cifar"].rate)
    assert FitSettings.of(chosen, {"batch": 16}).epochs == 4
    assert [chosen.rate_of(epoch) for epoch in range(4)] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_the_record_holds_plain_values():
    record = FitSettings(weights=Weights(divergence=0.5)).record()
    assert record["weights"] == {"mutual_information": 0.01, "divergence": 0.5, "sparsity": 0.001}
    assert record["decay_at"] == [0.5, 0.75]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number, at least 1, found 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch": 1}, "batch must be a whole number, at least 2"),
        ({"batch": True}, "batch must be a whole number"),
        ({"seed": -1}, "seed must be a whole number, at least 0"),
        ({"rate": 0}, "rate must be a number above 0"),
        ({"rate": math.nan}, "rate must be a number above 0"),
        ({"rate": "fast"}, "rate must be a number above 0"),
        ({"controller_rate": -1.0}, "controller_rate must be a number above 0"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"decay_at": (0.5, 1.5)}, "decay_at must hold shares"),
        ({"weights": 1.0}, "weights must be the losses' Weights"),
        ({"augment": "published"}, "augment must be none, cifar or imagenet, found 'published'"),
        ({"precision": "float16"}, "precision must be float32 or bfloat16"),
        ({"recalibrate": -1}, "recalibrate must be a whole number, at least 0, found -1"),
        ({"learning_rate": 1}, "training has no setting 'learning_rate'; it has epochs, batch, rate"),
    ],
)
def test_values_that_cannot_be_are_refused(changes, message):
    with pytest.raises(SettingError, match=message):
        FitSettings.of("fine-tune", changes)


def test_unknown_settings_are_answered_with_the_known():
    with pytest.raises(SettingError, match="no settings 'cifar10'; there are cifar, imagenet-vgg16"):
        FitSettings.of("cifar10", {})
