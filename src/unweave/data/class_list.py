"""Class files: which output of a network is which class."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from unweave.data.pictures import reason_of
from unweave.errors import DataError
from unweave.files import read_text

_FORM = "is not a JSON list of {index, wnid, name}"
_FORM_OF_LINES = "is not a list of lines /letter/name index"
_WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassEntry:
    """One class of a network: its output, WordNet id (or empty) and name."""

    index: int
    wnid: str
    name: str


_PLACES = re.compile(r"/\w/(\S+)\s+(\d{1,9})")
"""A line of Places365's categories: the letter's folder, the name, the output."""


def read_class_list(file: str | Path) -> list[ClassEntry]:
    """Which output is which class, from one of four forms.

    A JSON list of `{"index", "wnid", "name"}` in UTF-8, where `wnid` may be left out; the JSON object
    `{"0": ["n01440764", "tench"], ...}` that is passed on as `imagenet_class_index.json`; a `.txt` file of lines
    `/a/airfield 0`, as Places365 publishes its `categories_places365.txt`; or `imagenet`, for the 1,000 names that
    torchvision publishes with its weights.

    Raises
    ------
    DataError
        If the file is not that, or an index comes twice.
    """
    if str(file) == "imagenet":
        from torchvision.models import ResNet50_Weights

        names = ResNet50_Weights.DEFAULT.meta["categories"]
        return [ClassEntry(index, "", name) for index, name in enumerate(names)]
    of_lines = str(file).endswith(".txt")
    form = _FORM_OF_LINES if of_lines else _FORM
    try:
        text = read_text(file)
        entries = _entries(text) if of_lines else json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise DataError(f"class list {file} cannot be read ({reason_of(error)})") from error
    except RecursionError as error:
        raise DataError(f"{file} {form} (it is nested too deeply)") from error
    except ValueError as error:
        raise DataError(f"{file} {form} ({reason_of(error)})") from error
    if isinstance(entries, dict):
        entries = _of_indices(entries)
    if not isinstance(entries, list) or not entries:
        found = "no entries" if isinstance(entries, list) else f"one {type(entries).__name__}"
        raise DataError(f"{file} {form} (it holds {found})")
    known: dict[int, int] = {}
    classes = []
    for number, entry in enumerate(entries, 1):
        wrong = _wrong_in(entry) or (
            f"its index {entry['index']} is that of entry {known[entry['index']]}" if entry["index"] in known else None
        )
        if wrong:
            raise DataError(f"{file} {form} (entry {number}: {wrong})")
        known[entry["index"]] = number
        classes.append(ClassEntry(entry["index"], entry.get("wnid", ""), entry["name"]))
    return classes


def _entries(text: str) -> list[dict[str, Any]]:
    """The entries of lines such as `/a/airfield 0`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [(_PLACES.fullmatch(line), line) for line in lines]
    if wrong := next((line for match, line in found if match is None), None):
        raise ValueError(f"a line is {_short(wrong)}")
    return [{"index": int(match[2]), "name": match[1]} for match, _ in found if match]


def _of_indices(found: dict[str, Any]) -> Any:
    """Entries from `{"0": [wnid, name]}`; the object itself where it is not that."""
    pairs = [value for value in found.values() if isinstance(value, list) and len(value) == 2]
    if len(pairs) != len(found) or not all(key.isascii() and key.isdigit() for key in found):
        return found
    return [{"index": int(k), "wnid": wnid, "name": name} for k, (wnid, name) in found.items()]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _wrong_in(entry: Any) -> str | None:
    """What is wrong with an entry, if anything."""
    if not isinstance(entry, dict):
        return f"{_short(entry)} where {{index, wnid, name}} is needed"
    for key in ("index", "name"):
        if key not in entry:
            return f"it has no {key!r}"
    index = entry["index"]
    if type(index) is not int or index < 0:  # a bool is an int, too
        return f"its index is {_short(index)}, a whole number from 0 is needed"
    for key in ("wnid", "name"):
        text = entry.get(key, "")
        if not isinstance(text, str) or not _is_unicode(text):
            return f"its {key} is {_short(text)}, text is needed"
    return None


def _short(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        return "a deeply nested value"
    return text if len(text) <= 60 else f"{text[:60]} ..."


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say and no file can hold
        return False
    return True


class FolderNames:
    """Finds the output that a class folder's name means: a WordNet id, a class name, or an output's index.

    A name may have slashes, as in Places365 (`balcony/exterior`): its folder then has hyphens there. It may also lie in
    a folder of its first letter (`b/balcony/exterior`), and folders in folders are what slashes say.
    """

    def __init__(self, class_list: list[ClassEntry]) -> None:
        self._entries: defaultdict[str, dict[int, ClassEntry]] = defaultdict(dict)
        for entry in class_list:
            for name in filter(None, (entry.wnid, entry.name, *_as_folders(entry.name))):
                self._entries[name][entry.index] = entry
        self._indices = {str(entry.index): entry.index for entry in class_list}

    def __contains__(self, name: str) -> bool:
        return name in self._entries or name in self._indices

    def outputs_of(self, names: Sequence[str]) -> list[int]:
        """The outputs' indices. All folders of ImageNet, in sorted order, are the outputs in order also where the list
        knows no WordNet ids.

        Raises
        ------
        DataError
            If a name means no class, or several.
        """
        all_ids = len(names) == len(self._indices) and all(_WORDNET_ID.fullmatch(name) for name in names)
        if all_ids and not any(entry.wnid for known in self._entries.values() for entry in known.values()):
            return sorted(self._indices.values())
        return [self.output_of(name) for name in names]

    def output_of(self, name: str) -> int:
        """The output's index.

        Raises
        ------
        DataError
            If the name means no class, or several.
        """
        matches = self._entries.get(name, {})
        if not matches and name in self._indices:
            return self._indices[name]
        if len(matches) == 1:
            return next(iter(matches))
        if matches:
            listed = ", ".join(f"{index}: {entry.wnid or 'no WordNet id'}" for index, entry in sorted(matches.items()))
            raise DataError(f"folder {name!r} names {len(matches)} classes ({listed}); name the folder by its index")
        raise DataError(
            f"folder {name!r} is no WordNet id, name or index in the class list (of {len(self._indices)} classes)"
        )


def _as_folders(name: str) -> tuple[str, ...]:
    path = name.strip("/")
    return (path, path.replace("/", "-"), f"{path[0]}/{path}") if path else ()


def names_of(class_list: list[ClassEntry], outputs: int) -> list[str]:
    """The name of every output; its index where the list has none."""
    names = {entry.index: entry.name for entry in class_list}
    return [names.get(index, str(index)) for index in range(outputs)]
