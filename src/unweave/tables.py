"""Frozen tables: what measures return."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from unweave.files import canonical_json, replacing, write_text
from unweave.places import place


@dataclass(frozen=True, eq=False)
class Table:
    """A table that says what its numbers mean. `columns` maps each column's name to its values, `title` says what and
    on which images, `meanings` explains columns and units, `summary` holds numbers about the whole table."""

    title: str
    columns: Mapping[str, tuple[Any, ...]]
    meanings: Mapping[str, str]
    summary: Mapping[str, float | int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(values) for values in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns differ in length: { {k: len(v) for k, v in self.columns.items()} }")
        for name in ("columns", "meanings", "summary"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only views cannot be pickled or copied."""
        return type(self), (self.title, dict(self.columns), dict(self.meanings), dict(self.summary))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, column: str) -> tuple[Any, ...]:
        return self.columns[column]

    def to_frame(self) -> pd.DataFrame:
        """A pandas copy."""
        return pd.DataFrame(dict(self.columns))

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        columns = {name: [_plain(value) for value in values] for name, values in self.columns.items()}
        summary = {name: _plain(value) for name, value in self.summary.items()}
        return {"title": self.title, "summary": summary, "columns": columns, "meanings": dict(self.meanings)}

    def save(self, stem: str | Path) -> list[Path]:
        """Write `STEM.csv` (the columns) and `STEM.json` (everything), each whole or not at all."""
        stem = place(stem)
        csv, json_file = stem.with_name(f"{stem.name}.csv"), stem.with_name(f"{stem.name}.json")
        with replacing(csv) as draft:
            self.to_frame().to_csv(draft, index=False)
        return [csv, write_text(json_file, canonical_json(self.as_dict()) + "\n")]

    def __repr__(self) -> str:
        summary = "".join(f"\n  {name}: {_readable(value)}" for name, value in self.summary.items())
        return f"{self.title}{summary}\n{self.to_frame().to_string(index=False, max_rows=20)}"

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(self.title)}</p>{self.to_frame().to_html(index=False, max_rows=30)}"


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _readable(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
