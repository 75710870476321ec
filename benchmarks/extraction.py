"""Really smaller networks: equality, size, multiply-accumulates and time before and after extraction.

    python -m benchmarks.extraction --network vgg16_half --repeats 9
    python -m benchmarks.extraction --network resnet56 --run run --rows 3

The five networks of `networks.py` (UNWEAVE_REAL_DATA) with the paths of a finished run (`--run`), or without one with
random masks that keep `--share` of every site's channels; VGG16-BN and ResNet-50 of torchvision with random weights and
random masks. Rows: the first `--rows` classes one by one, then the union of the first ten.

`vgg16_half` is VGG16 whose every convolution keeps half of its channels and both hidden layers half of their neurons:
(time ratio) / (arithmetic ratio) at batch 32 on one thread says how much of the saved arithmetic is saved time. Times
are medians, the two networks taking turns. `--rewritten` also compares with the whole network written in the same way
(norms folded, channels-last), so that what cutting saves can be told from what that does.
"""

from __future__ import annotations

import argparse
import time

import torch
import torchvision

from benchmarks.common import keep, user_networks
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.surgery.cost import extraction_cost
from unweave.surgery.extract import extract

USER = ("resnet20", "resnet56", "densenet40", "mobilenet_v1", "squeezenet")
SIZES = {"resnet20": 32, "resnet56": 32, "densenet40": 32}
UNION = 10


def network_named(name):
    """The network in evaluation mode; those of torchvision have random weights."""
    if name in USER:
        return getattr(user_networks(), name)()
    torch.manual_seed(0)
    kinds = {"vgg16_half": "vgg16", "vgg16_bn": "vgg16_bn", "resnet50": "resnet50"}
    network = torchvision.models.get_model(kinds[name], weights=None).eval()
    for module in network.modules():  # statistics that are not those of an untrained network
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.7, 1.5)
    return network


def random_paths(network, example, level, share, rows, exactly=False):
    """Masks that keep `share` of every site's channels (of `exactly` so many, or of each channel's own chance)."""
    sites = find_sites(network, example, level)
    masks = {}
    for site in sites:
        order = torch.rand(rows, site.channels)
        if exactly:
            kept = round(share * site.channels)
            masks[site.name] = order.argsort(1).argsort(1) < kept
        else:
            masks[site.name] = order < share
            masks[site.name][:, 0] = True
    return Paths.from_masks(masks, network, example, classes=list(range(rows)))


def measured(network, row, example, options, **settings):
    """One row's record; `rewritten`: the same against the whole network written in the same way (all masks open)."""
    begun = time.perf_counter()
    small = extract(network, row, example, round_to=options.round_to, **settings)
    seconds = time.perf_counter() - begun
    table = extraction_cost(network, small, example, batches=options.batches, repeats=options.repeats)
    rewritten = {}
    if options.rewritten:
        whole = extract(network, row | ~row, example)
        rewritten = dict(
            extraction_cost(whole, small, example, batches=options.batches, repeats=options.repeats).summary
        )
    return {
        "row": row.rows.names[0],
        "classes": len(small.classes),
        "difference": small.description.difference,
        "seconds_to_extract": seconds,
        "kept": sum(int(mask.sum()) for mask in row.masks.values()) / row.sites.channels,
        "columns": {name: list(values) for name, values in table.columns.items() if name != "network"},
        "ratios": dict(table.summary),
        "rewritten": rewritten,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=(*USER, "vgg16_half", "vgg16_bn", "resnet50"), required=True)
    parser.add_argument("--run", help="a finished run folder of this network; default: random masks")
    parser.add_argument("--level", default="block")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--round-to", type=int, default=None)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 32))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rewritten", action="store_true", help="also against the whole network written the same way")
    parser.add_argument("--size", type=int, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = network_named(options.network)
    torch.manual_seed(0)
    example = torch.randn(2, 3, *[options.size or SIZES.get(options.network, 224)] * 2)
    half = options.network == "vgg16_half"
    if options.run:
        paths = Paths.load(f"{options.run}/paths.safetensors", network)
    else:
        level = "filter" if half else options.level
        paths = random_paths(network, example, level, options.share, max(options.rows, UNION), exactly=half)
    rows = [paths[position] for position in range(min(options.rows, len(paths)))]
    records = [measured(network, row, example, options) for row in rows]
    if not half and len(paths) > 1:
        union = paths[:UNION]
        classes = [index for index in union.rows.classes if index >= 0]
        records.append(measured(network, union.any(), example, options, classes=classes or None))
    for record in records:
        for size in options.batches:
            for ratios in filter(None, (record["ratios"], record["rewritten"])):
                arithmetic = ratios["multiply_accumulates_ratio"]
                ratios[f"time_by_arithmetic_{size}"] = ratios[f"milliseconds_{size}_ratio"] / arithmetic
    source = "run" if options.run else f"random masks, {options.share} of each site"
    result = {"network": options.network, "paths": source, "round_to": options.round_to, "rows": records}
    keep(f"extraction-{options.network}", result)


if __name__ == "__main__":
    main()
