"""Blocks: small separate networks, trained side by side, of which a planted network is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unweave.planted.architecture import Kind, last_values, layers_of

_RATE = 0.02
_BATCH = 100


@dataclass(frozen=True)
class Blocks:
    """Which block serves which class. Blocks do not see each other; each has `width` channels in every layer.

    `serves[block]`: the classes whose score reads it: one (an expert), several (shared), or none (a distractor, which
    was taught a class as an expert is, and whose answer nothing reads).
    """

    kind: Kind
    classes: int
    width: int
    serves: tuple[tuple[int, ...], ...]
    taught: tuple[int, ...]
    """Of each distractor, the class that it was taught, in the blocks' order."""

    @property
    def channels(self) -> int:
        """Of every layer."""
        return self.width * len(self.serves)

    def of_class(self, index: int) -> np.ndarray:
        """`Bool[channels]`: which channels, before they are permuted, can reach the class's score."""
        return np.repeat([index in served for served in self.serves], self.width)


@dataclass(frozen=True)
class Trained:
    """Weights of blocks: `weights[layer]` `[channels, channels read by a block, 3, 3]`, `biases[layer]` `[channels]`,
    `head` `[classes, channels of the last values]` with zeros where a class does not read, `head_bias` `[classes]`."""

    weights: list[Tensor]
    biases: list[Tensor]
    head: Tensor
    head_bias: Tensor


def arrange(kind: Kind, classes: int, width: int, shared: int, distractors: int, draw: np.random.Generator) -> Blocks:
    """An expert for every class, `shared` blocks of two classes each, `distractors` that serve none."""
    pairs = [tuple(sorted(draw.choice(classes, 2, replace=False).tolist())) for _ in range(shared)]
    taught = tuple(int(c) for c in np.resize(draw.permutation(classes), distractors))
    serves = (*((c,) for c in range(classes)), *pairs, *((),) * distractors)
    return Blocks(kind, classes, width, serves, taught)


def train(blocks: Blocks, images: Tensor, labels: Tensor, steps: int, seed: int) -> Trained:
    """Teach all blocks at once: each class to answer yes or no and the right one of all, distractors yes or no.

    The answer of a class reads its own blocks alone, so that experts are one-against-the-rest networks.
    """
    draw = torch.Generator().manual_seed(seed)
    weights, biases = _started(blocks, draw)
    answers = blocks.classes + len(blocks.taught)
    reads = _reads(blocks)
    head = torch.randn(reads.shape, generator=draw) * reads * (2 / reads.sum(1, keepdim=True)) ** 0.5
    head_bias = torch.zeros(answers)
    parameters = [tensor.requires_grad_() for tensor in (*weights, *biases, head, head_bias)]
    optimizer = torch.optim.Adam(parameters, lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_RATE, total_steps=steps)
    asked = torch.cat([torch.arange(blocks.classes), torch.tensor(blocks.taught, dtype=torch.long)])
    wanted = (labels[:, None] == asked).float()
    rarity = torch.tensor(float(blocks.classes - 1))
    patches = _patches(images)
    with torch.enable_grad():
        for batch in _batches(len(labels), steps, draw):
            scores = functional.linear(_last(blocks, weights, biases, patches[batch]), head * reads, head_bias)
            yes_or_no = functional.binary_cross_entropy_with_logits(
                scores, wanted[batch], pos_weight=rarity, reduction="none"
            )
            right = functional.cross_entropy(scores[:, : blocks.classes], labels[batch])
            optimizer.zero_grad()
            (yes_or_no.mean(0).sum() + right).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    own = slice(0, blocks.classes)
    return Trained(
        [weight.detach() for weight in weights],
        [bias.detach() for bias in biases],
        (head * reads).detach()[own],
        head_bias.detach()[own],
    )


def _batches(count: int, steps: int, draw: torch.Generator) -> list[Tensor]:
    """Positions of the images of `steps` mini-batches, image after image in new random orders."""
    size = min(_BATCH, count)
    orders = [torch.randperm(count, generator=draw) for _ in range(-(-steps * size // count))]
    return list(torch.split(torch.cat(orders), size)[:steps])


def _started(blocks: Blocks, draw: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
    weights = []
    for layer in layers_of(blocks.kind):
        read = len(layer.reads) * blocks.width or 1
        size = (blocks.channels, read, 3, 3)
        weights.append(torch.randn(size, generator=draw) * (2 / (9 * read)) ** 0.5)
    return weights, [torch.zeros(blocks.channels) for _ in weights]


def _reads(blocks: Blocks) -> Tensor:
    """`[answers, channels of the last values]`, 1 where an answer reads a channel."""
    rows = [blocks.of_class(c) for c in range(blocks.classes)]
    first = len(blocks.serves) - len(blocks.taught)
    rows += [np.repeat(np.arange(len(blocks.serves)) == first + i, blocks.width) for i in range(len(blocks.taught))]
    return torch.from_numpy(np.tile(np.stack(rows), (1, len(last_values(blocks.kind))))).float()


def _last(blocks: Blocks, weights: list[Tensor], biases: list[Tensor], patches: Tensor) -> Tensor:
    """Means over positions of what the answers read, `[images, channels]`, layer after layer.

    `patches`: as `_patches` of the images. Values are `[blocks, images, channels of a block x positions]`: a
    convolution of so few positions and channels is one product of matrices a block, much faster on a CPU than grouped
    convolutions.
    """
    count, positions = len(blocks.serves), patches.shape[-1]
    values: list[Tensor] = []
    for number, layer in enumerate(layers_of(blocks.kind)):
        bias = biases[number].view(count, 1, blocks.width, 1)
        if layer.reads:
            seen = torch.cat([values[i] for i in layer.reads], 2)
            product = torch.bmm(seen, _as_matrices(weights[number], count, positions))
            value = torch.unflatten(product, 2, (blocks.width, positions)) + bias
        else:
            value = _first(weights[number], count, patches) + bias
        value = value.flatten(2)
        if layer.adds is not None:
            value = value + values[layer.adds]
        values.append(functional.relu(value))
    means = [torch.unflatten(values[i], 2, (blocks.width, positions)).mean(3) for i in last_values(blocks.kind)]
    return torch.cat([mean.transpose(0, 1).flatten(1) for mean in means], 1)


def _patches(images: Tensor) -> Tensor:
    """`[images, 4, 9, positions]`: what a convolution of 3 x 3 sees at each of the four positions that become one."""
    seen = functional.unfold(images, 3, padding=1)
    height, width = images.shape[2] // 2, images.shape[3] // 2
    windows = seen.view(len(images), 9, height, 2, width, 2).permute(0, 3, 5, 1, 2, 4)
    return windows.reshape(len(images), 4, 9, height * width)


def _first(weight: Tensor, count: int, patches: Tensor) -> Tensor:
    """`[blocks, images, channels of a block, positions]`: the convolution of images, largest of four positions. The
    ReLU comes after it here, which is the same."""
    images, _, taps, positions = patches.shape
    kernel = weight.view(len(weight), taps)
    by_corner = patches.permute(1, 2, 0, 3).reshape(4, taps, images * positions)
    corners = [kernel @ corner for corner in by_corner]
    largest = torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))
    return largest.view(count, -1, images, positions).transpose(1, 2)


def _as_matrices(weight: Tensor, count: int, positions: int) -> Tensor:
    """`[blocks, channels read x positions, channels x positions]`: a convolution of 3 x 3, padded with zeros, as a
    matrix for each block. `weight`: `[channels, channels read by a block, 3, 3]`."""
    read = weight.shape[1]
    spread = torch.unflatten(weight.view(count, -1, read, 9) @ _moves(positions), 3, (positions, positions))
    return spread.permute(0, 2, 3, 1, 4).reshape(count, read * positions, -1)


@cache
def _moves(positions: int) -> Tensor:
    """`[9, positions x positions]`: 1 where tap k of a 3 x 3 kernel leads from a position of a square to another."""
    side = math.isqrt(positions)
    row, column = np.divmod(np.arange(positions), side)
    down, right = row[:, None] - row + 1, column[:, None] - column + 1
    near = (abs(down - 1) <= 1) & (abs(right - 1) <= 1)
    moves = np.stack([near & (3 * down + right == tap) for tap in range(9)])
    return torch.from_numpy(moves.reshape(9, -1)).float()
