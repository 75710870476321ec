"""The page: whole, offline, and deaf to what names say."""

import re

import pytest
from matplotlib.figure import Figure

from unweave.views.report.content import Content, Misjudged, Picture, Section
from unweave.views.report.render import render
from unweave.views.report.verdicts import Verdict

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"


def page(name="cat"):
    flow = {"rows": [name], "sites": [], "exciting": {}, "pictures": {}}
    return render(
        Content(
            title=f"Sub-architectures of {name}",
            verdicts=[Verdict("Does it?", "not measured", f"worst: {name}")],
            done=[("rows", name)],
            flow=flow,
            pictured=f"2 channels of {name}",
            classes=(["class", "own"], [[name, "99.0"]]),
            sections=[Section("What classes share", f"about {name}", [Picture(Figure(), f"figure of {name}", "up")])],
            misjudged=[Misjudged("data:image/jpeg;base64,AA", name, name, 0.5, 1)],
        )
    )


def test_names_cannot_become_markup():
    text = page(HOSTILE)
    assert HOSTILE not in text
    assert text.count("<script") == 2
    assert "onerror=alert(1)>" not in text


def test_nothing_is_loaded_from_elsewhere():
    text = page()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert "@import" not in text
    assert "url(" not in text


@pytest.mark.parametrize(
    "said", ["2 channels of cat", "Does it?", "not measured", "worst: cat", "figure of cat", "How to read: up", "99.0"]
)
def test_everything_that_is_given_is_on_the_page(said):
    assert said in page()


def test_how_to_read_a_figure_can_be_read_aloud():
    figure = Figure()
    figure.supxlabel("How to read: <up> is\nbetter.")
    flow = {"rows": [], "sites": [], "exciting": {}, "pictures": {}}
    sections = [Section("Shared", "", [Picture(figure, "similarity")])]
    text = render(Content("t", [], [], flow, "", ([], []), sections, []))
    assert 'alt="similarity. How to read: &lt;up&gt; is better."' in text


def test_a_class_can_be_found_among_many_by_a_part_of_its_name():
    text = page()
    assert '<input id="find" type="search"' in text
    assert 'find.addEventListener("input", offer)' in text
