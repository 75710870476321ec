"""Filter states and the map of paths of a trained decoupled network, beside the paper's Fig. 3 and 4.

    python -m benchmarks.input_paths resnet20 checkpoints/decoupled_resnet20_keep0.6.safetensors

The weights are those that benchmarks.decoupled saved. Paths are of the 1,000 test images, and, for the map, of as many
held-out training images besides.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset

import unweave as uw
from benchmarks.common import keep, user_networks
from benchmarks.fine_tuning import NETWORKS
from benchmarks.images import data_of
from benchmarks.pages import DOCS
from unweave.data.labelled import labelled
from unweave.views.input_plots import plot_embedding, plot_filter_states
from unweave.views.style import save_figure

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("weights", type=Path, help="a decoupled network, as benchmarks.decoupled saved it")
    parser.add_argument("--held-out", type=int, default=1000, help="of the last 5,000 training images")
    arguments = parser.parse_args()
    train, test = data_of(arguments.network)
    network = getattr(user_networks(), arguments.network)().eval()
    net = uw.load_decoupled(network, arguments.weights, test.images([0, 1]))
    paths = net.paths(test)
    positions = np.linspace(len(train) - 5000, len(train) - 1, arguments.held_out).astype(int)
    both = labelled(ConcatDataset([test.dataset, Subset(train.dataset, positions.tolist())]))
    states = uw.filter_states(paths)
    more = net.paths(both, with_scores=False)
    mapped = uw.embedding(more, class_names=dict(enumerate(CIFAR10)))
    found = {name: list(values) for name, values in states.columns.items()}
    shares = paths.kept().mean(0)
    right = [a == b for a, b in zip(paths.rows.predictions, paths.rows.labels, strict=True)]
    usual = uw.embedding(paths).separation
    keep(
        f"input_paths_{arguments.network}",
        {
            "network": arguments.network,
            "weights": arguments.weights.name,
            "test_images": len(paths),
            "test_top1_percent": 100 * float(np.mean(right)),
            "different_paths": len(torch.unique(torch.cat(list(paths.masks.values()), 1), dim=0)),
            "states": found,
            "shares_of_all_filters": dict(states.summary),
            "share_selected": dict(zip(paths.sites.names, shares.tolist(), strict=True)),
            "separation_test_images": {name: list(values) for name, values in usual.columns.items()},
            "separation_with_held_out_images": {name: list(v) for name, v in mapped.separation.columns.items()},
            "map": mapped.how,
        },
    )
    save_figure(plot_filter_states(states), DOCS / "images" / f"{arguments.network}_states")
    save_figure(plot_embedding(mapped), DOCS / "images" / f"{arguments.network}_map")


if __name__ == "__main__":
    main()
