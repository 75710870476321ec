"""The page itself: one HTML file that needs no other."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from unweave.views.lettering import make_legible
from unweave.views.report.content import Content, Picture
from unweave.views.report.pictures import figure_address

_FOLDER = "unweave.views.report"


def render(content: Content) -> str:
    """The page of `content`. Names are escaped wherever they stand; nothing is loaded from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    every = [one for part in content.sections for one in part.pictures]
    unread = {id(one): make_legible(one.figure, content.numbers) for one in every}
    pictures = {id(one): figure_address(one.figure) for one in every}
    return environment.from_string(_file("page.html")).render(
        content=content,
        address=lambda picture: pictures[id(picture)],
        said=_said,
        unread=lambda picture: unread[id(picture)],
        style=_file("page.css"),
        script=_file("page.js"),
        flow=_script_data(content.flow),
    )


def _said(picture: Picture) -> str:
    """What stands for a figure where it is not seen: what it is, and the sentence in it that says how to read it."""
    words = " ".join(picture.figure.get_supxlabel().split())
    return f"{picture.described}. {words}" if words else picture.described


def _file(name: str) -> str:
    return resources.files(_FOLDER).joinpath(name).read_text(encoding="utf-8")


def _script_data(values: dict[str, Any]) -> str:
    """JSON that can stand inside a script element: no name in it can end the element."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
