"""Convolutions and linear layers: new channels, each made of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from unweave.network.graph import operation_name
from unweave.slicing.channels import Channels, positions
from unweave.slicing.weights import FILLER, sliced
from unweave.surgery.writer import Held

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow
    from unweave.surgery.writer import Writer


class Mixing:
    """`result[o] = bias[o] + sum over i of weight[o, i] * operand[i]`, each product a convolution where it is one.

    What constant operands add is constant too, and goes into the bias; but where a convolution pads with zeros, that of
    a constant other than zero differs at the border: such a channel is carried along as if it were not constant.
    """

    def dim(self, node: fx.Node, flow: Flow) -> int:
        """The dimension of the channels, of operand and result."""
        return len(flow.shape(node)) - 1 if operation_name(node) == "linear" else 1

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        dim, weight = self.dim(node, flow), flow.static[_node(node.args[1])]
        before = flow.along(_node(node.args[0]), dim)
        known = ~_reached(weight, groups_of(node), self._carried(node, before))
        constants = bias_of(node, flow).double().cpu() + _constant_part(node, weight, before)
        return Channels(dim, known, torch.where(known, constants, 0))

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        dim, weight = self.dim(node, flow), flow.static[_node(node.args[1])]
        flow.need(_node(node.args[0]), dim, _read(weight, groups_of(node), wanted))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        source, weight = _node(node.args[0]), writer.flow.static[_node(node.args[1])]
        dim, order = self.dim(node, writer.flow), writer.rounded(wanted)
        before = writer.flow.along(source, dim)
        needed = _read(weight, 1, wanted) & self._carried(node, before)
        held = writer.compact(source, dim, needed, len(order) * (weight[0, 0].numel()))
        cut = sliced(sliced(weight, 0, order), 1, held.kept)
        bias = self.bias(node, writer, order, before, held.kept)
        return Held(writer.copy(node, (held.value, writer.attribute(cut), bias, *node.args[3:])), dim, order)

    @staticmethod
    def _carried(node: fx.Node, before: Channels) -> Tensor:
        """`Bool[channels]`: operands whose part cannot go into the bias."""
        return ~before.known | (before.value != 0) if pads(node) else ~before.known

    def bias(
        self, node: fx.Node, writer: Writer, order: tuple[int, ...], before: Channels, kept: tuple[int, ...]
    ) -> fx.Node | None:
        """The bias of the channels in `order`, with what the constant operands add that are not `kept`."""
        flow = writer.flow
        left_out = before.known.clone()
        left_out[[channel for channel in kept if channel != FILLER]] = False
        weight = flow.static[_node(node.args[1])]
        added = _constant_part(node, weight, before.only(left_out))
        if not has_bias(node) and not bool(added.any()):
            return None
        whole = (bias_of(node, flow).double().cpu() + added).to(weight.device, weight.dtype)
        return writer.attribute(sliced(whole, 0, order))


class GroupedConvolution(Mixing):
    """A convolution in groups: groups of which nothing is wanted are left out, in the others channels are cut.

    All groups of a convolution have the same numbers of operands and results. Where masks leave them different ones,
    fillers with weights of zero make them equal.
    """

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        source, weight = _node(node.args[0]), writer.flow.static[_node(node.args[1])]
        before = writer.flow.along(source, 1)
        groups, each_in = groups_of(node), weight.shape[1]
        each_out = weight.shape[0] // groups
        carried = self._carried(node, before)
        needed = _read(weight, groups, wanted) & carried
        if each_in == 1:
            held = writer.compact(source, 1, needed, each_out * weight[0, 0].numel())
            kept, value = held.kept, held.value
            results = [[one * each_out + k if one != FILLER else FILLER for k in range(each_out)] for one in kept]
            cut = sliced(weight, 0, [one for group in results for one in group])
            left = len(kept)
        else:
            live = [group for group in range(groups) if wanted[group * each_out : (group + 1) * each_out].any()]
            operands = [_of_group(needed, group, each_in) for group in live]
            results = [_of_group(wanted, group, each_out) for group in live]
            _make_equal(operands)
            _make_equal(results)
            kept = tuple(one for group in operands for one in group)
            value, left = writer.place(source, 1, kept), len(live)
            parts = []
            for group, ins, outs in zip(live, operands, results, strict=True):
                local = [one - group * each_in if one != FILLER else FILLER for one in ins]
                parts.append(sliced(sliced(weight, 0, outs), 1, local))
            cut = torch.cat(parts)
        order = tuple(one for group in results for one in group)
        bias = self.bias(node, writer, order, before, kept)
        rest = _with_groups(node, left)
        return Held(writer.copy(node, (value, writer.attribute(cut), bias, *rest)), 1, order)


class TransposedConvolution(Mixing):
    """Weights `[operands, results, ...]`; only zeros are left out, as positions differ in what constants add."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        weight = flow.static[_node(node.args[1])].transpose(0, 1)
        known = ~_reached(weight, 1, self._carried(node, flow.along(_node(node.args[0]), 1)))
        return Channels(1, known, torch.where(known, bias_of(node, flow).double().cpu(), 0))

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        weight = flow.static[_node(node.args[1])].transpose(0, 1)
        flow.need(_node(node.args[0]), 1, _read(weight, 1, wanted))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        flow, source = writer.flow, _node(node.args[0])
        weight, order = flow.static[_node(node.args[1])], writer.rounded(wanted)
        needed = _read(weight.transpose(0, 1), 1, wanted) & self._carried(node, flow.along(source, 1))
        held = writer.compact(source, 1, needed, len(order) * weight[0, 0].numel())
        cut = sliced(sliced(weight, 1, order), 0, held.kept)
        bias = writer.attribute(sliced(bias_of(node, flow), 0, order)) if has_bias(node) else None
        return Held(writer.copy(node, (held.value, writer.attribute(cut), bias, *node.args[3:])), 1, order)

    @staticmethod
    def _carried(node: fx.Node, before: Channels) -> Tensor:
        return ~before.known | (before.value != 0)


def _node(argument: object) -> fx.Node:
    assert isinstance(argument, fx.Node)
    return argument


def groups_of(node: fx.Node) -> int:
    """Groups of a convolution; 1 for a linear layer."""
    name = operation_name(node)
    place = 6 if name.startswith("conv") else None
    return int(node.args[place]) if place is not None and len(node.args) > place else 1  # type: ignore[arg-type]


def pads(node: fx.Node) -> bool:
    """Whether zeros are put around the operand."""
    if operation_name(node) == "linear" or len(node.args) < 5:
        return False
    padding: Any = node.args[4]
    return padding == "same" or (not isinstance(padding, str) and any(padding))


def has_bias(node: fx.Node) -> bool:
    """Whether there is a bias."""
    return len(node.args) > 2 and node.args[2] is not None


def bias_of(node: fx.Node, flow: Flow) -> Tensor:
    """The bias of every result, zeros where there is none."""
    weight = flow.static[_node(node.args[1])]
    if has_bias(node):
        return flow.static[_node(node.args[2])]
    results = weight.shape[1] if operation_name(node).startswith("conv_transpose") else weight.shape[0]
    return weight.new_zeros(results)


def _used(weight: Tensor) -> Tensor:
    """`Bool[results, operands of a group]`: weights that are not zero."""
    used = weight != 0
    return (used.flatten(2).any(2) if used.ndim > 2 else used).cpu()


def _reached(weight: Tensor, groups: int, operands: Tensor) -> Tensor:
    """`Bool[results]`: those that any of `operands` `Bool[operands]` has a part in."""
    used = _used(weight)
    return (used.view(groups, -1, used.shape[1]) & operands.view(groups, 1, -1)).any(2).flatten()


def _read(weight: Tensor, groups: int, results: Tensor) -> Tensor:
    """`Bool[operands]`: those that have a part in any of `results` `Bool[results]`."""
    used = _used(weight)
    return (used.view(groups, -1, used.shape[1]) & results.view(groups, -1, 1)).any(1).flatten()


def _constant_part(node: fx.Node, weight: Tensor, before: Channels) -> Tensor:
    """`Float64[results]`: what the constant operands add, away from borders."""
    groups, each = groups_of(node), weight.shape[1]
    constants = torch.where(before.known, before.value, 0).view(groups, each)
    columns = positions((constants != 0).any(0))
    if not columns:
        return torch.zeros(weight.shape[0], dtype=torch.float64)
    sums = weight[:, columns].double().reshape(weight.shape[0], len(columns), -1).sum(2).cpu()
    return torch.einsum("gri,gi->gr", sums.view(groups, -1, len(columns)), constants[:, columns]).flatten()


def _of_group(channels: Tensor, group: int, each: int) -> list[int]:
    """The positions of a group where `channels` is true."""
    return [group * each + one for one in positions(channels[group * each : (group + 1) * each])]


def _make_equal(groups: list[list[int]]) -> None:
    longest = max(1, *map(len, groups))
    for group in groups:
        group.extend([FILLER] * (longest - len(group)))


def _with_groups(node: fx.Node, groups: int) -> tuple[object, ...]:
    return (*node.args[3:6], groups)
