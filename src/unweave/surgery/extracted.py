"""`ExtractedNetwork`: a plain module made of the smaller graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from unweave.network.graph import operation_name

aten = torch.ops.aten
_KEY = "unweave"
_MAKE_NEW_MEMORY = ("conv1d", "conv2d", "conv3d", "linear", "batch_norm", "add", "index_add", "cat")
"""Operations whose result shares no memory with what they read, and whose gradient does not need it."""
_CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
_MOVING_CHANNELS = (aten.index_select.default, aten.index_copy.default, aten.index_add.default)
_WEIGHTS = {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"}
"""Names of operands by position, of operations that have weights."""
_HAVE_WEIGHTS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear",
                 "batch_norm", "instance_norm", "prelu")  # fmt: skip


@dataclass(frozen=True)
class Description:
    """What an extracted network is: made of which network, of which row of the paths, with which class scores.

    `classes`: the class that each output stands for. `image_shape`, `dtype`: one image, as the network takes it.
    `channels`: by site, how many channels the masks keep of how many. `round_to`: widths were rounded up to multiples
    of it, at most to the layer's own. `difference`: the largest difference to the restricted network's scores when it
    was made, relative to the largest score.
    """

    network_name: str
    row: str
    classes: tuple[int, ...]
    image_shape: tuple[int, ...]
    dtype: str
    channels: Mapping[str, tuple[int, int]]
    round_to: int
    difference: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        whole = asdict(self)
        whole["channels"] = {name: list(counts) for name, counts in self.channels.items()}
        return {**whole, "classes": list(self.classes), "image_shape": list(self.image_shape)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Description:
        """Back from `as_dict`; `KeyError`, `TypeError` or `ValueError` where something else is given."""
        return cls(
            str(found["network_name"]),
            str(found["row"]),
            tuple(int(one) for one in found["classes"]),
            tuple(int(one) for one in found["image_shape"]),
            str(found["dtype"]),
            {str(name): (int(kept), int(of)) for name, (kept, of) in found["channels"].items()},
            int(found["round_to"]),
            float(found["difference"]),
        )


class ExtractedNetwork(fx.GraphModule):
    """A smaller network: images `[batch, ...]` -> class scores `[batch, classes]`, for any batch size.

    A plain module with weights of its own, named as in the network it was cut from: it can be trained, copied, moved
    and saved. `print(small.code)` shows what it computes.
    """

    @classmethod
    def made_of(
        cls, graph: fx.Graph, tensors: Mapping[str, Tensor | nn.Parameter], description: Description
    ) -> ExtractedNetwork:
        """The module that runs `graph` on `tensors`."""
        module = cls(_in_fast_order(graph, tensors), graph, class_name=cls.__name__)
        module.meta[_KEY] = description
        return module.eval()

    @property
    def description(self) -> Description:
        """What it was made of."""
        found: Description = self.meta[_KEY]
        return found

    @property
    def classes(self) -> tuple[int, ...]:
        """The class that each output stands for."""
        return self.description.classes

    @property
    def row(self) -> str:
        """The row of the paths that it was made of."""
        return self.description.row

    def save(self, file: str | Path) -> Path:
        """Write a `.safetensors` file (read by `unweave.load_extracted`) or an `.onnx` file, as the name ends.

        Raises
        ------
        SettingError, ExtractionError, MissingExtraError, RunError
            If the name ends otherwise, it cannot be written in this form, ONNX is not installed, there is no room.
        """
        from unweave.surgery.file import save_extracted

        return save_extracted(self, file)


def _in_fast_order(graph: fx.Graph, tensors: Mapping[str, Tensor | nn.Parameter]) -> dict[str, Tensor | nn.Parameter]:
    """On a CPU, weights of 2-D convolutions in channels-last order: values then are too, which is faster, unless
    channels are moved around, which takes five times as long in that order."""
    if any(node.target in _MOVING_CHANNELS for node in graph.nodes):
        return dict(tensors)
    convolved = {str(node.args[1].target) for node in graph.nodes if node.target in _CONVOLUTIONS}
    found = dict(tensors)
    for name in convolved & found.keys():
        if found[name].device.type == "cpu":
            one = found[name].detach().contiguous(memory_format=torch.channels_last)
            found[name] = nn.Parameter(one) if isinstance(found[name], nn.Parameter) else one
    return found


def relu_in_place(graph: fx.Graph) -> None:
    """Let a ReLU overwrite what was made for it alone, and what no gradient needs: less memory is moved."""
    for node in graph.nodes:
        if node.target is aten.relu.default:
            source = node.args[0]
            if source.op == "call_function" and operation_name(source) in _MAKE_NEW_MEMORY and len(source.users) == 1:
                node.target = aten.relu_.default


def name_tensors(
    graph: fx.Graph, tensors: Mapping[str, Tensor], origins: Mapping[str, str], trained: Mapping[str, str]
) -> dict[str, Tensor | nn.Parameter]:
    """Give the graph's tensors names that can be read, and make parameters of those that training changes.

    A weight is called after the module that it was cut from: `features.0.weight`. `origins`: public names of nodes;
    `trained`: names of tensors that were cut from a parameter, and its name.
    """
    named: dict[str, Tensor | nn.Parameter] = {}
    for node in graph.nodes:
        if node.op != "get_attr":
            continue
        tensor, (name, weight) = tensors[str(node.target)], _name(node, origins, trained)
        parameter = (weight or str(node.target) in trained) and tensor.is_floating_point()
        name = _free(name, named)
        named[name] = nn.Parameter(tensor.clone()) if parameter else tensor
        node.target = name
    return named


def _name(node: fx.Node, origins: Mapping[str, str], trained: Mapping[str, str]) -> tuple[str, bool]:
    """The name of a tensor, and whether it is a layer's weight."""
    user = next(iter(node.users))
    place = list(user.args).index(node) if node in user.args else -1
    path, _, rest = origins[user.name].rpartition("/")
    owner = path or rest.replace(":", "_")
    if operation_name(user) in _HAVE_WEIGHTS and place in _WEIGHTS:
        return f"{owner}.{_WEIGHTS[place]}", place < 3
    if str(node.target) in trained:
        return trained[str(node.target)], True
    what = "positions" if user.target in (aten.index_select.default, aten.index_copy.default) else "constant"
    return f"{owner}.{what}", False


def _free(name: str, taken: Mapping[str, object]) -> str:
    """`name`, or with a number behind it where that is taken; never one of the module's own attributes."""
    first, *rest = name.split(".")
    if hasattr(fx.GraphModule, first) or not first.isidentifier():
        name = ".".join([f"_{first}", *rest])
    tried, number = name, 1
    while _clashes(tried, taken):
        tried, number = f"{name}_{number}", number + 1
    return tried


def _clashes(name: str, taken: Mapping[str, object]) -> bool:
    parts: Sequence[str] = name.split(".")
    above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return bool(above & taken.keys()) or any(other.startswith(f"{name}.") for other in taken)
