from __future__ import annotations

import pytest
from hypothesis import given
from lxml import etree

from helpers.documents import TEXT
from secretd.documents.escape import escape, escape_attribute


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("a&b", "a&amp;b", id="ampersand"),
        pytest.param("<b>", "&lt;b&gt;", id="brackets"),
        pytest.param("]]>", "]]&gt;", id="end-of-cdata"),
        pytest.param("'\"", "&apos;&quot;", id="quotes-as-libvirt-writes-them"),
        pytest.param("a\r\nb", "a&#13;\nb", id="carriage-return"),
        pytest.param("\té\U0001f511\n", "\té\U0001f511\n", id="all-others-as-they-are"),
    ],
)
def test_escapes(text: str, written: str) -> None:
    assert escape(text) == written


@given(text=TEXT)
def test_a_parser_reads_the_same_text(text: str) -> None:
    assert (etree.fromstring(f"<a>{escape(text)}</a>".encode()).text or "") == text


@given(text=TEXT)
def test_an_attribute_keeps_its_white_space(text: str) -> None:
    for quote in "'\"":
        assert etree.fromstring(f"<a b={quote}{escape_attribute(text)}{quote}/>".encode()).get("b") == text
