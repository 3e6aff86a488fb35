"""What the scan lets through, what it refuses, and how much it does for a stranger."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.documents import scan as scanning
from secretd.documents.scan import UnknownName, UnknownNames, scan
from secretd.errors import InvalidXmlError

MOST = int(limits.MESSAGE_BYTES)

LAUGHS = b"<!DOCTYPE lolz [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
)


def wide(elements: int) -> bytes:
    return b"<secret>" + b"<usage/>" * (elements - 1) + b"</secret>"


def deep(levels: int) -> bytes:
    return b"<request>" * levels + b"</request>" * levels


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<secret/>", id="plain"),
        pytest.param(b"\xef\xbb\xbf<secret/>", id="byte-order-mark-of-utf-8"),
        pytest.param(b"<?xml version='1.0' encoding='utf-8' standalone='yes'?><secret/>", id="declaration"),
        pytest.param(b"<secret><!-- a comment --></secret>", id="comment"),
        pytest.param(b"<description>&lt;&gt;&amp;&apos;&quot;&#65;&#x41;</description>", id="the-five-and-references"),
        pytest.param(b"<description><![CDATA[<x>]]></description>", id="cdata"),
        pytest.param(deep(limits.DOCUMENT_DEPTH), id="as-deep-as-may-be"),
        pytest.param(wide(limits.DOCUMENT_ELEMENTS), id="as-many-elements-as-may-be"),
    ],
)
def test_documents_that_pass(body: bytes) -> None:
    assert scan(body, MOST).unknown is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "line 1: not well-formed XML: the document ends too early", id="nothing"),
        pytest.param(b" \n", "line 2: not well-formed XML: the document ends too early", id="white-space"),
        pytest.param(b"<secret>\n<uuid>", "line 2: not well-formed XML: the document ends too early", id="open"),
        pytest.param(b"<secret", "line 1: not well-formed XML: a tag or comment has no end", id="open-tag"),
        pytest.param(b"<secret>\n</uuid>", "line 2: not well-formed XML: an end tag is not that of", id="mismatch"),
        pytest.param(b"<secret/>\n<secret/>", "line 2: not well-formed XML: something follows", id="two-roots"),
        pytest.param(b"<secret/>\0", "line 1: not well-formed XML: a character that may not", id="nul-behind"),
        pytest.param(b"<sec\0ret/>", "line 1: not well-formed XML: a character that may not", id="nul-within"),
        pytest.param(b"<secret>\xc3\x28</secret>", "line 1: not well-formed XML: a character that may not", id="utf-8"),
        pytest.param(b"<secret>\xed\xa0\x80</secret>", "line 1: not well-formed XML", id="surrogate"),
        pytest.param(b"<secret>\xc3", "line 1: not well-formed XML: a character is cut off", id="partial"),
        pytest.param(b"<secret>&#0;</secret>", "line 1: not well-formed XML: a reference to a", id="reference-to-nul"),
        pytest.param(b"<secret>&x;</secret>", "line 1: not well-formed XML: an entity that XML does", id="entity"),
        pytest.param(b"<secret type='' type=''/>", "line 1: not well-formed XML: an attribute is", id="twice"),
        pytest.param(b"<secret><![CDATA[", "line 1: not well-formed XML: a CDATA section has no", id="open-cdata"),
        pytest.param(b"\n<?xml version='1.0'?><secret/>", "line 2: not well-formed XML: the XML decl", id="late"),
        pytest.param(b"<secret type=yes/>", "line 1: not well-formed XML", id="unquoted"),
        pytest.param("<secret/>".encode("utf-16"), "line 1: not well-formed XML", id="utf-16-with-its-mark"),
        pytest.param("<secret/>".encode("utf-16-be"), "line 1: not well-formed XML", id="utf-16-without"),
        pytest.param("<secret/>".encode("utf-32"), "line 1: not well-formed XML", id="utf-32"),
        pytest.param(b"+ADw-secret/+AD4-", "line 1: not well-formed XML", id="utf-7"),
        pytest.param(b"<?xml version='1.0' encoding='UTF-7'?><secret/>", "line 1: an encoding other", id="says-utf-7"),
        pytest.param(b"<?xml version='1.0' encoding='UTF-16'?><secret/>", "an encoding other than", id="says-utf-16"),
        pytest.param(b"<?xml version='1.0' encoding='ISO-8859-1'?><secret/>", "an encoding other", id="says-latin-1"),
        pytest.param(b"<?xml version='1.0' encoding='x-unheard'?><secret/>", "an encoding other", id="says-anything"),
        pytest.param(b"<!DOCTYPE secret><secret/>", "line 1: a document type declaration", id="doctype"),
        pytest.param(b"<!DOCTYPE secret []><secret/>", "a document type declaration", id="doctype-empty"),
        pytest.param(b"<!DOCTYPE secret SYSTEM 'file:///x'><secret/>", "a document type", id="doctype-system"),
        pytest.param(b"<!DOCTYPE secret PUBLIC '-//x' 'http://x'><secret/>", "a document type", id="doctype-public"),
        pytest.param(LAUGHS + b"]><secret>&j;</secret>", "a document type declaration", id="billion-laughs"),
        pytest.param(
            b"<!DOCTYPE s [<!ENTITY a '" + b"a" * 50_000 + b"'>]><s>" + b"&a;" * 50_000 + b"</s>",
            "a document type declaration",
            id="quadratic-entity",
        ),
        pytest.param(
            b"<!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><s>&x;</s>",
            "a document type declaration",
            id="external-entity",
        ),
        pytest.param(
            b"<!DOCTYPE s [<!ENTITY % p SYSTEM 'http://127.0.0.1:1/'> %p;]><s/>",
            "a document type declaration",
            id="parameter-entity",
        ),
        pytest.param(wide(limits.DOCUMENT_ELEMENTS + 1), "line 1: more than 1000 elements", id="an-element-too-many"),
        pytest.param(deep(limits.DOCUMENT_DEPTH + 1), "line 1: elements more than 16 deep", id="a-level-too-deep"),
        pytest.param(b"<request>" * 25_000, "elements more than 16 deep", id="very-deep"),
        pytest.param(
            b"<secret " + b" ".join(b"a%d=''" % n for n in range(33)) + b"/>",
            "more than 32 attributes",
            id="an-attribute-too-many",
        ),
        pytest.param(
            b"<secret " + b" ".join(b"a%d=''" % n for n in range(20_000)) + b"/>",
            "more than 32 attributes",
            id="attribute-flood",
        ),
        pytest.param(b"<" + b"n" * 65 + b"/>", "a name of more than 64 bytes", id="long-name"),
        pytest.param(b"<" + "é".encode() * 33 + b"/>", "a name of more than 64 bytes", id="long-name-in-bytes"),
        pytest.param(b"<" + b"n" * 200_000 + b"/>", "a name of more than 64 bytes", id="huge-name"),
        pytest.param(b"<secret " + b"n" * 200_000 + b"=''/>", "a name of more than 64 bytes", id="huge-attribute"),
        pytest.param(b"<secret>" + b" " * MOST + b"</secret>", "at most 262144 bytes", id="too-long"),
    ],
)
@pytest.mark.parametrize("allowance", [None, UnknownNames()], ids=["strict", "as-libvirt"])
def test_documents_that_are_refused(body: bytes, message: str, allowance: UnknownNames | None) -> None:
    with pytest.raises(InvalidXmlError) as caught:
        scan(body, MOST, allowance)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"<?php x?><secret/>", "line 1: a processing instruction", id="before"),
        pytest.param(b"<secret>\n<?x y?></secret>", "line 2: a processing instruction", id="within"),
        pytest.param(b"<secret/>\n\n<?x y?>", "line 3: a processing instruction", id="behind"),
    ],
)
def test_processing_instructions_pass_with_unknown_names_only(body: bytes, message: str) -> None:
    with pytest.raises(InvalidXmlError, match=f"^{message}, which no document here may have$"):
        scan(body, MOST)
    assert scan(body, MOST, UnknownNames(limit=1)).root == "secret"
    with pytest.raises(InvalidXmlError, match="more unknown names than one user may bring"):
        scan(body, MOST, UnknownNames(limit=0))


@pytest.mark.parametrize(
    ("body", "unknown", "message"),
    [
        pytest.param(b"<frob/>", UnknownName(1, (), False), "line 1: an unknown element at the root", id="root"),
        pytest.param(
            b"<secret>\n<frob/></secret>",
            UnknownName(2, ("secret",), False),
            "line 2: an unknown element in <secret>",
            id="element",
        ),
        pytest.param(
            b"<secret>\n\n<usage frob=''/></secret>",
            UnknownName(3, ("secret", "usage"), True),
            "line 3: an unknown attribute of <usage>",
            id="attribute",
        ),
        pytest.param(
            b"<secret><volume type=''/><uuid volume=''/></secret>",
            UnknownName(1, ("secret", "uuid"), True),
            "line 1: an unknown attribute of <uuid>",
            id="an-element-is-no-attribute",
        ),
        pytest.param(
            b"<secret><ephemeral/></secret>",
            UnknownName(1, ("secret",), False),
            "line 1: an unknown element in <secret>",
            id="an-attribute-is-no-element",
        ),
        pytest.param(
            b"<secret xmlns='urn:x'/>", UnknownName(1, ("secret",), True), "unknown attribute of <secret>", id="xmlns"
        ),
        pytest.param(b"<s:secret xmlns:s='urn:x'/>", UnknownName(1, (), False), "at the root", id="prefix"),
        pytest.param(
            b"<secret xml:id='a'/>", UnknownName(1, ("secret",), True), "unknown attribute of <secret>", id="xml-id"
        ),
        pytest.param(
            b"<secret><frob><secret/></frob><uuid a=''/></secret>",
            UnknownName(1, ("secret",), False),
            "line 1: an unknown element in <secret>",
            id="the-first-of-several",
        ),
    ],
)
def test_a_name_that_is_not_ours_is_reported(body: bytes, unknown: UnknownName, message: str) -> None:
    found = scan(body, MOST).unknown
    assert found == unknown
    assert found is not None
    assert message in found.error().message


def test_behind_an_unknown_name_the_document_must_still_be_well_formed() -> None:
    with pytest.raises(InvalidXmlError, match="not well-formed"):
        scan(b"<request serial='1'><frob></request>", MOST)


def test_unknown_names_are_budgeted_over_documents() -> None:
    names = UnknownNames(limit=3)
    scan(b"<secret><a b=''/></secret>", MOST, names)
    scan(b"<secret><a b=''/><b/></secret>", MOST, names)
    scan(b"<secret><c/></secret>", MOST, names)
    with pytest.raises(InvalidXmlError, match="line 2: more unknown names than one user may bring"):
        scan(b"<secret>\n<d/></secret>", MOST, names)
    assert scan(b"<secret><c/><a/></secret>", MOST, names).root == "secret"


def test_ever_new_names_end_at_the_limit() -> None:
    names = UnknownNames()
    for number in range(limits.UNKNOWN_NAMES_PER_UID):
        scan(b"<secret><n%d/></secret>" % number, MOST, names)
    with pytest.raises(InvalidXmlError, match="more unknown names"):
        scan(b"<secret><another/></secret>", MOST, names)


@pytest.mark.parametrize("attribute", [pytest.param("xmlns", id="default"), pytest.param("xmlns:p", id="prefix")])
def test_namespaces_count_as_names(attribute: str) -> None:
    names = UnknownNames(limit=2)
    scan(f"<secret {attribute}='urn:a'/>".encode(), MOST, names)
    with pytest.raises(InvalidXmlError, match="more unknown names"):
        scan(f"<secret {attribute}='urn:b'/>".encode(), MOST, names)


def test_the_scan_leaves_nothing_for_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        scan(b"<secret><uuid>x</uuid></secret>", MOST)
        assert gc.collect() == 0
    finally:
        gc.enable()


@given(body=st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused(body: bytes) -> None:
    with suppress(InvalidXmlError):
        assert scan(body, MOST).root


ODD = [b" \n" * 9 + b" " * number for number in range(5)]
"""White space that nobody indents by."""


class TestWhiteSpace:
    """libxml2 never forgets some of it: what is odd is counted, as names are."""

    @pytest.mark.parametrize("space", [b"\n" + b" " * 40, b"\n" * 20, b"\t" * 30, b"\r\n\r\n" + b"\t" * 20, b" " * 500])
    def test_what_indents_is_never_too_much(self, space: bytes) -> None:
        for number in range(3):
            scan(b"<secret>" + space + b" " * number * space.count(b" ") + b"</secret>", 10_000, UnknownNames(0))

    def test_odd_space_is_counted_once_for_each_form(self) -> None:
        names = UnknownNames(2)
        for space in (*ODD[:2], *ODD[:2]):
            scan(b"<secret>" + space + b"</secret>", 1_000, names)
        with pytest.raises(InvalidXmlError, match="line 1: white space"):
            scan(b"<secret>" + ODD[2] + b"</secret>", 1_000, names)

    def test_there_is_a_bound_without_an_allowance_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "_ODD_SPACES", UnknownNames(1))
        scan(b"<secret>" + ODD[0] + b"</secret>", 1_000)
        with pytest.raises(InvalidXmlError, match="indent by spaces"):
            scan(b"\n\n<secret>" + ODD[1] + b"</secret>", 1_000)

    def test_short_space_is_nobodys_business(self) -> None:
        scan(b"<secret> \t \n \t \n \t</secret>", 1_000, UnknownNames(0))
