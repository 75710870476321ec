"""The public names are the same everywhere they are listed."""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

import unweave

MEASURES = [
    name for name, where in unweave._WHERE.items() if where.startswith(("unweave.analysis.", "unweave.planted."))
]
NOT_MEASURES = {"plant", "wordnet_distances"}
PLACE = r"(ICCV|ECCV|preprint) (section|Fig\.|Table|Eq\.) \d|not in the papers"


def _in_stub():
    """Where `__init__.pyi` says that each name comes from."""
    tree = ast.parse(Path(unweave.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname: f"{node.module}.{alias.name}" for node in imports for alias in node.names}


def test_stub_lists_the_lazy_names():
    assert _in_stub() == {name: f"{module}.{name}" for name, module in unweave._WHERE.items()}


def test_all_lists_the_lazy_names_in_order():
    assert unweave.__all__ == sorted(unweave._WHERE)
    assert dir(unweave) == sorted([*unweave.__all__, "__version__"])


@pytest.mark.parametrize("name", unweave.__all__)
def test_name_resolves_and_is_documented(name):
    found = getattr(unweave, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)
    # A dataclass without a docstring is given its signature for one.
    assert not found.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("name", [name for name in unweave.__all__ if not name[0].isupper()])
def test_functions_say_what_they_return(name):
    function = getattr(unweave, name)
    assert inspect.isfunction(function)
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("name", sorted({*MEASURES} - NOT_MEASURES))
def test_measures_say_what_they_return_and_where_the_papers_have_them(name):
    said = " ".join(getattr(unweave, name).__doc__.split())
    assert "Returns -------" in said
    assert re.search(PLACE, said)


def test_star_import_gives_the_public_names():
    names = {}
    exec("from unweave import *", names)
    assert set(unweave.__all__) <= names.keys()


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"unweave has no 'disentagle'; it has .*disentangle"):
        unweave.disentagle  # noqa: B018


def test_version_is_that_of_the_package():
    assert unweave.__version__ == importlib.metadata.version("unweave")
