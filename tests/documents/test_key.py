"""The ``<key>`` document: the strict reading, and the one form in which it is written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from helpers.documents import KEYS
from helpers.tree import ROOT
from secretd import limits
from secretd.documents import shapes
from secretd.documents.key import read_key, write_key, write_key_compactly
from secretd.documents.scalars import Scalar
from secretd.documents.vocabulary import load_schema
from secretd.errors import InvalidDocumentError, InvalidXmlError, SecretdError
from secretd.keys import KeyDocument, KeyId, KeyUsage, Tag

CANARY = "hunter2"
RNG = "{http://relaxng.org/ns/structure/1.0}"
KEY_ID = "7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9"

WHOLE = KeyDocument(
    KeyId("nightly"), description="nightly backups", tags=(Tag("env", "prod"),), exportable=True, rotation=90
)
WRITTEN = """\
<key exportable='yes'>
  <id>nightly</id>
  <usage>encrypt-decrypt</usage>
  <description>nightly backups</description>
  <tag name='env'>prod</tag>
  <rotation days='90'/>
</key>
"""

ANOTHER_ORDER = (
    "<key exportable='yes'><rotation days='90'/><tag name='env'>prod</tag><usage>encrypt-decrypt</usage>"
    "<description>nightly backups</description><id>nightly</id></key>"
)

READ = {
    "nothing": ("<key/>", KeyDocument()),
    "whole": (WRITTEN, WHOLE),
    "another-order": (ANOTHER_ORDER, WHOLE),
    "not-exportable": ("<key exportable='no'/>", KeyDocument()),
    "uuid-in-capitals": (f"<key><id>{KEY_ID.upper()}</id></key>", KeyDocument(KeyId(KEY_ID))),
    "empty-description": ("<key><description/></key>", KeyDocument()),
    "tags-apart": (
        "<key><tag name='b'/><rotation days='1'/><tag name='a'>x</tag></key>",
        KeyDocument(tags=(Tag("a", "x"), Tag("b", "")), rotation=1),
    ),
    "comment": ("<key><!-- x --><id>abc</id></key>", KeyDocument(KeyId("abc"))),
    "escaped": (
        "<key><tag name='&#9;&#10;&apos;'>&#13;</tag><description>&lt;&amp;</description></key>",
        KeyDocument(description="<&", tags=(Tag("\t\n'", "\r"),)),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read(name: str) -> None:
    body, key = READ[name]
    assert read_key(body.encode()) == key


def test_what_is_written() -> None:
    assert write_key(WHOLE) == WRITTEN
    assert write_key_compactly(WHOLE) == "".join(line.strip() for line in WRITTEN.splitlines())
    assert write_key(KeyDocument()) == "<key exportable='no'>\n  <usage>encrypt-decrypt</usage>\n</key>\n"


@given(key=KEYS)
def test_a_key_comes_back_as_it_was(key: KeyDocument) -> None:
    assert read_key(write_key(key).encode()) == key
    assert read_key(write_key_compactly(key).encode()) == key


def test_the_longest_key_can_be_read() -> None:
    numbers = range(limits.KEY_TAGS)
    tags = tuple(
        Tag(f"{number:02}" + '"' * (limits.TAG_NAME_CHARACTERS - 2), "'" * limits.TAG_TEXT_CHARACTERS)
        for number in numbers
    )
    made = KeyDocument(
        KeyId(KEY_ID),
        description='"' * limits.KEY_DESCRIPTION_BYTES,
        tags=tags,
        exportable=True,
        rotation=limits.ROTATION_DAYS,
    )
    assert read_key(write_key(made).encode()) == made


TWICE = "<key><id>abc</id><id>abd</id></key>"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        pytest.param("<secret/>", InvalidDocumentError, "<secret> at the root, where <key> is expected", id="root"),
        pytest.param("<!DOCTYPE key><key/>", InvalidXmlError, "a document type declaration", id="doctype"),
        pytest.param("<key/>" + " " * limits.KEY_DOCUMENT_BYTES, InvalidXmlError, "at most 131072 bytes", id="long"),
        pytest.param("<key>\n<frob/></key>", InvalidDocumentError, "line 2: an unknown element in <key>", id="unknown"),
        pytest.param("<key frob=''/>", InvalidDocumentError, "an unknown attribute of <key>", id="unknown-attribute"),
        pytest.param("<key>x</key>", InvalidDocumentError, "<key> may not hold text", id="text"),
        pytest.param("<key exportable='1'/>", InvalidDocumentError, "exportable of <key> is not yes or no", id="flag"),
        pytest.param(TWICE, InvalidDocumentError, "<key> may hold one <id> only", id="two-ids"),
        pytest.param(
            "<key><id>.a</id></key>", InvalidDocumentError, "<id> does not hold a UUID or a name of a key", id="id"
        ),
        pytest.param("<key><id/></key>", InvalidDocumentError, "<id> does not hold", id="no-id"),
        pytest.param(
            "<key><usage>sign</usage></key>", InvalidDocumentError, "not hold one of encrypt-decrypt", id="usage"
        ),
        pytest.param(
            "<key><usage type='tls'/></key>", InvalidDocumentError, "<usage> may not have the attribute type", id="tls"
        ),
        pytest.param("<key><tag>x</tag></key>", InvalidDocumentError, "<tag> needs the attribute name", id="no-name"),
        pytest.param(
            "<key><tag name=''/></key>", InvalidDocumentError, "of <tag> is not the name of a tag", id="empty-name"
        ),
        pytest.param(
            "<key>\n<tag name='a'/><tag name='a'/></key>",
            InvalidDocumentError,
            "line 1: a tag is named twice",
            id="twice",
        ),
        pytest.param(
            f"<key>\n<tag name='{'n' * 129}'/></key>",
            InvalidDocumentError,
            "line 2: the name of a tag may have at most 128 characters",
            id="long-name",
        ),
        pytest.param(
            f"<key>\n<tag name='a'>{'n' * 257}</tag></key>",
            InvalidDocumentError,
            "line 2: the text of a tag may have at most 256 characters",
            id="long-text",
        ),
        pytest.param(
            f"<key>{''.join(f'<tag name={number!r}/>' for number in map(str, range(51)))}</key>",
            InvalidDocumentError,
            "a key may have at most 50 tags",
            id="many",
        ),
        pytest.param(
            f"<key><description>{'d' * 1025}</description></key>",
            InvalidDocumentError,
            "a description may have at most 1024 bytes",
            id="long-description",
        ),
        pytest.param("<key><rotation/></key>", InvalidDocumentError, "<rotation> needs the attribute days", id="days"),
        pytest.param(
            "<key><rotation days='0'/></key>", InvalidDocumentError, "is not a number from 1 to 3650", id="no-days"
        ),
        pytest.param("<key><rotation days='3651'/></key>", InvalidDocumentError, "from 1 to 3650", id="many-days"),
        pytest.param("<key xmlns='urn:x'/>", InvalidDocumentError, "an unknown attribute", id="namespace"),
    ],
)
def test_documents_that_are_refused(body: str, error: type[SecretdError], message: str) -> None:
    with pytest.raises(error) as caught:
        read_key(body.encode())
    assert message in caught.value.message


@given(data=st.data())
def test_no_error_quotes_the_document(data: st.DataObject) -> None:
    body = WRITTEN.replace("nightly", CANARY).encode()
    cut = data.draw(st.integers(0, len(body)))
    mangled = body[:cut] + data.draw(st.sampled_from([b"<", b"'", b"x", b""])) + body[cut + 1 :]
    try:
        read_key(mangled)
    except SecretdError as error:
        told = error.message
    else:
        told = ""
    assert CANARY not in told


# The schema is written by hand: what it names is what the model has, and each text in it what the shapes parse.


def test_the_words_of_the_schema() -> None:
    found = load_schema("key.rng").iterfind(f".//{RNG}element[@name='key']//{RNG}element[@name='usage']/{RNG}value")
    assert [word.text for word in found] == [usage.value for usage in KeyUsage]


def test_the_file_loads_as_any_validator_would_load_it() -> None:
    schema = etree.RelaxNG(file=str(ROOT / "schemas" / "key.rng"))
    assert schema.validate(etree.fromstring(WRITTEN))
    assert not schema.validate(etree.fromstring("<secret/>"))


def only(definition: str) -> etree.RelaxNG:
    """Make a schema of which the root's one attribute is a definition of key.rng."""
    grammar = load_schema("key.rng")
    (start,) = grammar.iterfind(f"{RNG}start")
    pattern = f"<attribute name='a'><ref name='{definition}'/></attribute>"
    start[:] = [etree.fromstring(f"<element name='x' xmlns='{RNG[1:-1]}'>{pattern}</element>")]
    return etree.RelaxNG(etree.fromstring(etree.tostring(grammar)))


SCALARS: Mapping[str, Scalar] = {"key.tag-name": shapes.TAG_NAME, "key.days": shapes.ROTATION_DAYS}
SCHEMAS = {definition: only(definition) for definition in SCALARS}
TEXTS = st.one_of(
    st.sampled_from(["", " ", "0", "00", "1", "01", "-1", "+1", "3650", "3651", "9" * 19, "9" * 40, "\u0667", "7 "]),
    st.integers(0, 4000).map(str),
    st.text("ab.9_-/*", max_size=8),
)


@pytest.mark.parametrize("definition", SCALARS)
@given(text=TEXTS)
def test_parser_and_schema_agree(definition: str, text: str) -> None:
    accepted = SCHEMAS[definition].validate(etree.Element("x", {"a": text}))
    assert accepted == (SCALARS[definition].parse(text) is not None)
