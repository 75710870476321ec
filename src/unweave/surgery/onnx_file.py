"""An extracted network as an ONNX file, checked in onnxruntime."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.errors import ExtractionError, MissingExtraError
from unweave.files import replacing
from unweave.surgery.checking import relative_difference, tolerance
from unweave.surgery.extracted import ExtractedNetwork
from unweave.surgery.stored_graph import WITHOUT_A_FILE, operations_of_others, refuse_operation

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LEAST_TOLERANCE = 1e-4
"""onnxruntime's operations sum in other orders than PyTorch's, also in float64."""


def check_installed() -> None:
    """Refuse where a package is missing.

    Raises
    ------
    MissingExtraError
        Naming it, and what to install.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"an .onnx file needs {', '.join(missing)}, not installed: pip install 'unweave[onnx]'; a .safetensors "
            "file needs nothing more"
        )


def save_onnx(small: ExtractedNetwork, file: str | Path) -> Path:
    """Write an ONNX file of `images` -> `scores` for any batch size, and compare what onnxruntime computes with it.

    Raises
    ------
    MissingExtraError
        If ONNX is not installed.
    ExtractionError
        If the network cannot be exported, onnxruntime's scores differ by more than rounding does (1e-4 of the largest,
        0.05 in half precision), or the network computes in bfloat16.
    RunError
        If the file cannot be written.
    """
    check_installed()
    others = operations_of_others(small.graph)
    for name in others:
        refuse_operation(name)
    from unweave.surgery.file import example_of

    images = example_of(small)
    if images.dtype == torch.bfloat16:
        raise ExtractionError(
            "an .onnx file cannot be checked in bfloat16: extract from network.float(), or write a .safetensors file"
        )
    with replacing(file) as draft:
        try:
            program = torch.onnx.export(
                small,
                (images,),
                dynamo=True,
                input_names=["images"],
                output_names=["scores"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            instead = f"of {', '.join(others)}: {WITHOUT_A_FILE}" if others else "write a .safetensors file"
            raise ExtractionError(f"the network cannot be exported to ONNX: {_reason(error)}; {instead}") from error
        assert program is not None
        program.save(str(draft), external_data=False)
        _check_equal(small, draft, (images, images[:1], torch.cat([images, images[:1]])))
    return Path(file)


def _reason(error: BaseException) -> str:
    """The first line of what the exporter failed at in the end, without the colours of its messages."""
    while error.__cause__ is not None:
        error = error.__cause__
    plain = _COLOURS.sub("", str(error))
    return next((line.strip() for line in plain.splitlines() if line.strip()), type(error).__name__).rstrip(".")


def _check_equal(small: ExtractedNetwork, file: Path, batches: tuple[Tensor, ...]) -> None:
    """What onnxruntime computes, at several batch sizes, against the module."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for images in batches:
            expected = small(images).cpu()
            most = max(_LEAST_TOLERANCE, tolerance(expected.dtype))
            found = torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0])
            difference = relative_difference(found, expected)
            if not difference <= most:
                raise ExtractionError(
                    f"onnxruntime's scores differ by {difference:.2g} of the largest, {most:.2g} is allowed; write "
                    "a .safetensors file, and please report this with the network"
                )
