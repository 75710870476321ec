"""What a report shows, ready to be put on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from unweave.views.report.verdicts import Verdict


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, and in one sentence how to read it (figures of `unweave.views` say so themselves: then empty)."""

    figure: Figure
    described: str
    how_to_read: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page: a heading, sentences, figures."""

    heading: str
    text: str
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Misjudged:
    """An image that the whole network calls by another class: its address, both names, and how similar the two classes'
    sub-architectures are (Jaccard, mean over sites; `rank` 1: the most similar class; equally similar
    ones have the middle of theirs)."""

    address: str
    label: str
    prediction: str
    similarity: float
    rank: float


@dataclass(frozen=True, eq=False)
class Content:
    """Everything on the page. `done`: what was done, as (name, value); `classes`: head and rows of the table of
    classes; `flow`: what `flow_data` made; `pictured`: which channels of it have images; `numbers`: what
    rows are called in figures if no font has the letters of their names; `warning`: what the reader must know before
    the verdicts."""

    title: str
    verdicts: Sequence[Verdict]
    done: Sequence[tuple[str, str]]
    flow: dict[str, Any]
    pictured: str
    classes: tuple[Sequence[str], Sequence[Sequence[str]]]
    sections: Sequence[Section]
    misjudged: Sequence[Misjudged]
    numbers: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
