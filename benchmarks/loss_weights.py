"""What the weights of the losses do to a short training: size, accuracy, and whether paths differ.

    python -m benchmarks.loss_weights

The digits network of the demo, decoupled at `keep` 0.6 and trained for twelve epochs of the `fine-tune` settings in
batches of 32, one value at a time changed. Measured on the 449 digits that were not trained on. `start`: the bias that
controlling modules begin with.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

import unweave as uw
from benchmarks.common import keep as keep_result
from unweave.data.digits import Digits
from unweave.decoupling.training.losses import Weights
from unweave.decoupling.training.settings import SETTINGS
from unweave.zoo.digits import train_digits_network

CHOSEN = {"mutual_information": 0.3, "divergence": 0.05, "sparsity": 0.05, "controller_rate": 20.0, "start": 2.0}
CHANGES = (
    {},
    {"mutual_information": 0.0},
    {"mutual_information": 0.03},
    {"mutual_information": 1.0},
    {"divergence": 0.0},
    {"divergence": 0.5},
    {"sparsity": 0.005},
    {"sparsity": 0.2},
    {"controller_rate": 1.0},
    {"controller_rate": 5.0},
    {"start": 1.0},
)


def measured(network, data, held_out, values, epochs, seed):
    settings = replace(
        SETTINGS["fine-tune"],
        epochs=epochs,
        batch=32,
        seed=seed,
        controller_rate=values["controller_rate"],
        weights=Weights(values["mutual_information"], values["divergence"], values["sparsity"]),
    )
    net = uw.decouple(network, held_out[0][0][None], 0.6, seed=seed)
    for layer in net.controlled.values():
        torch.nn.init.constant_(layer.controller.expand.bias, values["start"])
    table = uw.fit(net, data, held_out, settings=settings, show_progress=False)
    paths, summary = net.paths(held_out), table.summary
    separation = uw.embedding(paths).separation
    return {
        "accuracy": summary["accuracy"],
        "gates_open": summary["gates_open"],
        "gates_in_training": table["gates_in_training"][-1],
        "cost": summary["multiply_accumulates"] / summary["original_multiply_accumulates"],
        "cost_spread": summary["multiply_accumulates_spread"] / summary["original_multiply_accumulates"],
        "different_paths": len(torch.unique(torch.cat(list(paths.masks.values()), 1), dim=0)),
        "dynamic_share": uw.filter_states(paths).summary["dynamic_share"],
        "silhouette": separation["silhouette"][0],
        "agreement_10": separation["agreement_10"][0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network, data, held_out = train_digits_network(), Digits(train=True), Digits(train=False)
    found = []
    for change in CHANGES:
        for seed in range(arguments.seeds):
            figures = measured(network, data, held_out, {**CHOSEN, **change}, arguments.epochs, seed)
            found.append({"changed": change, "seed": seed, **figures})
            print(found[-1], flush=True)
    keep_result(
        "loss_weights",
        {"network": "digits", "keep": 0.6, "epochs": arguments.epochs, "chosen": CHOSEN, "trainings": found},
    )


if __name__ == "__main__":
    main()
