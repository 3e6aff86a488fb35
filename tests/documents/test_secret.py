"""The ``<secret>`` document: the strict reading, libvirt's reading, and the one form in which it is written."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.documents import DOCUMENTS, SECRET_ID
from secretd import limits
from secretd.documents.scan import UnknownNames
from secretd.documents.secret import read_libvirt_secret, read_secret, write_secret
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
    for validate in (False, True):
        assert read_libvirt_secret(body.encode(), UnknownNames(), validate=validate) == document


@given(document=DOCUMENTS)
def test_a_document_comes_back_as_it_was(document: SecretDocument) -> None:
    body = write_secret(document).encode()
    assert read_secret(body) == document
    assert read_libvirt_secret(body, UnknownNames(), validate=True) == document
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


LIBVIRT_ONLY = [
    pytest.param("<secret><frob a='b'><uuid>x</uuid></frob></secret>", NOTHING, id="unknown-names"),
    pytest.param(
        "<secret xmlns:x='urn:x'><x:description>d</x:description></secret>", NOTHING, id="a-namespace-of-others"
    ),
    pytest.param("<secret>text</secret>", NOTHING, id="stray-text"),
    pytest.param("<secret ephemeral='' private=''/>", NOTHING, id="empty-flags"),
    pytest.param("<secret><uuid/></secret>", NOTHING, id="empty-uuid"),
    pytest.param(
        f"<secret><uuid> \n{SECRET_ID}\t</uuid></secret>", SecretDocument(Attributes(), ID), id="space-round-a-uuid"
    ),
    pytest.param(
        f"<secret><uuid>{'-'.join(ID.hex[n : n + 2] for n in range(0, 32, 2))}</uuid></secret>",
        SecretDocument(Attributes(), ID),
        id="dashes-between-any-two",
    ),
    pytest.param(
        f"<secret><uuid>{SECRET_ID.replace('-', ' - ')}</uuid></secret>",
        SecretDocument(Attributes(), ID),
        id="spaces-within-a-uuid",
    ),
    pytest.param(
        "<secret><usage type='ceph'><name>a</name></usage><usage type='tls'><name>b</name></usage></secret>",
        usage(UsageType.CEPH, "a"),
        id="the-first-usage",
    ),
    pytest.param(
        "<secret><usage type='ceph'><name>a</name><name>b</name></usage></secret>",
        usage(UsageType.CEPH, "a"),
        id="the-first-id",
    ),
    pytest.param(
        "<secret><usage type='ceph'><target>b</target><name>a</name></usage></secret>",
        usage(UsageType.CEPH, "a"),
        id="the-id-of-the-type",
    ),
    pytest.param(
        "<secret><description>a</description><description>b</description></secret>",
        SecretDocument(Attributes(description="a")),
        id="the-first-description",
    ),
    pytest.param(
        "<secret><description>a<b>c</b>d</description></secret>",
        SecretDocument(Attributes(description="acd")),
        id="elements-in-a-text",
    ),
    pytest.param(
        "<secret><volume>v</volume><usage type='ceph'><name>a</name></usage></secret>",
        usage(UsageType.CEPH, "a"),
        id="usage-before-the-short-form",
    ),
]


@pytest.mark.parametrize(("body", "document"), LIBVIRT_ONLY)
def test_what_libvirt_passes_over(body: str, document: SecretDocument) -> None:
    assert read_libvirt_secret(body.encode(), UnknownNames(), validate=False) == document


@pytest.mark.parametrize("body", [pytest.param(case.values[0], id=case.id) for case in LIBVIRT_ONLY])
def test_validation_refuses_what_libvirt_passes_over(body: str) -> None:
    with pytest.raises(InvalidDocumentError, match=r"^line \d"):
        read_libvirt_secret(body.encode(), UnknownNames(), validate=True)
    with pytest.raises(SecretdError):
        read_secret(body.encode())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param("<domain/>", "line 1: unexpected root element, expecting <secret>", id="root"),
        pytest.param("<secret ephemeral='true'/>", "line 1: invalid value of 'ephemeral' in <secret>", id="ephemeral"),
        pytest.param("<secret private=' yes'/>", "line 1: invalid value of 'private' in <secret>", id="private"),
        pytest.param("<secret><uuid>xyz</uuid></secret>", "line 1: malformed <uuid> element", id="uuid"),
        pytest.param(
            f"<secret><uuid>{SECRET_ID}-</uuid></secret>", "line 1: malformed <uuid> element", id="dash-behind"
        ),
        pytest.param(f"<secret><uuid>{ID.hex}0</uuid></secret>", "line 1: malformed <uuid> element", id="33-digits"),
        pytest.param(
            f"<secret><uuid>{ID.hex[:1]}-{ID.hex[1:]}</uuid></secret>",
            "line 1: malformed <uuid> element",
            id="dash-within-a-pair",
        ),
        pytest.param(f"<secret><uuid>{' ' * 60_000}</uuid></secret>", "line 1: malformed <uuid> element", id="spaces"),
        pytest.param("<secret>\n<usage/></secret>", "line 2: unknown secret usage type in <usage>", id="no-type"),
        pytest.param("<secret><usage type=''/></secret>", "line 1: unknown secret usage type in <usage>", id="empty"),
        pytest.param("<secret><usage type='x'/></secret>", "line 1: unknown secret usage type in <usage>", id="type"),
        pytest.param(
            "<secret><usage type='volume'/></secret>",
            "line 1: usage of type volume specified, but <volume> is missing",
            id="volume",
        ),
        pytest.param(
            "<secret><usage type='iscsi'><target/></usage></secret>",
            "line 1: usage of type iscsi specified, but <target> is missing",
            id="empty-target",
        ),
    ],
)
def test_what_libvirt_refuses(body: str, message: str) -> None:
    with pytest.raises(InvalidXmlError) as caught:
        read_libvirt_secret(body.encode(), UnknownNames(), validate=False)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("<a:secret/>", id="prefix-of-no-namespace"),
        pytest.param("<secret b:c=''/>", id="attribute-prefix-of-no-namespace"),
        pytest.param("<secret xmlns:a='urn:x' xmlns:b='urn:x' a:c='' b:c=''/>", id="same-attribute-by-two-prefixes"),
    ],
)
def test_what_libxml2_refuses_after_the_scan(body: str) -> None:
    with pytest.raises(InvalidXmlError, match=r"^line 1: not well-formed XML$"):
        read_libvirt_secret(body.encode(), UnknownNames(), validate=False)


@given(body=st.binary(max_size=100) | DOCUMENTS.map(lambda document: write_secret(document).encode()), data=st.data())
def test_any_bytes_are_read_or_refused(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    mangled = body[:cut] + data.draw(st.binary(max_size=3)) + body[cut + data.draw(st.integers(0, 3)) :]
    with suppress(SecretdError):
        read_secret(mangled)
    with suppress(SecretdError):
        read_libvirt_secret(mangled, UnknownNames(), validate=False)
