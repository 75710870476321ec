"""What the cost/accuracy curve and its baselines share: the same budget for all, comparisons on the same images."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import fine_tuning
from benchmarks.fine_tuning import (
    Parts,
    add_options,
    budget_of,
    fine_tune,
    multiply_accumulates,
    once,
    originals,
    packed,
    paired,
    save_weights,
    settings_of,
    started,
    top1,
    unpacked,
)
from tests.benchmarks.conftest import residual
from tests.decoupling.training.trainings import images
from tests.tiny import TinyPlain
from unweave.data.labelled import labelled
from unweave.decoupling.training.images import TrainingImages
from unweave.decoupling.training.settings import SETTINGS, FitSettings

SHORT = FitSettings(epochs=3, batch=8, rate=0.05, augment="cifar")
HITS = {"test": np.array([1, 1, 1, 0, 1, 0, 1, 1, 1, 1], bool)}
OTHERS = {"test": np.array([1, 0, 1, 1, 0, 0, 1, 1, 1, 0], bool)}


def noise():
    return TrainingImages(labelled(images()), torch.device("cpu"), True)


def same(network, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())


def parsed(typed):
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--sparsity", type=float)
    return parser.parse_args(typed)


# ---- Options and images


def test_options_change_single_settings_and_weights_of_losses(typed):
    settings = settings_of(parsed([*typed, "--rate", "0.5", "--sparsity", "0.25"]))
    assert (settings.rate, settings.batch, settings.weights.sparsity) == (0.5, 8, 0.25)
    assert settings.epochs == SETTINGS["fine-tune"].epochs
    assert settings.weights.divergence == SETTINGS["fine-tune"].weights.divergence


def test_the_budget_is_what_networks_without_controlling_modules_have_too():
    plain, decoupled = budget_of(SHORT, 24), budget_of(replace(SHORT, controller_rate=7.0, recalibrate=64), 24)
    assert plain == decoupled
    assert (plain["images"], plain["epochs"], plain["rate"]) == (24, 3, 0.05)
    assert plain != budget_of(SHORT, 23)
    assert plain != budget_of(replace(SHORT, epochs=4), 24)


@pytest.mark.usefixtures("small")
def test_the_first_images_train_and_the_last_are_held_out():
    parts = Parts("resnet20", 5, 3, "cpu")
    whole = images(48).tensors[0]
    assert torch.equal(parts.train.images(range(5)), whole[:5])
    assert torch.equal(parts.held_out.images(range(3)), whole[45:])
    assert (len(parts.train), len(parts.held_out), len(parts.test)) == (5, 3, 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("train", "held_out", "message"),
    [(41, 8, "--train must be from 2 to 40, found 41"), (24, 9, "--held-out must be from 2 to 8, found 9")],
)
def test_more_images_than_there_are_is_one_line(train, held_out, message):
    with pytest.raises(SystemExit, match=message):
        Parts("resnet20", train, held_out, "cpu")


@pytest.mark.usefixtures("small")
def test_a_bad_setting_is_one_line(typed):
    with pytest.raises(SystemExit, match="batch must be a whole number, at least 2, found 1"):
        started(parsed([*typed, "--batch", "1"]))


# ---- Training


def test_an_interrupted_training_goes_on_with_the_next_epoch_to_the_same_weights(tmp_path, monkeypatch, epochs_trained):
    whole = fine_tune(residual(), noise(), SHORT, tmp_path / "whole.safetensors")
    assert not same(whole, residual())
    assert epochs_trained == [0, 1, 2]
    save = fine_tuning._save

    def stopping(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tuning, "_save", stopping)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(residual(), noise(), SHORT, tmp_path / "stopped.safetensors")
    monkeypatch.setattr(fine_tuning, "_save", save)
    epochs_trained.clear()
    again = fine_tune(residual(), noise(), SHORT, tmp_path / "stopped.safetensors")
    assert epochs_trained == [1, 2]
    assert same(again, whole)


def test_a_finished_training_is_read_and_nothing_is_trained(tmp_path, epochs_trained):
    file = tmp_path / "one.safetensors"
    first = fine_tune(residual(), noise(), replace(SHORT, epochs=1), file)
    epochs_trained.clear()
    assert same(fine_tune(residual(), noise(), replace(SHORT, epochs=1), file), first)
    assert epochs_trained == []


def test_a_training_that_was_begun_otherwise_is_one_line(tmp_path):
    file = tmp_path / "one.safetensors"
    one = replace(SHORT, epochs=1)
    fine_tune(residual(), noise(), one, file)
    for network, settings, more in (
        (residual(), replace(one, rate=0.01), {}),
        (residual(), one, {"before": 1}),
        (residual(), one, {"penalty": 0.1}),
        (TinyPlain(), one, {}),
    ):
        with pytest.raises(SystemExit, match=r"was begun with another network, other images or other settings"):
            fine_tune(network, noise(), settings, file, **more)


def test_epochs_after_others_have_the_orders_of_their_numbers(tmp_path, epochs_trained):
    fine_tune(residual(), noise(), replace(SHORT, epochs=2), tmp_path / "rest.safetensors", before=4)
    assert epochs_trained == [4, 5]


def test_the_penalty_moves_each_scale_by_its_sign_times_rate_and_weight(tmp_path):
    one = FitSettings(epochs=1, batch=24, rate=0.05, weight_decay=0.0)  # a single step

    def scales(penalty):
        network = residual()
        network.one.bn1.weight.data[:3] *= -1
        fine_tune(network, noise(), one, tmp_path / f"{penalty}", penalised=(network.one.bn1,), penalty=penalty)
        return network.one.bn1.weight.detach(), network.two.bn1.weight.detach()

    (penalised, other), (free, untouched) = scales(0.1), scales(0.0)
    moved = torch.tensor([0.005] * 3 + [-0.005] * 3)
    torch.testing.assert_close(penalised - free, moved, rtol=0, atol=1e-6)
    assert torch.equal(other, untouched)


def test_a_loss_that_is_not_a_number_is_one_line_with_the_epoch(tmp_path):
    network = residual()
    network.classifier.bias.data[0] = float("nan")
    with pytest.raises(SystemExit, match="the loss became NaN or infinite in epoch 1; lower the rate"):
        fine_tune(network, noise(), SHORT, tmp_path / "one.safetensors")


# ---- Parts that are done once


def test_a_part_that_is_done_is_read_instead_of_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"numbers": [1, 2]}

    file = tmp_path / "part.json"
    assert once(file, {"share": 0.5}, make) == once(file, {"share": 0.5}, make) == {"numbers": [1, 2]}
    assert made == [1]
    with pytest.raises(SystemExit, match=r"part\.json is of other settings; give another --work"):
        once(file, {"share": 0.4}, make)


@pytest.mark.usefixtures("small")
def test_the_original_is_trained_once_and_its_weights_are_kept(typed, tmp_path, epochs_trained):
    arguments = parsed([*typed, "--epochs", "1", "--label", "_tiny"])
    settings, parts = started(arguments)
    first = originals(parts, settings, arguments)
    again = originals(parts, settings, arguments)
    assert epochs_trained == [0]
    assert all((again[name][part] == hits).all() for name, found in first.items() for part, hits in found.items())
    assert {name: {part: len(hits) for part, hits in found.items()} for name, found in first.items()} == {
        "given": {"held_out": 8, "test": 10},
        "fine_tuned": {"held_out": 8, "test": 10},
    }
    assert same(parts.network, residual())
    kept = residual()
    kept.load_state_dict(load_file(tmp_path / "fine_tuned_resnet20_tiny.safetensors"))
    assert not same(kept, parts.network)
    assert all((parts.hits(kept)[part] == hits).all() for part, hits in first["fine_tuned"].items())


# ---- Measures


def test_multiply_accumulates_by_hand():
    first, second, classifier = 8 * 8 * 4 * 3 * 9, 4 * 4 * 6 * 4 * 9, 6 * 3
    assert multiply_accumulates(TinyPlain(), torch.zeros(2, 3, 8, 8)) == first + second + classifier


def test_accuracy_and_paired_differences_by_hand():
    assert top1(HITS) == {"test": pytest.approx(80)}
    # +100 three times, -100 once, 0 six times: mean 20, variance (4 * 100**2 - 10 * 20**2) / 9
    reach = 1.96 * (36_000 / 9 / 10) ** 0.5
    found = paired(HITS, OTHERS)["test"]
    assert found == pytest.approx({"points": 20, "low": 20 - reach, "high": 20 + reach})


@pytest.mark.usefixtures("small")
def test_hits_are_packed_and_unpacked():
    parts = Parts("resnet20", 24, 8, "cpu")
    text = packed(HITS)
    assert text == {"test": "ebc0"}
    assert (unpacked(text, parts)["test"] == HITS["test"]).all()


def test_weights_are_saved_whole_or_in_half_precision_where_they_are_large(tmp_path, monkeypatch):
    network = residual()
    save_weights(network, tmp_path / "whole.safetensors")
    whole = load_file(tmp_path / "whole.safetensors")
    assert all(torch.equal(value, whole[name]) for name, value in network.state_dict().items())
    monkeypatch.setattr(fine_tuning, "MOST_BYTES", 100)
    assert save_weights(network, tmp_path / "half.safetensors") == "half.safetensors"
    half = load_file(tmp_path / "half.safetensors")
    assert half["one.conv1.weight"].dtype == torch.float16
    assert half["one.bn1.num_batches_tracked"].dtype == torch.int64
