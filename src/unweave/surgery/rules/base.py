"""What a rule is, and the rule for everything that no other is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, fx

from unweave.slicing.channels import Channels

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow
    from unweave.surgery.writer import Held, Writer


class Rule(Protocol):
    """How channels go through one kind of operation."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        """What is known of the result's channels, given those of the operands."""
        ...

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        """Note with `flow.need` which channels of the operands the `wanted` ones of the result are made of."""
        ...

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        """Write the operation so that the result holds at least the `wanted` channels."""
        ...


class Barrier:
    """Channels are not followed through the operation: it gets all of them, constants put back in their places."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        return Channels.whole()

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        for source in node.all_input_nodes:
            if flow.follows(source):
                flow.need_all(source)

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        args, kwargs = fx.map_arg((node.args, node.kwargs), writer.argument)
        return writer.whole(writer.copy(node, args, kwargs))


class Images:
    """The images: all their channels are there."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        shape = flow.shape(node)
        return Channels.unknown(1, shape[1])

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        return

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        return writer.held_in_full(writer.images, 1, writer.flow.shape(node)[1])
