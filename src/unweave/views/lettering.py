"""Class names in figures: drawn by whichever installed font has their letters, or else by their class index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from unweave.paths import Paths

_WIDE = ("Noto Sans", "Noto Sans CJK", "Noto Sans Arabic", "Noto Sans Devanagari", "Source Han Sans", "WenQuanYi",
         "Droid Sans Fallback", "Arial Unicode MS", "Microsoft YaHei", "Malgun Gothic", "PingFang", "Hiragino Sans",
         "Nirmala UI", "FreeSans", "Unifont")  # fmt: skip
"""Beginnings of the names of fonts that have letters of other scripts, the first of them preferred."""
_LENGTHS = range(8, 41)
"""To which names may have been shortened."""
_NUMBERS: ContextVar[Mapping[str, str] | None] = ContextVar("numbers of named rows", default=None)


def numbers_of(paths: Paths) -> dict[str, str]:
    """What rows are called by where their name cannot be drawn: name: "class 7", or "row 2" for several classes."""
    rows = zip(paths.rows.names, paths.rows.members, strict=True)
    return {
        name: f"class {members[0]}" if len(members) == 1 else f"row {position}"
        for position, (name, members) in enumerate(rows)
    }


@contextmanager
def numbered(paths: Paths) -> Iterator[None]:
    """Figures saved in here call rows of `paths` by their index where no font has their name's letters."""
    token = _NUMBERS.set(numbers_of(paths))
    try:
        yield
    finally:
        _NUMBERS.reset(token)


@cache
def families() -> tuple[str, ...]:
    """DejaVu Sans, and the installed fonts for letters that it lacks."""
    installed = sorted(set(font_manager.fontManager.get_font_names()))
    return ("DejaVu Sans", *(name for wanted in _WIDE for name in installed if name.startswith(wanted)))


def has_letters(text: str) -> bool:
    """Whether some font of `families` has every letter."""
    return all(sign.isspace() or any(ord(sign) in signs for signs in _signs()) for sign in text)


@cache
def _signs() -> tuple[frozenset[int], ...]:
    files = (font_manager.findfont(name, fallback_to_default=True) for name in families())
    return tuple(frozenset(font_manager.get_font(file).get_charmap()) for file in files)


def make_legible(figure: Figure, numbers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give every text of the figure the fonts that are installed, and call rows whose names none of them has by their
    `numbers` (default: those of `numbered`). Returns number: name of those that the figure shows."""
    from unweave.views.style import short

    numbers = (_NUMBERS.get() or {}) if numbers is None else numbers
    shown: dict[str, str] = {}

    def replaced(text: str) -> str:
        if has_letters(text):
            return text
        for name, number in numbers.items():
            if has_letters(name):
                continue
            for form in dict.fromkeys([name, *(short(name, length) for length in reversed(_LENGTHS))]):
                if form in text:
                    text, shown[number] = text.replace(form, number), name
        return text

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_text() for label in axis.get_majorticklabels()]
            if (told := [replaced(label) for label in labels]) != labels:
                axis.set_ticks(axis.get_majorticklocs(), told)
    sentence = figure.get_supxlabel()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontfamily(list(families()))
        if text.get_text() == sentence and shown:
            text.set_text(f"{sentence}\nNames that no font here can draw are class indices; tables have the names.")
        else:
            text.set_text(replaced(text.get_text()))
    return shown
