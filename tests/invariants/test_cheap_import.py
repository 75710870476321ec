"""Importing unweave loads nothing that is slow to load or may be missing."""

import subprocess
import sys

SLOW = ("torch", "torchvision", "sklearn", "matplotlib", "pandas", "numpy", "rich", "typer", "PIL", "safetensors")


def _run(code):
    """What a fresh process prints."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True, timeout=240
    ).stdout.split()


def test_import_loads_no_slow_package():
    assert _run(f"import sys, unweave; [print(name) for name in {SLOW!r} if name in sys.modules]") == []


def test_listing_names_loads_no_slow_package():
    code = f"import sys, unweave; dir(unweave); unweave.__version__; print(*[n for n in {SLOW!r} if n in sys.modules])"
    assert _run(code) == []


def test_using_a_name_loads_what_it_needs():
    assert _run("import sys, unweave; unweave.UnweaveError; print('torch' in sys.modules)") == ["False"]


def test_searching_loads_neither_plots_nor_scikit_learn():
    late = ("matplotlib", "sklearn", "rich", "typer", "timm")
    assert _run(f"import sys, unweave; unweave.disentangle; [print(n) for n in {late!r} if n in sys.modules]") == []
