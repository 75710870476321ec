"""How `Paths` look in a notebook."""

from html.parser import HTMLParser

from tests.paths.made import animals, make, sites_of
from unweave.network.sites import Site, Sites
from unweave.paths import Rows

VILLAIN = '<script>alert("x")</script>&'


class _Reader(HTMLParser):
    """Collects the tags, and the cells of every row."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if self.rows:
            self.rows[-1].append(data)


def test_table_has_a_row_a_row_and_a_cell_a_site():
    paths = animals()
    head, *body = _Reader(paths._repr_html_()).rows
    assert head == ["0", "1"]
    shares = paths.kept()
    assert body == [[name, *(f"{v:.0%}" for v in shares[i])] for i, name in enumerate(("cat", "dog", "cow"))]


def test_names_of_rows_and_sites_are_escaped():
    sites = Sites([Site(VILLAIN, 1, 4, (4, 2, 2))], (3, 8, 8), "float32", None)
    text = make(Rows.of_classes([0], [VILLAIN]), sites, manifest={"method": VILLAIN})._repr_html_()
    assert "<script" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;" in text
    assert _Reader(text).tags == {"table", "caption", "tr", "th", "td"}


def test_table_stays_short_for_a_thousand_rows_and_says_what_is_left_out():
    paths = make(Rows.of_classes(range(1000)), sites_of(*[3] * 26))
    text = paths._repr_html_()
    assert "(970 more rows and 2 more sites not shown)" in text
    assert len(_Reader(text).rows) == 31
    assert len(text) < 120_000


def test_table_without_rows_is_a_table():
    assert _Reader(animals()[:0]._repr_html_()).rows == [["0", "1"]]
