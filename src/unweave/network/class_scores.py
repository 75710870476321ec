"""The class scores in whatever a network returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from unweave.errors import CaptureError


class ClassScores(nn.Module):
    """The network, with its class scores picked out of whatever it returns."""

    def __init__(self, network: nn.Module, logits: str | int | None) -> None:
        super().__init__()
        self.network, self.logits = network, logits

    def forward(self, images: Tensor) -> Tensor:
        result = self.network(images)
        return pick_class_scores(result, self.logits)


def pick_class_scores(result: Any, logits: str | int | None) -> Tensor:
    """The class scores in `result`, what a network returned: `logits` is their key, position or attribute; not needed
    where the result holds one tensor and nothing else.

    Raises
    ------
    CaptureError
        If there are none of that name, or a name is needed.
    """
    if logits is None:
        if isinstance(result, Tensor):
            return result
        parts = list(result.values() if isinstance(result, Mapping) else result if isinstance(result, Sequence) else ())
        if len(parts) == 1 and isinstance(parts[0], Tensor):
            return parts[0]
        if isinstance(result, Sequence) and any(isinstance(part, Mapping) for part in result):
            raise CaptureError(
                f"the network returns a {type(result).__name__} with a dict an image, as detection networks do, not "
                "class scores [batch, classes]; give the network that classifies (its backbone with a linear layer)"
            )
        raise CaptureError(
            f"the network returns a {type(result).__name__}, not one tensor; give logits= or --logits "
            f"(the key, position or attribute of the class scores: {_choices(result)})"
        )
    try:
        if isinstance(result, Mapping) or (isinstance(result, Sequence) and isinstance(logits, int)):
            picked = result[logits]  # type: ignore[index]
        else:
            picked = getattr(result, str(logits))
    except (KeyError, IndexError, AttributeError):
        raise CaptureError(f"the network's result has no {logits!r}; it has {_choices(result)}") from None
    if not isinstance(picked, Tensor):
        raise CaptureError(f"logits={logits!r} picks a {type(picked).__name__}, not a tensor")
    return picked


def _choices(result: Any) -> str:
    if isinstance(result, Mapping):
        return ", ".join(repr(key) for key in result)
    if is_dataclass(result):
        return ", ".join(repr(field.name) for field in fields(result))
    if isinstance(result, Sequence):
        return f"positions 0 to {len(result) - 1}"
    return "none that can be listed"


def check_class_scores(returned: Any, images: fx.Node) -> None:
    """Refuse a captured graph that does not return one row of class scores for each image.

    Raises
    ------
    CaptureError
    """
    value = returned.meta.get("val") if isinstance(returned, fx.Node) else None
    if not isinstance(value, Tensor) or value.ndim != 2 or not value.dtype.is_floating_point:
        raise CaptureError(
            f"the network must return class scores [batch, classes], found {_readable(value)}; see logits="
        )
    rows, classes = value.shape
    if classes == 1:
        raise CaptureError(
            "the network has one output z, so there are no classes to tell apart; wrap it in a module that returns "
            "torch.cat([-z / 2, z / 2], 1): two classes with the probabilities that sigmoid(z) gives"
        )
    if isinstance(rows, int):
        raise CaptureError("the network only takes one batch size: the batch dimension became a constant at capture")
    if not isinstance(classes, int) or not _same_size(rows, images.meta["val"].shape[0]):
        raise CaptureError(
            "the network must return one row of class scores for each image: here the size of what it returns "
            "depends on the images' values, or on how many there are, in another way"
        )


def _readable(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    shape = ", ".join(str(size) if isinstance(size, int) else "batch" for size in value.shape)
    return f"[{shape}] of {str(value.dtype).removeprefix('torch.')}"


def _same_size(rows: torch.SymInt, batch: torch.SymInt) -> bool:
    """Whether two sizes agree for every batch. They are compared by value, for one may be written another way."""
    expression, symbol = rows.node.expr, batch.node.expr
    return expression.free_symbols == {symbol} and all(expression.subs(symbol, size) == size for size in (2, 7, 30))
