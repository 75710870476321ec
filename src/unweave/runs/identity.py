"""Whether a run folder belongs to what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unweave.errors import RunError
from unweave.network.fingerprint import check_fingerprint


def check_parts(file: object, record: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Refuse a record that lacks one of `parts`.

    Raises
    ------
    RunError
        Naming `file` and the first part that it lacks.
    """
    missing = [part for part in parts if not isinstance(record.get(part), dict)]
    if missing:
        raise RunError(f"{file} is damaged (no {missing[0]}); give another folder")


def check_identity(folder: object, recorded: Mapping[str, Any], given: Mapping[str, Any], begun: str) -> None:
    """Refuse to go on where settings (`asked`), `network` or images (`data`) are others; `begun` is how the message
    calls the recorded network.

    Raises
    ------
    RunError, MismatchError
        Naming the first difference.
    """
    check_same(folder, recorded["asked"], given["asked"])
    check_fingerprint(given["network"], recorded["network"], begun)
    for part in sorted({*recorded["data"], *given["data"]}):
        check_images(folder, part, recorded["data"].get(part), given["data"].get(part))


def check_same(folder: object, recorded: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was begun with other settings.

    Raises
    ------
    RunError
        Naming the first setting that differs, and both values.
    """
    difference = _first_difference(recorded, given)
    if difference is not None:
        name, before, now = difference
        raise RunError(
            f"{folder} was begun with {name} = {_short(before)}, this call has {_short(now)}; repeat the call that "
            "began it, or give another folder"
        )


def check_images(
    folder: object, part: str, recorded: Mapping[str, Any] | None, given: Mapping[str, Any] | None
) -> None:
    """Refuse to go on with a run that was begun with other images; `part` is what they are for.

    Raises
    ------
    RunError
        Saying how many images of how many classes there were, and are.
    """
    if recorded != given:
        raise RunError(
            f"{folder} was begun with other {part} images: {_counted(recorded)} there, {_counted(given)} here; give "
            "the same data, or another folder"
        )


def _counted(images: Mapping[str, Any] | None) -> str:
    if images is None:
        return "none"
    return f"{images.get('images')} of {images.get('classes')} classes (digest {images.get('digest')})"


def _first_difference(recorded: Any, given: Any, name: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(recorded, Mapping) and isinstance(given, Mapping):
        for key in sorted({*recorded, *given}):
            inner = f"{name}.{key}" if name else str(key)
            found = _first_difference(recorded.get(key), given.get(key), inner)
            if found is not None:
                return found
        return None
    return None if recorded == given else (name, recorded, given)


def _short(value: Any, most: int = 80) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
