"""The positions of the masks in the ICCV paper's program, by name of the value, for torchvision's networks and
`zoo:darts_imagenet`."""


def _vgg16() -> tuple[str, ...]:
    # torchvision's `features`: positions of the ReLUs, and of the pools that follow some of them.
    values = [
        "features.1/relu:0",
        "features.4/max_pool2d:0",
        "features.6/relu:0",
        "features.9/max_pool2d:0",
        "features.11/relu:0",
        "features.13/relu:0",
        "features.16/max_pool2d:0",
        "features.18/relu:0",
        "features.20/relu:0",
        "features.23/max_pool2d:0",
        "features.25/relu:0",
        "features.27/relu:0",
        "avgpool/adaptive_avg_pool2d:0",
    ]
    return tuple(values)


def _resnet50() -> tuple[str, ...]:
    blocks = {1: 3, 2: 4, 3: 6, 4: 3}
    # Each block's one ReLU module is called three times; the third call follows the addition.
    outputs = [f"layer{stage}.{block}.relu/relu:2" for stage, count in blocks.items() for block in range(count)]
    return ("maxpool/max_pool2d:0", *outputs)


def _densenet121() -> tuple[str, ...]:
    stages = []
    for block in (1, 2, 3):
        stages += [f"features.denseblock{block}/cat:0", f"features.transition{block}.pool/avg_pool2d:0"]
    return ("features.pool0/max_pool2d:0", *stages, "relu:0")


def _darts() -> tuple[str, ...]:
    # What the program records at the first stem is after the ReLU with which the second stem begins, in place.
    return ("stem1.0/relu:0", "stem1.2/batch_norm:0", *(f"cells.{cell}/cat:0" for cell in range(14)))


PUBLISHED_SITES: dict[str, tuple[str, ...]] = {
    "iccv2021:vgg16": _vgg16(),
    "iccv2021:resnet50": _resnet50(),
    "iccv2021:densenet121": _densenet121(),
    "iccv2021:darts": _darts(),
}
