"""Functions in a user's own Python file: `path/to/file.py:function`."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unweave.errors import SettingError
from unweave.network.refusals import first_line


def function_in_file(spec: str) -> Callable[[], Any]:
    """The function that `path/to/file.py:function` names. The file is run, as importing it would.

    Raises
    ------
    SettingError
        If the file or the function does not exist, or the file fails to run.
    """
    path_text, _, function = spec.rpartition(":")
    path = Path(path_text).resolve()
    if not os.path.isfile(path):
        raise SettingError(f"no file {path_text}")
    module_spec = importlib.util.spec_from_file_location(f"_user_{path.stem}", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module  # dataclasses and pickling look their module up there
    try:
        with _users_code(f"{path_text} fails to run"):
            module_spec.loader.exec_module(module)
    except SettingError:
        sys.modules.pop(module_spec.name, None)
        raise
    found = vars(module).get(function)
    if not callable(found):
        public = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise SettingError(f"{path_text} has no function {function!r}; it has {', '.join(public) or 'none'}")
    return found  # type: ignore[no-any-return]


def result_in_file(spec: str) -> Any:
    """What the function that `path/to/file.py:function` names returns, called without arguments.

    Raises
    ------
    SettingError
        As `function_in_file` does; and if the function needs arguments, fails, or ends the program.
    """
    function = function_in_file(spec)
    with _users_code(f"{spec} fails"):
        if missing := _required(function):
            raise SettingError(
                f"{spec} needs arguments ({', '.join(missing)}); give a function without any, which calls it with them"
            )
        return function()


@contextmanager
def _users_code(what_fails: str) -> Iterator[None]:
    """Whatever a user's code raises becomes one line; only an interruption from the keyboard stays what it is."""
    try:
        yield
    except (SettingError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise SettingError(f"{what_fails}: it ends the program (sys.exit({error.code!r})); return instead") from error
    except BaseException as error:
        raise SettingError(f"{what_fails}: {first_line(error)}") from error


def _required(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []  # what is written in C does not say what it takes
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in variable]
