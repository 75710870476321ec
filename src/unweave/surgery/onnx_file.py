"""An extracted network as an ONNX file, checked in onnxruntime."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.errors import ExtractionError, MissingExtraError
from unweave.files import replacing
from unweave.surgery.extracted import ExtractedNetwork

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_TOLERANCE = 1e-4


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
        If the network cannot be exported, or onnxruntime's scores differ by more than 1e-4 of the largest.
    RunError
        If the file cannot be written.
    """
    check_installed()
    from unweave.surgery.file import example_of

    images = example_of(small)
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
            reason = next(iter(str(error).splitlines()), "no message")
            raise ExtractionError(
                f"the network cannot be exported to ONNX: {reason}; write a .safetensors file"
            ) from error
        assert program is not None
        program.save(str(draft), external_data=False)
        _check_equal(small, draft, (images, images[:1], torch.cat([images, images[:1]])))
    return Path(file)


def _check_equal(small: ExtractedNetwork, file: Path, batches: tuple[Tensor, ...]) -> None:
    """What onnxruntime computes, at several batch sizes, against the module."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for images in batches:
            expected = small(images).double().cpu()
            found = torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0]).double()
            difference = float((found - expected).abs().max()) / max(float(expected.abs().max()), 1e-12)
            if not difference <= _TOLERANCE:
                raise ExtractionError(
                    f"onnxruntime's scores differ by {difference:.2g} of the largest, {_TOLERANCE} is allowed; write "
                    "a .safetensors file, and please report this with the network"
                )
