"""What commands print can be read by a person, by a program, and on any terminal."""

import io
import json
import sys

import pytest
import torch

from tests.paths.made import sites_of
from unweave.cli.output import percent, print_json, print_line, print_table, print_usage, say_beforehand, usage_of
from unweave.paths import Paths, Rows


def test_json_is_one_line_of_plain_characters(capsys):
    value = {"name": "名前\n", "share": 0.5, "broken": "\udcff"}
    print_json(value)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert printed.isascii()
    assert json.loads(printed) == value


def test_tables_have_numbers_right_and_names_left(capsys):
    print_table("Pets", ["kind", "of", "at_home"], [("cat", "a", "98.1 %"), ("tiger", "bbb", "-")])
    assert capsys.readouterr().out.splitlines() == [
        "Pets",
        "                  at",
        "kind    of      home",
        "────────────────────",
        "cat     a     98.1 %",
        "tiger   bbb        -",
    ]


def test_a_long_title_and_long_names_are_not_cut(capsys):
    title, name = "word " * 40, "x" * 130
    print_table(title.strip(), ["a"], [(name,)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == title.strip()
    assert lines[-1] == name


def test_names_are_not_taken_for_markup(capsys):
    print_table("[bold]", ["name"], [("[red]cat[/red]",)])
    assert "[red]cat[/red]" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_characters_gets_them_spelled_out(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    print_line("名前 \udcff")
    print_table("名前", ["name"], [("名前",)])
    sys.stdout.flush()
    printed = raw.getvalue().decode(encoding)
    assert (("名前" if encoding == "utf-8" else r"\u540d\u524d") + r" \udcff") in printed


def test_shares_that_are_not_known_are_a_dash():
    assert [percent(0.981), percent(1.0), percent(float("nan"))] == ["98.1 %", "100.0 %", "-"]


def test_usage_is_the_mean_over_inputs_in_channels_and_as_a_share(capsys):
    masks = {"a/relu:0": torch.tensor([[True, False], [True, True]]), "b/relu:0": torch.tensor([[False], [True]])}
    paths = Paths(masks, Rows.of_inputs(2), sites_of(2, 1), {})
    assert usage_of(paths) == {
        "channels": {"a/relu:0": 1.5, "b/relu:0": 0.5},
        "usage": {"a/relu:0": 0.75, "b/relu:0": 0.5},
    }
    print_usage("Two inputs", "selected", paths)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["Two", "inputs"]
    assert lines[-2:] == [["a/relu:0", "2", "1.5", "75.0", "%"], ["b/relu:0", "1", "0.5", "50.0", "%"]]


@pytest.mark.parametrize(("seconds", "said"), [(60, ""), (61, "unweave: measuring\n")])
def test_where_nobody_looks_on_only_what_takes_long_is_said_beforehand(capsys, seconds, said):
    say_beforehand("measuring", seconds)
    assert capsys.readouterr().err == said
