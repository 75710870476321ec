"""Functions in a user's own file."""

import sys

import pytest

from unweave.errors import SettingError
from unweave.zoo.user_file import function_in_file, result_in_file


def _file(folder, text, name="own.py"):
    file = folder / name
    file.write_text(text)
    return file


def test_function_is_found_and_not_called(tmp_path):
    file = _file(tmp_path, "calls = []\ndef answer():\n    calls.append(1)\n    return 40 + len(calls)\n")
    function = function_in_file(f"{file}:answer")
    assert function() == 41
    assert function() == 42


def test_file_may_be_given_relative_to_the_working_folder(tmp_path, monkeypatch):
    _file(tmp_path, "def answer():\n    return 42\n")
    monkeypatch.chdir(tmp_path)
    assert function_in_file("own.py:answer")() == 42


def test_path_may_hold_colons(tmp_path):
    (tmp_path / "a:b").mkdir()
    assert function_in_file(f"{_file(tmp_path / 'a:b', 'def answer(): return 42')}:answer")() == 42


def test_files_of_the_same_name_are_told_apart(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        _file(tmp_path / name, f"def answer():\n    return {name!r}\n")
    first, second = (function_in_file(f"{tmp_path / name / 'own.py'}:answer") for name in ("first", "second"))
    assert (first(), second()) == ("first", "second")


def test_dataclasses_can_be_defined_in_the_file(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    file = _file(tmp_path, text + "@dataclass\nclass Box:\n    size: int\ndef box():\n    return Box(3)\n")
    assert function_in_file(f"{file}:box")().size == 3


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"no file .*none.py"):
        function_in_file(f"{tmp_path / 'none.py'}:answer")


def test_missing_function_is_answered_with_those_there_are(tmp_path):
    file = _file(tmp_path, "def small(): pass\ndef large(): pass\ndef _hidden(): pass\nsize = 3\n")
    with pytest.raises(SettingError, match="has no function 'medium'; it has large, small"):
        function_in_file(f"{file}:medium")
    with pytest.raises(SettingError, match="has no function 'size'"):
        function_in_file(f"{file}:size")


def test_file_without_functions_says_none(tmp_path):
    with pytest.raises(SettingError, match="has no function 'answer'; it has none"):
        function_in_file(f"{_file(tmp_path, '')}:answer")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('out of luck')", "fails to run: RuntimeError: out of luck"),
        ("import no_such_package_anywhere", "fails to run: ModuleNotFoundError: No module named 'no_such_package"),
        ("def answer(:", "fails to run: SyntaxError"),
        ("import sys\nsys.exit()", r"fails to run: it ends the program \(sys.exit\(None\)\); return instead"),
        ("class Stop(BaseException): pass\nraise Stop('now')", "fails to run: Stop: now"),
        ("raise ValueError('first\\nsecond')", "fails to run: ValueError: first$"),
        ("def deeper(): deeper()\ndeeper()", "fails to run: RecursionError"),
        ("import sys\ndel sys.modules[__name__]\nraise ValueError('gone')", "fails to run: ValueError: gone"),
    ],
)
def test_file_that_fails_is_refused_and_forgotten(tmp_path, text, message):
    file = _file(tmp_path, text, "failing.py")
    before = set(sys.modules)
    with pytest.raises(SettingError, match=message) as caught:
        function_in_file(f"{file}:answer")
    assert caught.value.__cause__ is not None
    assert set(sys.modules) == before


def test_an_interruption_from_the_keyboard_is_passed_on(tmp_path):
    file = _file(tmp_path, "def answer():\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        result_in_file(f"{file}:answer")


def test_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "own.py").write_bytes(bytes(range(256)))
    with pytest.raises(SettingError, match=r"own.py fails to run: "):
        function_in_file(f"{tmp_path / 'own.py'}:answer")


def test_result_is_what_the_function_returns(tmp_path):
    file = _file(tmp_path, "def answer(start=40, *rest, **more):\n    return start + 2\n")
    assert result_in_file(f"{file}:answer") == 42


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def answer(classes, *, width): pass", r"own.py:answer needs arguments \(classes, width\); give a function w"),
        (
            "import sys\ndef answer(): sys.exit(3)",
            r"own.py:answer fails: it ends the program \(sys.exit\(3\)\); return instead",
        ),
        ("class answer:\n    def __init__(self, size): pass", r"own.py:answer needs arguments \(size\)"),
        ("def answer(): raise OSError('one\\ntwo')", "own.py:answer fails: OSError: one$"),
        ("def answer(): return [][0]", "own.py:answer fails: IndexError"),
    ],
)
def test_function_that_gives_nothing_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(SettingError, match=message):
        result_in_file(f"{_file(tmp_path, text)}:answer")
