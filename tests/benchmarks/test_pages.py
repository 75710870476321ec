"""The tables of the pages are those that the results give."""

import pytest

from benchmarks.pages import DOCS, filled, pages


@pytest.mark.parametrize("page", pages())
def test_a_page_has_the_tables_of_its_results(page):
    text = (DOCS / page).read_text()
    assert filled(text, pages()[page]) == text, "python -m benchmarks.pages"


def test_a_section_that_is_filled_replaces_what_was_there_and_nothing_else():
    text = "a\n<!-- x begins -->\nold\n<!-- x ends -->\nb <!-- y begins --> c <!-- y ends -->"
    new = "a\n<!-- x begins -->\n\n1\n2\n\n<!-- x ends -->\nb <!-- y begins --> c <!-- y ends -->"
    assert filled(text, {"x": ["1", "2"]}) == new
    assert filled(new, {"x": ["1", "2"]}) == new
