"""Functions in a user's own Python file: `path/to/file.py:function`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unweave.errors import SettingError


def function_in_file(spec: str) -> Callable[[], Any]:
    """The function that `path/to/file.py:function` names. The file is run, as importing it would.

    Raises
    ------
    SettingError
        If the file or the function does not exist, or the file fails to run.
    """
    path_text, _, function = spec.rpartition(":")
    path = Path(path_text).resolve()
    if not path.is_file():
        raise SettingError(f"no file {path_text}")
    module_spec = importlib.util.spec_from_file_location(f"_user_{path.stem}", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module  # dataclasses and pickling look their module up there
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_spec.name]
        raise SettingError(f"{path_text} fails to run: {type(error).__name__}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        public = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise SettingError(f"{path_text} has no function {function!r}; it has {', '.join(public) or 'none'}")
    return found  # type: ignore[no-any-return]
