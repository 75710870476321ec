"""Which sites are found in which networks: writes the table of `docs/sites.md`.

    python -m benchmarks.sites

torchvision's architectures and DARTS-Net with random weights at their usual input size, and, where UNWEAVE_REAL_DATA is
set, the networks of a user's own file. Also checks that the tapped graph gives the network's own output.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torchvision import models

from benchmarks.common import keep, user_networks
from unweave.errors import SiteError
from unweave.network.capture import capture
from unweave.network.graph import NetworkGraph
from unweave.network.sites import sites_of
from unweave.network.tapping import Recorder, TappedNetwork
from unweave.zoo.models import load_model

FAMILIES = {
    "alexnet": "plain",
    "vgg16": "plain",
    "vgg16_bn": "plain",
    "resnet18": "residual",
    "resnet50": "residual",
    "wide_resnet50_2": "residual",
    "regnet_y_400mf": "residual, squeeze and excitation",
    "densenet121": "concatenating",
    "googlenet": "inception",
    "inception_v3": "inception",
    "squeezenet1_1": "fire",
    "mobilenet_v2": "inverted residual",
    "mobilenet_v3_small": "inverted residual, squeeze and excitation",
    "mnasnet1_0": "inverted residual",
    "efficientnet_b0": "inverted residual, squeeze and excitation",
    "shufflenet_v2_x1_0": "channel shuffle",
    "convnext_tiny": "ConvNeXt",
    "vit_b_16": "transformer",
    "swin_t": "windowed transformer",
}
ZOO = {"darts_imagenet": 224, "darts_cifar": 32}
OWN = {"resnet20": 32, "resnet56": 32, "densenet40": 32, "mobilenet_v1": 224, "squeezenet": 224}


def examine(name: str, network: torch.nn.Module, size: int) -> dict[str, object]:
    started = time.perf_counter()
    captured = capture(network, torch.zeros(2, 3, size, size))
    seconds = time.perf_counter() - started
    block, filters = sites_of(captured, "block"), sites_of(captured, "filter")
    heads, neurons = _if_any(captured, "heads"), _if_any(captured, "neurons")
    everywhere = sites_of(captured, list(dict.fromkeys([*filters.names, *heads, *neurons])))
    images = torch.randn(3, 3, size, size)
    with torch.no_grad():
        equal = torch.equal(network(images), TappedNetwork(captured, everywhere)(images, Recorder()))
    return {
        "network": name,
        "input": f"3 x {size} x {size}",
        "block_sites": len(block),
        "block_channels": block.channels,
        "filter_sites": len(filters),
        "filter_channels": filters.channels,
        "heads": sum(heads.values()),
        "neurons": sum(neurons.values()),
        "head_sites": len(heads),
        "neuron_sites": len(neurons),
        "first_block_site": block[0].name,
        "last_block_site": block[-1].name,
        "output_bit_equal": equal,
        "capture_seconds": round(seconds, 1),
    }


def _if_any(captured: NetworkGraph, level: str) -> dict[str, int]:
    """Sites and their channels, of networks that have such."""
    try:
        return {site.name: site.channels for site in sites_of(captured, level)}
    except SiteError:
        return {}


def main() -> None:
    torch.manual_seed(0)
    rows = []
    for name, family in FAMILIES.items():
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        network = models.get_model(name, weights=None, **extra).eval()
        rows.append({"family": family, **examine(name, network, 299 if name == "inception_v3" else 224)})
    for name, size in ZOO.items():
        rows.append(
            {"family": "cells that read two values", **examine(name, load_model(f"zoo:{name}", "random"), size)}
        )
    if os.environ.get("UNWEAVE_REAL_DATA"):
        networks = user_networks()
        for name, size in OWN.items():
            rows.append({"family": "user's file", **examine(name, getattr(networks, name)(), size)})
    keep("sites", {"networks": rows})
    write_page(rows)


def write_page(rows: list[dict[str, object]]) -> None:
    """The table between the page's two marks."""
    page = Path(__file__).parent.parent / "docs" / "sites.md"
    columns = "block sites (channels) | filter sites (channels) | attentions (heads) | perceptrons (neurons)"
    head = f"| network | family | input | {columns} | first and last block site |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {r['network']} | {r['family']} | {r['input']} | {r['block_sites']} ({r['block_channels']}) "
        f"| {r['filter_sites']} ({r['filter_channels']}) | {r['head_sites']} ({r['heads']}) "
        f"| {r['neuron_sites']} ({r['neurons']}) | `{r['first_block_site']}`, `{r['last_block_site']}` |"
        for r in rows
    ]
    begin, end = "<!-- table begins -->", "<!-- table ends -->"
    text = page.read_text()
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + after)


if __name__ == "__main__":
    main()
