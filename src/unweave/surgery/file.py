"""The file of an extracted network: weights, and the graph as plain values."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from unweave.decoupling.tensor_file import read_tensors, write_tensors
from unweave.errors import RunError, SettingError
from unweave.surgery.extracted import Description, ExtractedNetwork, relu_in_place
from unweave.surgery.stored_graph import graph_as_dict, graph_from_dict

_KIND = "extracted network"
SUFFIXES = (".safetensors", ".onnx")


def check_suffix(file: str | Path) -> None:
    """Refuse a name that says no format, and ONNX where what it needs is not installed.

    Raises
    ------
    SettingError
    MissingExtraError
    """
    suffix = Path(file).suffix
    if suffix not in SUFFIXES:
        raise SettingError(f"{file} must end in {' or '.join(SUFFIXES)}, which says how it is written")
    if suffix == ".onnx":
        from unweave.surgery.onnx_file import check_installed

        check_installed()


def save_extracted(small: ExtractedNetwork, file: str | Path) -> Path:
    """Write `small`, whole or not at all: a `.safetensors` file that `load_extracted` reads without the network that
    it was cut from, or an `.onnx` file.

    Raises
    ------
    SettingError
        If the name ends otherwise.
    ExtractionError
        If the network has an operation that cannot be written, or onnxruntime computes something else.
    MissingExtraError
        If ONNX is not installed.
    RunError
        If the file cannot be written.
    """
    check_suffix(file)
    if Path(file).suffix == ".onnx":
        from unweave.surgery.onnx_file import save_onnx

        return save_onnx(small, file)
    header = {
        "description": small.description.as_dict(),
        "graph": graph_as_dict(small.graph),
        "parameters": [name for name, _ in small.named_parameters()],
    }
    return write_tensors(file, _KIND, header, small.state_dict())


def load_extracted(file: str | Path) -> ExtractedNetwork:
    """The extracted network that `ExtractedNetwork.save` or `unweave extract` wrote to a `.safetensors` file, on the
    CPU, in evaluation mode. No code in the file is run.

    Raises
    ------
    RunError
        If the file is missing, damaged, or something else.
    """
    if Path(file).suffix == ".onnx":
        raise RunError(f"{file} is read by onnxruntime; load_extracted reads .safetensors files")
    header, state = read_tensors(file, _KIND)
    try:
        description = Description.from_dict(header["description"])
        graph = graph_from_dict(header["graph"])
        parameters = set(header["parameters"])
        tensors = {name: nn.Parameter(one) if name in parameters else one for name, one in state.items()}
        relu_in_place(graph)
        return ExtractedNetwork.made_of(graph, tensors, description)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{file} is damaged ({reason}); remove it, and extract the network again") from error


def example_of(small: ExtractedNetwork, batch: int = 2) -> torch.Tensor:
    """Images of noise as the network takes them."""
    description = small.description
    numbers = torch.Generator().manual_seed(0)
    noise = torch.randn((batch, *description.image_shape), generator=numbers, dtype=torch.float64)
    device = next((one.device for one in small.state_dict().values()), torch.device("cpu"))
    return noise.to(device, getattr(torch, description.dtype))
