"""Which sites are found in which networks: writes the table of `docs/sites.md`.

    python -m benchmarks.sites

torchvision's architectures, DARTS-Net and small ones of timm with random weights at their usual input size, and, where
UNWEAVE_REAL_DATA is set, the networks of a user's own file. Also checks that the tapped graph gives the network's own
output, and names the operations that the table does not know.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import timm
import torch
from torchvision import models

from benchmarks.common import keep, user_networks
from unweave.errors import CaptureError, SiteError
from unweave.network.capture import capture
from unweave.network.graph import NetworkGraph, operation_name
from unweave.network.operations import unknown_operations
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
TIMM = {
    "resnest14d": "split attention",
    "res2net50_48w_2s": "residual in residual",
    "dla46_c": "aggregated trees",
    "hrnet_w18_small": "parallel resolutions",
    "ghostnet_050": "concatenating cheap maps",
    "selecsls42": "concatenating",
    "ese_vovnet19b_dw": "concatenating, gated",
    "repvgg_a0": "branches that are summed",
    "rexnet_100": "inverted residual, part of a sum",
    "skresnet18": "kernels that are selected",
    "halonet26t": "residual, attention in blocks",
    "mixer_s32_224": "perceptrons over tokens",
    "gmlp_ti16_224": "perceptrons, gated over tokens",
    "poolformer_s12": "pools for attention",
    "sequencer2d_s": "recurrent",
    "fastvit_t8": "convolutions and branches",
    "edgenext_xx_small": "convolutions and attention over channels",
    "mobilevit_xxs": "convolutions and attention",
    "efficientformer_l1": "convolutions and attention",
    "levit_128s": "attention with batch norms",
    "coat_tiny": "attention at several scales",
    "cait_xxs24_224": "attention with talking heads",
    "xcit_nano_12_p16_224": "attention over channels",
    "convit_tiny": "attention with positions",
    "volo_d1_224": "outlook attention",
}
ZOO = {"darts_imagenet": 224, "darts_cifar": 32}
OWN = {"resnet20": 32, "resnet56": 32, "densenet40": 32, "mobilenet_v1": 224, "squeezenet": 224}


def examine(name: str, network: torch.nn.Module, size: int) -> dict[str, object]:
    started = time.perf_counter()
    captured = capture(network, torch.zeros(2, 3, size, size))
    seconds = time.perf_counter() - started
    block, filters = sites_of(captured, "block"), sites_of(captured, "filter")
    unknown = {operation_name(node) for node in unknown_operations(captured.graph)}
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
        "unknown_operations": sorted(unknown),
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
    for name, family in TIMM.items():
        network = timm.create_model(name, pretrained=False).eval()
        size = network.default_cfg["input_size"][-1]
        try:
            rows.append({"family": family, **examine(f"timm:{name}", network, size)})
        except (CaptureError, SiteError) as error:
            print(f"{name} left out: {error}")
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
    head = f"| network | family | input | {columns} | not in the table | first and last block site |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {r['network']} | {r['family']} | {r['input']} | {r['block_sites']} ({r['block_channels']}) "
        f"| {r['filter_sites']} ({r['filter_channels']}) | {r['head_sites']} ({r['heads']}) "
        f"| {r['neuron_sites']} ({r['neurons']}) | {', '.join(r['unknown_operations']) or 'none'} "  # type: ignore[arg-type]
        f"| `{r['first_block_site']}`, `{r['last_block_site']}` |"
        for r in rows
    ]
    begin, end = "<!-- table begins -->", "<!-- table ends -->"
    text = page.read_text()
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + after)


if __name__ == "__main__":
    main()
