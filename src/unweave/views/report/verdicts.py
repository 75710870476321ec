"""The four lines that a report begins with: what was found, and whether it is true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unweave.analysis.stability import Stability
from unweave.tables import Table

Answer = Literal["yes", "partly", "no", "not measured"]
_CLOSE, _FAR = 0.01, 0.10
"""Within a point of what is compared with counts as equal; farther than ten points counts as not."""
_HALF, _HARDLY = 0.5, 0.1
"""Who recognises fewer than half of its class's images answers it partly at most; fewer than a tenth, not, however
little the whole network recognises. One class of which fewer than half are recognised makes a yes partly. In the same
way who calls more than half of the others' images its own refuses them partly at most; more than nine tenths, not."""


@dataclass(frozen=True)
class Verdict:
    """One line: a question, its answer, and the numbers that it rests on."""

    question: str
    answer: Answer
    reason: str


def verdicts(specificity: Table, kept: float, stability: Stability | None) -> list[Verdict]:
    """Does each sub-architecture answer its class, refuse the others, beat random masks, stay the same?

    `specificity`: what `unweave.specificity` found; `kept`: share of all channels that rows keep, mean; `stability`:
    that of the same classes searched with other seeds, if there are any.
    """
    return [
        _answers(specificity),
        _refuses(specificity),
        _beats_random(specificity, kept),
        _stays(stability, len(specificity)),
    ]


def _answers(table: Table) -> Verdict:
    own, whole = table.summary["own"], table.summary["original_own"]
    table = _with_own_images(table)
    worst = _worst(table, "own", lowest=True)
    of_all = _at_most(_number(own), _compared(_number(own) - _number(whole)))
    ahead = [here - there for here, there in zip(table["own"], table["original_own"], strict=True)]
    return Verdict(
        "Does each sub-architecture answer its class?",
        "partly" if of_all == "yes" and _below_half(table) else _of_each(of_all, ahead),
        f"On average they recognise {_percent(own)} of their class's images{_reach(table, 'own')}, the "
        f"whole network {_percent(whole)}{worst}. {_counted(ahead)}{_counted_below_half(table)}",
    )


def _below_half(table: Table) -> int:
    return sum(own < _HALF for own in table["own"])


def _counted_below_half(table: Table) -> str:
    few = _below_half(table)
    return f" {few} of {len(table)} answer fewer than half of their class's images." if few else ""


def _refuses(table: Table) -> Verdict:
    wrong, whole = table.summary["false_accepts"], table.summary["original_false_accepts"]
    table = _with_own_images(table)
    worst = _worst(table, "false_accepts", lowest=False)
    ahead = [there - here for here, there in zip(table["false_accepts"], table["original_false_accepts"], strict=True)]
    of_all = _at_most(1 - _number(wrong), _compared(_number(whole) - _number(wrong)))
    return Verdict(
        "Does it refuse the others?",
        "partly" if of_all == "yes" and _above_half(table) else _of_each(of_all, ahead),
        f"On average they also call {_percent(wrong)} of {_others(table)} images theirs"
        f"{_reach(table, 'false_accepts')}, the whole network {_percent(whole)}{worst}. {_counted(ahead)}"
        f"{_counted_above_half(table)}",
    )


def _above_half(table: Table) -> int:
    return sum(wrong > 1 - _HALF for wrong in table["false_accepts"])


def _counted_above_half(table: Table) -> str:
    many = _above_half(table)
    return f" {many} of {len(table)} call more than half of them theirs." if many else ""


def _others(table: Table) -> str:
    """Whose images the rows were asked about beside their own."""
    opposed = [bool(against) for against in table.columns.get("against", ())]
    if not any(opposed):
        return "the other classes'"
    if all(opposed):
        return "their opponents' (no other class was asked about; the table of classes names them)"
    return "the other classes', or of some rows their opponents' (the table of classes names them)"


def _with_own_images(table: Table) -> Table:
    """The rows that means are of, so that every line of the report speaks of the same classes."""
    known = [row for row, count in enumerate(table["own_images"]) if count > 0]
    columns = {name: tuple(values[row] for row in known) for name, values in table.columns.items()}
    return Table(table.title, columns, table.meanings, table.summary)


def _beats_random(table: Table, kept: float) -> Verdict:
    question = "Does it beat random masks of its size?"
    if "random_balanced_highest" not in table.columns:
        return Verdict(question, "not measured", "No random masks were drawn.")
    pairs = [
        (own, other)
        for own, other in zip(table["balanced"], table["random_balanced_highest"], strict=True)
        if not math.isnan(own) and not math.isnan(other)
    ]
    if not pairs:
        return Verdict(question, "not measured", "No class has images of its own and of others to be compared on.")
    better = sum(own > other for own, other in pairs)
    share = better / len(pairs)
    answer: Answer = "yes" if share >= 0.95 else "partly" if share >= 0.5 else "no"
    best, mean = table.summary["random_balanced_highest"], table.summary["random_balanced"]
    size = f" They keep {_percent(kept)} of the channels"
    size += ": hardly a part, and random masks of that size are close to the whole network." if kept > 0.95 else "."
    return Verdict(
        question,
        answer,
        f"{better} of {len(pairs)} tell their class from the others better than each of the random masks that were "
        f"drawn (balanced accuracy {_percent(table.summary['balanced'])}{_worst(table, 'balanced', lowest=True)}; best "
        f"draw {_percent(best)}, mean {_percent(mean)}; means over classes).{size}",
    )


def _stays(stability: Stability | None, rows: int) -> Verdict:
    question = "Does it stay the same across seeds?"
    if rows < 3:
        found = _similarities(stability.per_site) if stability is not None else ""
        return Verdict(
            question,
            "not measured",
            f"{found}Whether classes differ more from each other than from themselves cannot be told of fewer than "
            "three. Search more of them, with each seed.",
        )
    if stability is None:
        return Verdict(
            question,
            "not measured",
            "Search once more with another --seed and give that run with --against: without it, nobody knows whether "
            "two classes differ more than one class from itself.",
        )
    table = stability.per_site
    told = sum(map(bool, table["told_apart"]))
    levels = [midway(chance) for chance in table["expected_by_chance"]]
    alike = sum(own >= level for own, level in zip(table["self_similarity"], levels, strict=True))
    answer: Answer = "yes" if alike == len(levels) else "partly" if alike else "no"
    classes = (
        f"At {told} of them classes differ clearly more from each other than from themselves; at the others, how "
        "similar two classes are says nothing about them."
        if told
        else "At none of them do classes differ clearly more from each other than from themselves: how similar two "
        "classes are says nothing about them."
    )
    return Verdict(
        question,
        answer,
        f"{_similarities(table)}At {alike} of {len(levels)} sites a class is at least midway from random masks to the "
        f"same mask (on average {np.mean(levels):.2f}). {classes}",
    )


def _similarities(table: Table) -> str:
    names = ("self_similarity", "other_similarity", "expected_by_chance")
    own, other, chance = (_number(table.summary[name]) for name in names)
    return (
        f"Similarity of a class to itself under another seed {own:.2f}, to other classes {other:.2f}, of random masks "
        f"of its sizes to each other {chance:.2f}, means over sites. "
    )


def midway(chance: float) -> float:
    """The similarity halfway from what random masks share to 1: below it, more of what could stay the same under
    another seed changes than stays."""
    return (1 + chance) / 2


def _compared(ahead: float) -> Answer:
    """`ahead`: how much better than the whole network, as a share."""
    if math.isnan(ahead):
        return "not measured"
    return "yes" if ahead >= -_CLOSE else "partly" if ahead >= -_FAR else "no"


def _of_each(of_all: Answer, ahead: Sequence[float]) -> Answer:
    """A yes is of all rows: one that is farther behind than ten points makes it partly. `ahead` as in `_compared`."""
    return "partly" if of_all == "yes" and any(one < -_FAR for one in ahead) else of_all


def _counted(ahead: Sequence[float]) -> str:
    known = [one for one in ahead if not math.isnan(one)]
    behind = sum(one < -_FAR for one in known)
    return f"{behind} of {len(known)} are more than {100 * _FAR:.0f} points worse than the whole network."


def _at_most(own: float, answer: Answer) -> Answer:
    if own < _HARDLY:
        return "no"
    return "partly" if own < _HALF and answer == "yes" else answer


def _reach(table: Table, column: str) -> str:
    """The 95 % interval of a mean over rows, images being the sample."""
    middle, reach = _number(table.summary[column]), _number(table.summary[f"{column}_reach"])
    if math.isnan(reach):
        return ""
    return f" ({100 * max(0.0, middle - reach):.1f} to {100 * min(1.0, middle + reach):.1f} with 95 % confidence)"


def _worst(table: Table, column: str, *, lowest: bool) -> str:
    known = [(value, name) for value, name in zip(table[column], table["name"], strict=True) if not math.isnan(value)]
    if len(known) < 2:
        return ""
    value, name = min(known) if lowest else max(known)
    return f"; worst: {name}, {_percent(value)}"


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _percent(share: object) -> str:
    value = _number(share)
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"
