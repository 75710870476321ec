"""Image lists: a text file with a path and a class on every line, as ImageNet and Places365 publish for validation."""

from __future__ import annotations

import os
from pathlib import Path

from unweave.data.class_list import ClassEntry, FolderNames, names_of
from unweave.data.file_list import FileList
from unweave.data.folders import FileImages
from unweave.data.pictures import reason_of
from unweave.data.preprocessing import Transform
from unweave.errors import DataError
from unweave.files import read_text

_LONGEST_LINE = 80


def image_list(
    file: str | Path,
    transform: Transform,
    class_list: list[ClassEntry] | None = None,
    root: str | Path | None = None,
) -> FileImages:
    """The images that `file` lists, one on a line: `path/of/image.jpg 65`. Empty lines are left out.

    Paths are below `root` (default: the folder of `file`), also if they begin with a slash. What stands after the last
    space is the network's output or, with `class_list`, a WordNet id or class name. Images that are not there count as
    damaged when they are read.

    Raises
    ------
    DataError
        If the file cannot be read, lists nothing, a line is not of that form, or the first image is not there.
    """
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"image list {file} cannot be read ({reason_of(error)})") from error
    known = None if class_list is None else FolderNames(class_list)
    names, labels = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        index = _output(label, known)
        if not name or index is None:
            what = "an output's index" if known is None else "an output's index, WordNet id or class name"
            raise DataError(f"{file}, line {number}: {_short(line)} is not an image's path, a space, and {what}")
        names.append(name.strip().lstrip("/"))
        labels.append(index)
    if not names:
        raise DataError(f"image list {file} lists no images")
    samples = FileList(Path(file).parent if root is None else root, names, labels)
    if not os.path.isfile(samples[0][0]):
        raise DataError(f"{file} lists {names[0]}, which is not below {samples.root}; say where: imagelist:FILE:FOLDER")
    return FileImages(samples, names_of(class_list or [], max(labels) + 1), transform)


def _output(label: str, known: FolderNames | None) -> int | None:
    if label.isascii() and label.isdigit():
        return int(label)
    return known.output_of(label) if known is not None and label in known else None


def _short(line: str) -> str:
    return repr(line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "...")
