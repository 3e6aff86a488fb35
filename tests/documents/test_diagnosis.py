"""Whatever a schema refuses is explained: the line, the element, and what was expected there."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from helpers.documents import DOCUMENTS, SECRET_ID, records
from helpers.grants import GRANTS
from secretd.documents.diagnosis import explain
from secretd.documents.grant import write_grant
from secretd.documents.messages import write_reply, write_request
from secretd.documents.secret import write_secret
from secretd.documents.shapes import GRANT, REPLY, REQUEST, SECRET, Shape
from secretd.documents.validation import Grammar
from secretd.documents.vocabulary import ATTRIBUTES, ELEMENTS
from secretd.operations import OPERATIONS

VAGUE = "is not as the schema says"

ROOTS = {"secret": SECRET, "grant": GRANT, "request": REQUEST, "reply": REPLY}
GRAMMARS = {name: Grammar(f"{name}.rng", name, shape) for name, shape in ROOTS.items()}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param("<uuid/>", "line 1: <uuid> at the root, where <secret> is expected", id="root"),
        pytest.param(
            "<frob/>", "line 1: an unknown element at the root, where <secret> is expected", id="unknown-root"
        ),
        pytest.param("<secret type=''/>", "line 1: <secret> may not have the attribute type", id="attribute"),
        pytest.param("<secret frob=''/>", "line 1: <secret> may not have an unknown attribute", id="unknown-attribute"),
        pytest.param(
            "<secret private='1'/>", "line 1: the attribute private of <secret> is not yes or no", id="yes-no"
        ),
        pytest.param("<secret>\nx</secret>", "line 1: <secret> may not hold text", id="text"),
        pytest.param("<secret>\u00a0</secret>", "line 1: <secret> may not hold text", id="no-white-space-of-xml"),
        pytest.param("<secret><usage type='none'/>x</secret>", "line 1: <secret> may not hold text", id="text-behind"),
        pytest.param("<secret>\n<name/></secret>", "line 2: <name> may not stand in <secret>", id="element"),
        pytest.param(
            "<secret>\n<frob/></secret>", "line 2: an unknown element may not stand in <secret>", id="unknown-element"
        ),
        pytest.param("<secret><uuid/><uuid/></secret>", "line 1: <secret> may hold one <uuid> only", id="twice"),
        pytest.param("<secret>\n\n<uuid>7</uuid></secret>", "line 3: <uuid> does not hold a UUID", id="uuid"),
        pytest.param("<secret><usage/></secret>", "line 1: <usage> needs the attribute type", id="no-type"),
        pytest.param(
            "<secret><usage type='x'/></secret>",
            "line 1: the attribute type of <usage> is not one of none, volume, ceph, iscsi, tls, vtpm",
            id="type",
        ),
        pytest.param(
            "<secret><usage type='iscsi'/></secret>",
            "line 1: <usage> of type iscsi needs the element <target>",
            id="no-id",
        ),
        pytest.param(
            "<secret><usage type='none'><name>x</name></usage></secret>",
            "line 1: <usage> of type none may not hold <name>",
            id="id-of-none",
        ),
        pytest.param(
            "<secret>\n<usage type='tls'>\n<name/></usage></secret>",
            "line 3: <name> does not hold an id",
            id="empty-name",
        ),
        pytest.param("<secret><volume/></secret>", "line 1: <volume> does not hold an id", id="empty-id"),
        pytest.param(
            "<secret><volume>a</volume><usage type='none'/></secret>",
            "line 1: <secret> may hold <usage> or <volume>, not both",
            id="both-forms",
        ),
        pytest.param("<request serial='1'/>", "line 1: <request> must hold one operation", id="no-operation"),
        pytest.param(
            f"<request serial='1'><set-value secret='{SECRET_ID}'/></request>",
            "line 1: <set-value> needs the element <value>",
            id="no-value",
        ),
        pytest.param(
            f"<request serial='1'><set-value secret='{SECRET_ID}'><value>YQ<uuid/></value></set-value></request>",
            "line 1: <uuid> may not stand in <value>",
            id="element-in-a-value",
        ),
        pytest.param(
            "<request serial='1'><lookup-by-usage><usage type='none'/></lookup-by-usage></request>",
            "line 1: <usage> of type none names nothing",
            id="lookup-of-none",
        ),
        pytest.param(
            "<request serial='1'><list limit='0'/></request>",
            "line 1: the attribute limit of <list> is not a number from 1 to 1000",
            id="number",
        ),
        pytest.param("<reply serial='1'/>", "line 1: <reply> must hold one result", id="no-result"),
        pytest.param(
            "<reply serial='1' message='1'><delete/></reply>",
            "line 1: <reply> needs either the attribute serial or the attribute message",
            id="serial-and-ordinal",
        ),
        pytest.param(
            "<reply message='1'><delete/></reply>",
            "line 1: <reply> to a message must hold <error>",
            id="result-by-ordinal",
        ),
    ],
)
def test_explanations(document: str, sentence: str) -> None:
    root = etree.fromstring(document)
    grammar = GRAMMARS.get(str(root.tag), GRAMMARS["secret"])
    fault = grammar.fault(root)
    assert fault is not None
    assert fault.message == sentence


def test_what_the_shapes_cannot_tell_is_still_said_with_its_place() -> None:
    assert explain(etree.Element("secret"), "secret", Shape(), 7).message == f"line 7: <secret> {VAGUE}"


TEXTS = st.sampled_from(["", " ", "x", "YQ==", SECRET_ID, "yes", "7", "volume", "ceph", "none", "a" * 32])
NAMES = st.sampled_from(sorted(ELEMENTS | ATTRIBUTES | {"frob"}))

VALID = {
    "secret": DOCUMENTS.map(lambda document: write_secret(document).encode()),
    "grant": GRANTS.map(lambda grant: write_grant(grant).encode()),
    "request": st.one_of([records(row.request) for row in OPERATIONS]).map(lambda record: write_request(7, record)),
    "reply": st.one_of([records(row.reply).map(partial(write_reply, 7, row)) for row in OPERATIONS]),
}


def set_attribute(element: etree._Element, draw: st.DrawFn) -> None:
    names = NAMES if not element.attrib else st.sampled_from(list(element.keys())) | NAMES
    element.set(draw(names), draw(TEXTS))


def drop_attribute(element: etree._Element, draw: st.DrawFn) -> None:
    if element.attrib:
        del element.attrib[draw(st.sampled_from(list(element.keys())))]


def set_text(element: etree._Element, draw: st.DrawFn) -> None:
    element.text = draw(TEXTS)


def set_tail(element: etree._Element, draw: st.DrawFn) -> None:
    if element.getparent() is not None:
        element.tail = draw(TEXTS)


def rename(element: etree._Element, draw: st.DrawFn) -> None:
    element.tag = draw(NAMES)


def add(element: etree._Element, draw: st.DrawFn) -> None:
    etree.SubElement(element, draw(NAMES))


def double(element: etree._Element, _draw: st.DrawFn) -> None:
    if element.getparent() is not None:
        element.addnext(deepcopy(element))


def drop(element: etree._Element, _draw: st.DrawFn) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


CHANGES = [set_attribute, drop_attribute, set_text, set_tail, rename, add, double, drop]


@st.composite
def nearly_right(draw: st.DrawFn, root: str) -> etree._Element:
    """Make a document that is right, or has a mistake or two."""
    document = etree.fromstring(draw(VALID[root]))
    for change in draw(st.lists(st.sampled_from(CHANGES), max_size=2)):
        change(draw(st.sampled_from(list(document.iter("*")))), draw)
    return document


@pytest.mark.parametrize("root", [pytest.param(name, id=name) for name in ROOTS])
@given(data=st.data())
def test_shapes_and_schema_agree(root: str, data: st.DataObject) -> None:
    document = data.draw(nearly_right(root))
    fault = GRAMMARS[root].fault(document)
    explained = VAGUE not in explain(document, root, ROOTS[root], 0).message
    assert explained == (fault is not None), etree.tostring(document)
