"""`unweave`: the commands, and how their errors are shown."""

from __future__ import annotations

import sys
import warnings

import typer

from unweave.cli import analyse, demo, disentangle, sites
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
app.command("analyse")(analyse.analyse)


def run() -> None:
    """The entry point: bad input ends with one line on standard error and exit status 2."""
    warnings.showwarning = _show_warning
    try:
        app()
    except UnweaveError as error:
        sys.stderr.write(f"unweave: {' '.join(str(error).split())}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"unweave: {' '.join(str(error).split())}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("unweave: stopped\n")
        sys.exit(130)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"unweave: warning: {message}\n")
