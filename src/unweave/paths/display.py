"""How `Paths` look in a notebook: a table of rows x sites, shaded by the share of channels kept."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unweave.paths.paths import Paths

_MOST_ROWS, _MOST_SITES = 30, 24


def to_html(paths: Paths) -> str:
    """An HTML table; beyond 30 rows or 24 sites it says how many are left out."""
    kept = paths.kept()
    sites = paths.sites[:_MOST_SITES]
    head = "".join(
        f'<th title="{html.escape(site.name)}, {site.channels} channels" style="font-weight:normal">{i}</th>'
        for i, site in enumerate(sites)
    )
    body = []
    for row in range(min(len(paths), _MOST_ROWS)):
        cells = "".join(_cell(kept[row, i], site.name) for i, site in enumerate(sites))
        body.append(f'<tr><th style="text-align:left">{html.escape(paths.rows.names[row])}</th>{cells}</tr>')
    left_out = []
    if len(paths) > _MOST_ROWS:
        left_out.append(f"{len(paths) - _MOST_ROWS} more rows")
    if len(paths.sites) > _MOST_SITES:
        left_out.append(f"{len(paths.sites) - _MOST_SITES} more sites")
    note = f" ({' and '.join(left_out)} not shown)" if left_out else ""
    caption = f"{html.escape(repr(paths))}{note}. Cells: share of the site's channels that the row keeps."
    return f"<table><caption>{caption}</caption><tr><th></th>{head}</tr>{''.join(body)}</table>"


def _cell(share: float, site: str) -> str:
    color = f"rgba(31,119,180,{0.05 + 0.75 * share:.2f})"
    title = f"{html.escape(site)}: {share:.1%}"
    return f'<td title="{title}" style="background:{color};text-align:right">{share:.0%}</td>'
