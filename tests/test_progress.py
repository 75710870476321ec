"""Progress: on standard error, and only where somebody looks."""

import sys

import pytest

from unweave.progress import progress


def test_nothing_is_shown_where_nobody_looks(capfd):
    with progress("searching", 10) as advance:
        advance(10, "done")
    assert capfd.readouterr() == ("", "")


def test_nothing_is_shown_when_not_asked_for(capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("searching", 10, show=False) as advance:
        advance(10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("show", [True, None])
def test_bar_is_shown_on_standard_error(capsys, monkeypatch, show):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: show is None, raising=False)
    with progress("searching", 10, show) as advance:
        advance(4, "pass 1 of 2")
        advance(6)
    out, err = capsys.readouterr()
    assert out == ""
    assert "searching" in err
    assert "100 %" in err
    assert "pass 1 of 2" in err


@pytest.mark.parametrize("show", [True, False])
def test_errors_pass_through(show):
    with pytest.raises(ValueError, match="inside"), progress("searching", 10, show) as advance:  # noqa: PT012
        advance(1)
        raise ValueError("inside")
