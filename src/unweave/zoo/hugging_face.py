"""Image classifiers of Hugging Face: `hf:owner/name` of the hub, `hf:path/to/folder` for one that was saved."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from unweave.errors import MissingExtraError, SettingError


def is_place(place: str) -> bool:
    """Whether `place` is meant as a folder, and not as `owner/name` of the hub."""
    return os.path.isdir(place) or place.startswith((".", "/", "~")) or place.count("/") > 1


def classifier(place: str, *, trained: bool, classes: int | None = None) -> nn.Module:
    """The network that `place` holds, from its safetensors files alone; with `trained` false, from its configuration,
    with as many `classes` as given.

    No code from the place is run.

    Raises
    ------
    MissingExtraError
        If transformers is not installed.
    SettingError
        If there is no folder of that name, or its weights are not those of an image classifier, head and all.
    """
    transformers = _imported()
    place = _checked(place)
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    if not trained:
        own = {} if classes is None else {"num_labels": classes}
        config = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False, **own)
        network: nn.Module = transformers.AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        return network
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()  # what is missing is said below, in one line
    try:
        network, info = transformers.AutoModelForImageClassification.from_pretrained(
            place, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    finally:
        transformers.utils.logging.set_verbosity(level)
    wrong = sorted([*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])])
    if wrong:
        raise SettingError(
            f"hf:{place} has no weights for {wrong[0]!r}{f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''}: it "
            "is no trained image classifier; give one that was fine-tuned, or --weights"
        )
    return network


def preprocessing_of(place: str) -> tuple[Sequence[float], Sequence[float], int] | None:
    """(mean, deviation, size) of the image processor that was saved with a network; None where there is none, or it
    does more than scale, subtract and divide."""
    transformers = _imported()
    try:
        found, _ = transformers.ImageProcessingMixin.get_image_processor_dict(_checked(place))
    except OSError:
        return None
    size = _side(found.get("crop_size") if found.get("do_center_crop") else found.get("size"))
    factor = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else None
    if size is None or factor is None or abs(factor * 255 - 1) > 1e-3:
        return None
    if not found.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3, size
    mean, deviation = found.get("image_mean"), found.get("image_std")
    return (mean, deviation, size) if mean and deviation else None


def class_names(network: nn.Module) -> list[str] | None:
    """The names that a network's configuration gives its classes; None where it has none but `LABEL_0`, `LABEL_1`."""
    labels: Any = getattr(getattr(network, "config", None), "id2label", None)
    if not isinstance(labels, dict) or set(labels) != set(range(len(labels))):
        return None
    names = [str(labels[index]) for index in range(len(labels))]
    return None if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def _side(size: Any) -> int | None:
    """A square's side, or the shortest edge, in any of the forms that configurations have had."""
    if isinstance(size, int):
        return size
    if not isinstance(size, dict):
        return None
    if "shortest_edge" in size:
        return int(size["shortest_edge"])
    return int(size["height"]) if size.get("height") is not None and size.get("height") == size.get("width") else None


def _checked(place: str) -> str:
    folder = os.path.expanduser(place)
    if is_place(place) and not os.path.isdir(folder):
        raise SettingError(f"no folder {place}; give hf:owner/name, or hf:FOLDER that save_pretrained wrote")
    return folder if os.path.isdir(folder) else place


def _imported() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers is not installed; type: pip install 'unweave[hf]'") from error
    return transformers
