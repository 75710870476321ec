"""`unweave`: the commands, and how their errors are shown."""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import typer

from unweave.cli import analyse, attribute, bench, decouple, demo, disentangle, extract, paths, report, route, sites
from unweave.errors import UnweaveError

app = typer.Typer(
    name="unweave",
    help="Take a trained neural network apart into the parts that make each decision.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("sites")(sites.sites)
app.command("disentangle")(disentangle.disentangle)
app.command("attribute")(attribute.attribute)
app.command("route")(route.route)
app.command("analyse")(analyse.analyse)
app.command("report")(report.report)
app.command("decouple")(decouple.decouple)
app.command("paths")(paths.paths)
app.command("extract")(extract.extract)
app.command("bench")(bench.bench)


def run() -> None:
    """The entry point: bad input ends with one line on standard error and exit status 2."""
    warnings.showwarning = _show_warning
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="unweave", standalone_mode=False)
    except (UnweaveError, OSError) as error:
        _end_with(str(error))
    except MemoryError as error:
        _end_with(f"out of memory ({error or 'no more to be had'}); a smaller --batch needs less")
    except RuntimeError as error:
        if not str(error).startswith(_KNOWN):
            raise
        _end_with(f"{error}; what a run folder holds is kept: repeat the command to go on")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _end_with(_usage(error))
    if status == _INTERRUPTED:  # typer makes this of Ctrl-C, without a word
        _end_with("stopped; what a run folder holds is kept: repeat the command to go on", _INTERRUPTED)
    sys.exit(status)


def _usage(error: Any) -> str:
    """What is wrong with the options, and where they are explained; typer's own form takes four lines."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "unweave"
    return f"{error.format_message().rstrip('.')}; see: {command} --help"


_INTERRUPTED = 130

_KNOWN = ("DataLoader worker", "CUDA out of memory")
"""How torch begins what is said of a machine's limits, as plain `RuntimeError`s."""


_MOST = 500


def as_line(message: object) -> str:
    """One printable line of at most 500 characters: messages quote names and values that files hold. Of a longer one
    the middle is left out, because what to type next stands at the end."""
    line = " ".join(str(message).split())
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
    return shown if len(shown) <= _MOST else f"{shown[: _MOST - 205]} ... {shown[-200:]}"


def _end_with(message: str, status: int = 2) -> NoReturn:
    sys.stderr.write(f"unweave: {as_line(message)}\n")
    sys.exit(status)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"unweave: warning: {as_line(message)}\n")
