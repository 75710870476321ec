"""Every command explains itself: an example, and a line for every argument and option."""

import pytest
import typer

from unweave.cli.main import app

COMMANDS = typer.main.get_command(app).commands


def test_the_walk_finds_the_commands():
    assert {"demo", "sites", "disentangle", "analyse"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example(unweave, name):
    ran = unweave(name, "--help")
    assert ran.status == 0
    assert ran.err == ""
    assert f"Example: unweave {name}" in " ".join(ran.out.split())
    assert COMMANDS[name].help.partition("\n")[0].endswith(".")


@pytest.mark.parametrize(
    ("name", "parameter"),
    [(name, parameter) for name, command in COMMANDS.items() for parameter in command.params],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_option_has_a_help_text_that_is_a_sentence(name, parameter):
    text = parameter.help or ""
    assert len(text) > 10, f"{name}: {parameter.name} is not explained"
    assert text.endswith((".", "?")), f"{name}: {parameter.name}: {text}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_print_json(name):
    assert "--json" in {option for parameter in COMMANDS[name].params for option in parameter.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_of_80_columns(unweave, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, unweave(name, "--help").out.splitlines())) <= 80


def test_help_lists_every_command(unweave):
    listed = unweave("--help").out
    assert [name for name in COMMANDS if f"\n  {name} " not in listed] == []


def test_an_option_that_several_commands_have_is_explained_alike():
    shared = {
        "model",
        "weights",
        "preprocess",
        "size",
        "classes_file",
        "logits",
        "strict",
        "json",
        "loaders",
        "dry_run",
    }
    texts = {name: {p.help for c in COMMANDS.values() for p in c.params if p.name == name} for name in shared}
    assert {name: found for name, found in texts.items() if len(found) != 1} == {}
