"""Known architectures, built by their own libraries from fewer and narrower blocks; small images, three classes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torchvision import models
from torchvision.models import convnext, efficientnet, mobilenetv3, regnet

CLASSES = 3


@dataclass(frozen=True)
class Architecture:
    """`make()` gives the network for images `[3, size, size]`; `level` is where it is gated and searched.

    `next_weight` says, for a transformer's site, which weight reads the channels of that site: the module's name.
    """

    make: object
    size: int
    level: str = "block"
    next_weight: object = None


def _mobilenet_v2():
    return models.MobileNetV2(CLASSES, inverted_residual_setting=[[1, 8, 1, 1], [4, 12, 2, 2]])


def _mobilenet_v3():
    block = partial(mobilenetv3.InvertedResidualConfig, width_mult=1.0)
    settings = [
        block(8, 3, 16, 8, True, "RE", 2, 1),
        block(8, 3, 24, 12, False, "RE", 1, 1),
        block(12, 5, 24, 12, True, "HS", 1, 1),
    ]
    return models.MobileNetV3(settings, 16, num_classes=CLASSES)


def _efficientnet():
    block = partial(efficientnet.MBConvConfig, width_mult=1.0, depth_mult=1.0)
    return models.EfficientNet(
        [block(1, 3, 1, 8, 8, 1), block(4, 5, 2, 8, 12, 2)], 0.2, num_classes=CLASSES, last_channel=24
    )


def _convnext():
    blocks = [convnext.CNBlockConfig(8, 12, 1), convnext.CNBlockConfig(12, None, 1)]
    return models.ConvNeXt(blocks, layer_scale=1.0, num_classes=CLASSES)


def _regnet():
    settings = regnet.BlockParams([1, 2, 1, 1], [8, 8, 16, 16], [8, 8, 8, 8], [1.0] * 4, [2] * 4, se_ratio=0.25)
    return models.RegNet(settings, num_classes=CLASSES, stem_width=8)


def _vit():
    network = models.VisionTransformer(8, 4, num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=10, num_classes=CLASSES)
    nn.init.normal_(network.heads.head.weight)
    return network


def _swin():
    """Two windows a side, shifted in the second block; heads of both stages."""
    return models.SwinTransformer([2, 2], 8, [2, 1], [2, 4], [2, 2], stochastic_depth_prob=0.0, num_classes=CLASSES)


def _timm_vit():
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=8, patch_size=4, embed_dim=12, depth=2, num_heads=3, num_classes=CLASSES)


def _hugging_face_vit():
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 10}
    return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_labels=CLASSES, **sizes))


def _users_file():
    from unweave.zoo.models import load_model

    return load_model(f"{Path(__file__).with_name('users_network.py')}:network")


def _replaced(name, old_end, new_end):
    return name.rpartition("/")[0].removesuffix(old_end) + new_end


def _torchvision_reader(site):
    if "attention" in site:
        return _replaced(site, "", ".out_proj")
    return _replaced(site, ".mlp.1", ".mlp.3") if ".mlp." in site else _replaced(site, "", ".proj")


def _library_reader(site, names):
    old, new = next((old, new) for old, new in names.items() if site.rpartition("/")[0].endswith(old))
    return _replaced(site, old, new)


TIMM = {".attn": ".attn.proj", ".mlp.act": ".mlp.fc2"}
HUGGING_FACE = {".attention": ".attention.o_proj", ".mlp.activation_fn": ".mlp.fc2"}
BOTH = "heads+neurons"

ARCHITECTURES = {
    "googlenet": Architecture(lambda: models.GoogLeNet(CLASSES, aux_logits=False, init_weights=False), 32),
    "squeezenet": Architecture(lambda: models.SqueezeNet("1_1", CLASSES), 32),
    "mobilenet_v2": Architecture(_mobilenet_v2, 16),
    "mobilenet_v3": Architecture(_mobilenet_v3, 16),
    "efficientnet": Architecture(_efficientnet, 16),
    "convnext": Architecture(_convnext, 16, "block+neurons"),
    "regnet": Architecture(_regnet, 32),
    "vit": Architecture(_vit, 8, BOTH, _torchvision_reader),
    "swin": Architecture(_swin, 8, BOTH, _torchvision_reader),
    "timm": Architecture(_timm_vit, 8, BOTH, partial(_library_reader, names=TIMM)),
    "hugging_face": Architecture(_hugging_face_vit, 8, BOTH, partial(_library_reader, names=HUGGING_FACE)),
    "users_file": Architecture(_users_file, 8),
}


def built(name):
    """The network, with noise in its batch norms' statistics so that they are no identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ARCHITECTURES[name].make().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.3)
    return network
