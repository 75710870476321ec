"""A convolution as one matrix product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional


def windows(
    values: Tensor, kernel: tuple[int, int], settings: Mapping[str, Any], *, by_channel: bool = False
) -> Tensor:
    """`[batch, tall, wide, *window]`, a view where it can be: what the kernel sees at every position of the output, by
    position and channel, or by channel and position. `settings`: stride, padding and dilation, as a convolution's.

    In channels-last order what one row of the kernel sees is one piece of memory.
    """
    (down, right), (apart_down, apart_right) = (_pair(settings.get(name, 1)) for name in ("stride", "dilation"))
    last = values.permute(0, 2, 3, 1).contiguous()
    padding = _padding(settings.get("padding", 0), kernel, (apart_down, apart_right))
    if any(padding):
        last = functional.pad(last, (0, 0, *padding))
    batch, height, width, channels = last.shape
    each, row, column, one = last.stride()
    tall = (height - apart_down * (kernel[0] - 1) - 1) // down + 1
    wide = (width - apart_right * (kernel[1] - 1) - 1) // right + 1
    window, steps = (*kernel, channels), (row * apart_down, column * apart_right, one)
    if by_channel:
        window, steps = (channels, *kernel), (steps[2], *steps[:2])
    return last.as_strided((batch, tall, wide, *window), (each, row * down, column * right, *steps))


def product(seen: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """`[batch, filters, tall, wide]` from `windows` and a matrix `[window, filters]`: in contiguous order for one input
    and a matrix that is stored filter by filter, else in channels-last order."""
    batch, tall, wide = seen.shape[:3]
    flat = seen.reshape(-1, len(matrix))
    # The bias is added afterwards: in the product itself it costs a sixth of its time.
    if batch == 1 and not matrix.is_contiguous():
        by_filter = matrix.t() @ flat.t()  # reads the weights in the order they are stored: a fifth faster
        if bias is not None:
            by_filter += bias[:, None]
        return by_filter.view(1, -1, tall, wide)
    output = flat @ matrix
    if bias is not None:
        output += bias
    return output.view(batch, tall, wide, -1).permute(0, 3, 1, 2)


def _pair(setting: Any) -> tuple[int, int]:
    first, *others = setting if isinstance(setting, list | tuple) else (setting,)
    return int(first), int(others[0] if others else first)


def _padding(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, right, above, below)"""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":  # of an odd number the smaller half comes first
        down, right = (apart * (size - 1) for apart, size in zip(dilation, kernel, strict=True))
        return right // 2, right - right // 2, down // 2, down - down // 2
    down, right = _pair(padding)
    return right, right, down, down
