"""The ``<secret>`` document: the strict reading, and the one form in which it is written."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.documents import DOCUMENTS, SECRET_ID
from secretd import limits
from secretd.documents.libvirt_secret import read_libvirt_secret
from secretd.documents.scan import UnknownNames
from secretd.documents.secret import read_secret, write_secret
from secretd.errors import InvalidDocumentError, InvalidXmlError, SecretdError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

ID = UUID(SECRET_ID)
NOTHING = SecretDocument(Attributes())


def usage(kind: UsageType, usage_id: str) -> SecretDocument:
    return SecretDocument(Attributes(Usage(kind, usage_id)))


BOTH = [
    pytest.param("<secret/>", NOTHING, id="empty"),
    pytest.param("<secret ephemeral='yes'/>", SecretDocument(Attributes(ephemeral=True)), id="ephemeral"),
    pytest.param("<secret private='yes'/>", SecretDocument(Attributes(private=True)), id="private"),
    pytest.param("<secret ephemeral='no' private='no'/>", NOTHING, id="no"),
    pytest.param(f"<secret><uuid>{SECRET_ID}</uuid></secret>", SecretDocument(Attributes(), ID), id="uuid"),
    pytest.param(
        f"<secret><uuid>{SECRET_ID.upper()}</uuid></secret>", SecretDocument(Attributes(), ID), id="upper-case"
    ),
    pytest.param(f"<secret><uuid>{ID.hex}</uuid></secret>", SecretDocument(Attributes(), ID), id="uuid-without-dashes"),
    pytest.param(
        "<secret><description> a &lt;b&gt; é </description></secret>",
        SecretDocument(Attributes(description=" a <b> é ")),
        id="description",
    ),
    pytest.param("<secret><description/></secret>", NOTHING, id="empty-description"),
    pytest.param(
        "<secret><description>a<!-- b -->c<![CDATA[<d>]]></description></secret>",
        SecretDocument(Attributes(description="ac<d>")),
        id="comment-and-cdata",
    ),
    pytest.param("<secret><usage type='none'/></secret>", NOTHING, id="none"),
    pytest.param(
        "<secret><usage type='volume'><volume>/a</volume></usage></secret>", usage(UsageType.VOLUME, "/a"), id="volume"
    ),
    pytest.param("<secret><usage type='ceph'><name>a</name></usage></secret>", usage(UsageType.CEPH, "a"), id="ceph"),
    pytest.param(
        "<secret><usage type='iscsi'><target>a</target></usage></secret>", usage(UsageType.ISCSI, "a"), id="iscsi"
    ),
    pytest.param("<secret><usage type='tls'><name>a</name></usage></secret>", usage(UsageType.TLS, "a"), id="tls"),
    pytest.param("<secret><usage type='vtpm'><name>a</name></usage></secret>", usage(UsageType.VTPM, "a"), id="vtpm"),
    pytest.param("<secret><volume>/a</volume></secret>", usage(UsageType.VOLUME, "/a"), id="short-form"),
    pytest.param("<secret><volume> </volume></secret>", usage(UsageType.VOLUME, " "), id="a-space-is-an-id"),
    pytest.param(
        "<?xml version='1.0' encoding='UTF-8'?>\n<!-- mine -->\n<secret/>\n", NOTHING, id="declaration-and-comment"
    ),
]


@pytest.mark.parametrize(("body", "document"), BOTH)
def test_both_readings(body: str, document: SecretDocument) -> None:
    assert read_secret(body.encode()) == document
    assert read_libvirt_secret(body.encode(), UnknownNames(), validate=False) == document


@given(document=DOCUMENTS)
def test_a_document_comes_back_as_it_was(document: SecretDocument) -> None:
    body = write_secret(document).encode()
    assert read_secret(body) == document
    assert write_secret(read_secret(body)).encode() == body


@pytest.mark.parametrize(
    ("document", "written"),
    [
        pytest.param(NOTHING, "<secret ephemeral='no' private='no'>\n</secret>\n", id="nothing"),
        pytest.param(
            SecretDocument(Attributes(Usage(UsageType.ISCSI, "a&b"), "it's\r", True, True), ID),
            "<secret ephemeral='yes' private='yes'>\n"
            f"  <uuid>{SECRET_ID}</uuid>\n"
            "  <description>it&apos;s&#13;</description>\n"
            "  <usage type='iscsi'>\n"
            "    <target>a&amp;b</target>\n"
            "  </usage>\n"
            "</secret>\n",
            id="everything",
        ),
        pytest.param(
            SecretDocument(Attributes(description="")), "<secret ephemeral='no' private='no'>\n</secret>\n", id="empty"
        ),
    ],
)
def test_the_one_form(document: SecretDocument, written: str) -> None:
    assert write_secret(document) == written


def test_the_longest_document_that_the_model_allows_can_be_read() -> None:
    widest = Attributes(
        Usage(UsageType.VOLUME, "'" * limits.USAGE_ID_BYTES), '"' * limits.DESCRIPTION_BYTES, True, True
    )
    document = SecretDocument(widest, ID)
    assert read_secret(write_secret(document).encode()) == document


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        pytest.param("<uuid/>", InvalidDocumentError, "line 1: <uuid> at the root, where <secret> is", id="root"),
        pytest.param("<secret>\n<uuid>1</uuid></secret>", InvalidDocumentError, "line 2: <uuid> does not", id="uuid"),
        pytest.param(
            "<secret>\n<frob/></secret>", InvalidDocumentError, "line 2: an unknown element in <secret>", id="name"
        ),
        pytest.param(
            f"<secret>\n<volume>{'v' * 4097}</volume></secret>",
            InvalidDocumentError,
            "line 2: a usage id may have at most 4096 bytes",
            id="long-short-form",
        ),
        pytest.param(
            f"<secret>\n<usage type='tls'><name>{'é' * 2049}</name></usage></secret>",
            InvalidDocumentError,
            "line 2: a usage id may have at most 4096 bytes",
            id="long-usage",
        ),
        pytest.param(
            f"<secret><description>{'d' * 6145}</description></secret>",
            InvalidDocumentError,
            "line 1: a description may have at most 6144 bytes",
            id="long-description",
        ),
        pytest.param(
            f"<secret>{' ' * limits.DOCUMENT_BYTES}</secret>", InvalidXmlError, "at most 65536 bytes", id="long"
        ),
    ],
)
def test_the_strict_reading_refuses(body: str, error: type[SecretdError], message: str) -> None:
    with pytest.raises(error) as caught:
        read_secret(body.encode())
    assert caught.value.message.startswith(message) or message in caught.value.message


@given(body=st.binary(max_size=100) | DOCUMENTS.map(lambda document: write_secret(document).encode()), data=st.data())
def test_any_bytes_are_read_or_refused(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    mangled = body[:cut] + data.draw(st.binary(max_size=3)) + body[cut + data.draw(st.integers(0, 3)) :]
    with suppress(SecretdError):
        read_secret(mangled)
