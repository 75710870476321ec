"""From what a user types (class names, a file of groups) to class indices."""

from __future__ import annotations

import json
from pathlib import Path

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, SettingError
from unweave.files import read_text


def class_indices(text: str, images: LabelledImages) -> list[int]:
    """Names or indices by comma.

    Raises
    ------
    SettingError
        If a name is unknown, or of several classes.
    """
    return [class_index(part.strip(), images) for part in text.split(",")]


def class_index(name: str | int, images: LabelledImages) -> int:
    """The class that `name` means; a number is an index, unless a class has that name."""
    if isinstance(name, int):
        return name
    matches = [index for index, known in enumerate(images.class_names or ()) if known == name]
    if len(matches) > 1:
        raise SettingError(f"{len(matches)} classes are named {name!r}; give the index: {matches}")
    if not matches and not (name.isascii() and name.isdigit()):
        raise SettingError(f"no class {name!r}{_alike(name, images)}")
    return matches[0] if matches else int(name)


def _alike(name: str, images: LabelledImages) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, images.class_names or (), n=3)
    return f"; there is {', '.join(map(repr, found))}" if found else ""


def read_groups(file: Path, images: LabelledImages) -> dict[str, list[int]]:
    """A JSON object of `{"name": [class names or indices]}`.

    Raises
    ------
    DataError
        If the file is not that.
    SettingError
        If a name is unknown, or of several classes.
    """
    try:
        found = json.loads(read_text(file))
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error})") from error
    if not isinstance(found, dict) or not found:
        raise DataError(f'{file} must hold an object of {{"name": [class names or indices]}}')
    for name, members in found.items():
        usable = isinstance(members, list) and all(
            isinstance(m, str | int) and not isinstance(m, bool) for m in members
        )
        if not usable or not members:
            raise DataError(f"{file}: group {name!r} must list class names or indices, found {members!r}")
    return {name: [class_index(member, images) for member in members] for name, members in found.items()}
