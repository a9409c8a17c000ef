"""CircuitsVis pages: nothing escapes, nothing is fetched, nothing grows without bound."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from interp.plots.circuitsvis import MAX_ENTRIES, attention_heads, colored_tokens, html_page
from interp.results.errors import BadInput
from interp.results.provenance import Provenance
from tests.plots.hostile import HOSTILE


class Elements(HTMLParser):
    """Every element of a page with its attributes, as an HTML parser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.found}


EXPECTED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "figure", "figcaption", "div"),
    *("details", "summary", "table", "thead", "tbody", "tr", "th", "td", "script", "footer"),
    "code",
}


def provenance(command: str = "interp test") -> Provenance:
    return Provenance(
        command=command, model_hash="ab" * 32, corpus_hash=None, seed=0, versions={}, settings={}
    )


def uniform_attention(n_heads: int, pos: int) -> np.ndarray:
    return np.full((n_heads, pos, pos), 1 / pos, dtype=np.float32)


def test_hostile_text_adds_no_element_and_no_handler():
    tokens = list(HOSTILE)
    pictures = [
        colored_tokens(tokens, np.linspace(-1, 1, len(tokens)), caption=tokens[0]),
        attention_heads(tokens[:8], uniform_attention(2, 8), names=tokens[:2], caption=HOSTILE[1]),
    ]
    page = html_page(pictures, title=HOSTILE[5], provenance=provenance(HOSTILE[1]))
    elements = Elements(page)
    assert elements.names == EXPECTED
    assert not [name for _, attrs in elements.found for name in attrs if name.startswith("on")]
    assert not [attrs for _, attrs in elements.found if "src" in attrs or "href" in attrs]


def test_a_token_is_text_even_where_circuitsvis_makes_it_html():
    picture = colored_tokens(list(HOSTILE), np.zeros(len(HOSTILE)))
    for token in picture.properties["tokens"]:
        assert Elements(f"<span>{token}</span>").names == {"span"}
        assert not re.search("<[a-zA-Z/!?]|&[a-zA-Z#]", token)


def test_the_bundle_stands_once_and_no_script_is_fetched():
    picture = colored_tokens(["a"], np.ones(1))
    one, three = (html_page([picture] * n, title="t") for n in (1, 3))
    assert one.count("var CircuitsVis=") == three.count("var CircuitsVis=") == 1
    assert "unpkg.com" not in one
    assert "default-src 'none'" in one
    assert len(three) - len(one) < 5_000


def test_values_are_rounded_to_three_digits():
    picture = colored_tokens(["a", "b"], np.array([0.123456, -12345.6]))
    assert picture.properties["values"] == [0.123, -12300.0]
    heads = attention_heads(["a"], np.array([[[0.98765]]]))
    assert heads.properties["attention"] == [[[0.988]]]


def test_the_scale_is_centred_on_zero_and_never_empty():
    picture = colored_tokens(["a", "b"], np.array([0.5, -2.0]))
    assert (picture.properties["minValue"], picture.properties["maxValue"]) == (-2.0, 2.0)
    silent = colored_tokens(["a"], np.zeros(1))
    assert (silent.properties["minValue"], silent.properties["maxValue"]) == (-1.0, 1.0)


def test_the_table_names_the_strongest_attention_first_and_nothing_above_the_diagonal():
    attention = np.array([[[1.0, 0.0], [0.3, 0.7]], [[1.0, 9.0], [0.9, 0.1]]])
    rows = attention_heads(["x", "y"], attention).rows
    assert rows[0] == ("head 0", "x (0)", "x (0)", "1.000")
    assert rows[2] == ("head 1", "y (1)", "x (0)", "0.900")
    assert all("9.000" not in row for row in rows)


def test_too_large_a_pattern_is_refused_and_the_largest_allowed_page_stays_under_5_mb():
    with pytest.raises(BadInput, match="choose fewer heads"):
        attention_heads(["a"] * 512, uniform_attention(12, 512))
    n_heads = MAX_ENTRIES // 256**2
    noise = np.random.default_rng(0).random((n_heads, 256, 256))
    page = html_page([attention_heads(["token"] * 256, noise)], title="large")
    assert len(page.encode()) < 5_000_000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_with_its_place(bad):
    with pytest.raises(BadInput, match=r"first at \(1,\)"):
        colored_tokens(["a", "b"], np.array([1.0, bad]))


def test_as_many_tokens_as_values_are_expected():
    with pytest.raises(BadInput, match="1 tokens but 2 values"):
        colored_tokens(["a"], np.ones(2))
    with pytest.raises(BadInput, match="names for 2 heads"):
        attention_heads(["a"], uniform_attention(2, 1), names=["one"])
    with pytest.raises(BadInput, match="one row and column a token"):
        attention_heads(["a", "b"], np.ones((1, 2, 1)))


def test_no_tokens_make_a_page_too():
    assert "CircuitsVis" in html_page([colored_tokens([], np.zeros(0))], title="empty")


def test_a_notebook_shows_the_picture_in_a_frame_without_same_origin():
    shown = colored_tokens(["</iframe>"], np.ones(1))._repr_html_()
    elements = Elements(shown)
    assert elements.names == {"iframe"}
    assert elements.found[0][1]["sandbox"] == "allow-scripts"
