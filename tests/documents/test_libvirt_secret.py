"""The ``<secret>`` document as libvirt reads it: held against what its daemon answered, and against our own reading."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.documents import DOCUMENTS, SECRET_ID
from helpers.tree import ROOT
from secretd import limits
from secretd.documents.libvirt_secret import read_libvirt_secret
from secretd.documents.scan import UnknownNames
from secretd.documents.secret import read_secret, write_secret
from secretd.errors import InvalidRequestError, LibvirtCode, LibvirtDomain, LibvirtError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

ID = UUID(SECRET_ID)
NAMES = UnknownNames(limit=1_000_000)

# What libvirt's daemon answered.

RECORDED = ROOT / "tests" / "vectors" / "libvirt-documents.json"
VECTORS: list[dict[str, Any]] = json.loads(RECORDED.read_text(encoding="ascii"))["vectors"]
FLAGS = {"define": False, "validate": True}


def whole(text: str | list[tuple[str, int]]) -> str:
    """Put a text together of which a vector gives the parts, and how often each is repeated."""
    return text if isinstance(text, str) else "".join(part * times for part, times in text)


def body_of(vector: dict[str, Any]) -> bytes:
    if "hex" in vector:
        return bytes.fromhex(vector["hex"])
    return whole(vector["document"] if "document" in vector else vector["parts"]).encode()


def outcome_of(body: bytes, *, validate: bool) -> dict[str, Any]:
    """Read a document; give what came of it as a vector says it."""
    try:
        document = read_libvirt_secret(body, NAMES, validate=validate)
    except LibvirtError as fault:
        return {"error": [fault.libvirt_code, fault.libvirt_domain]}
    # libvirt writes a carriage return as it is, and a parser then reads a line feed.
    return {"accepted": write_secret(document).replace("&#13;", "\r")}


def declared(outcome: dict[str, Any]) -> dict[str, Any]:
    return {"accepted": whole(outcome["accepted"])} if "accepted" in outcome else outcome


@pytest.mark.parametrize("call", FLAGS)
@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS])
def test_what_libvirts_daemon_answered(vector: dict[str, Any], call: str) -> None:
    expected = vector.get("ours", vector)[call]
    assert outcome_of(body_of(vector), validate=FLAGS[call]) == declared(expected)


def test_the_recordings_are_there_and_say_where_they_are_from() -> None:
    assert len(VECTORS) >= 600
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
    assert {vector["source"] for vector in VECTORS} == {"recorded from libvirtd 12.8"}
    for call in FLAGS:
        assert {next(iter(vector[call])) for vector in VECTORS} == {"accepted", "error"}


def test_every_difference_is_one_and_has_a_reason() -> None:
    differences = [vector for vector in VECTORS if "ours" in vector]
    assert differences
    for vector in differences:
        assert any(vector["ours"][call] != vector[call] for call in FLAGS)
        assert vector["ours"]["reason"]


# Beside our own reading.


def usage(kind: UsageType, usage_id: str) -> SecretDocument:
    return SecretDocument(Attributes(Usage(kind, usage_id)))


@given(document=DOCUMENTS)
def test_a_document_of_ours_is_read_alike(document: SecretDocument) -> None:
    body = write_secret(document).encode()
    assert read_libvirt_secret(body, NAMES, validate=False) == document


@given(document=DOCUMENTS)
def test_validation_changes_no_document(document: SecretDocument) -> None:
    with suppress(LibvirtError):
        assert read_libvirt_secret(write_secret(document).encode(), NAMES, validate=True) == document


@pytest.mark.parametrize(
    ("body", "document"),
    [
        pytest.param("<secret><usage type='none'/></secret>", SecretDocument(Attributes()), id="none"),
        pytest.param("<secret><volume>/a</volume></secret>", usage(UsageType.VOLUME, "/a"), id="short-form"),
        pytest.param(
            "<secret><usage type='ceph'><name>a/b</name></usage></secret>", usage(UsageType.CEPH, "a/b"), id="slash"
        ),
        pytest.param(
            "<secret><usage type='volume'><volume>a</volume></usage></secret>", usage(UsageType.VOLUME, "a"), id="path"
        ),
    ],
)
def test_what_our_schema_allows_and_libvirts_does_not(body: str, document: SecretDocument) -> None:
    assert read_secret(body.encode()) == document
    assert outcome_of(body.encode(), validate=True) == {"error": [92, 5]}
    assert read_libvirt_secret(body.encode(), NAMES, validate=False) == document


def test_the_id_may_have_dashes_and_spaces_between_its_bytes() -> None:
    digits = " - ".join(ID.hex[n : n + 2] for n in range(0, 32, 2))
    assert read_libvirt_secret(f"<secret><uuid>\n {digits}\t</uuid></secret>".encode(), NAMES, validate=False).id == ID


# What it says of a document that is refused.


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        pytest.param(
            "<secret>",
            (LibvirtCode.XML_DETAIL, LibvirtDomain.SECRET),
            "line 1: not well-formed XML: the document ends too early",
            id="malformed",
        ),
        pytest.param(
            "\n<domain/>",
            (LibvirtCode.XML_ERROR, LibvirtDomain.XML),
            "line 2: the root element is not <secret>",
            id="root",
        ),
        pytest.param(
            "<secret private='true'/>",
            (LibvirtCode.XML_ERROR, LibvirtDomain.SECRET),
            "line 1: the attribute private of <secret> is not yes or no",
            id="flag",
        ),
        pytest.param(
            "<secret><uuid>xyz</uuid></secret>",
            (LibvirtCode.INTERNAL_ERROR, LibvirtDomain.SECRET),
            "line 1: <uuid> does not hold a UUID",
            id="uuid",
        ),
        pytest.param(
            f"<secret><uuid>{' ' * 60_000}</uuid></secret>",
            (LibvirtCode.INTERNAL_ERROR, LibvirtDomain.SECRET),
            "line 1: <uuid> does not hold a UUID",
            id="many-spaces",
        ),
        pytest.param(
            "<secret>\n<usage type='tpm'/></secret>",
            (LibvirtCode.XML_ERROR, LibvirtDomain.XML),
            "line 2: the attribute type of <usage> is not one of none, volume, ceph, iscsi, tls, vtpm",
            id="type",
        ),
        pytest.param(
            "<secret>\n<usage type='iscsi'><name>a</name></usage></secret>",
            (LibvirtCode.INTERNAL_ERROR, LibvirtDomain.SECRET),
            "line 2: <usage> of type iscsi needs the element <target>",
            id="usage-id",
        ),
        pytest.param(
            f"<secret>\n<usage type='tls'><name>{'é' * 2049}</name></usage></secret>",
            (LibvirtCode.XML_ERROR, LibvirtDomain.SECRET),
            "line 2: a usage id may have at most 4096 bytes of UTF-8",
            id="long-usage-id",
        ),
        pytest.param(
            f"<secret><volume>{'v' * 4097}</volume></secret>",
            (LibvirtCode.XML_ERROR, LibvirtDomain.SECRET),
            "line 1: a usage id may have at most 4096 bytes of UTF-8",
            id="long-short-form",
        ),
        pytest.param(
            f"<secret><description>{'d' * 6145}</description></secret>",
            (LibvirtCode.XML_ERROR, LibvirtDomain.SECRET),
            "line 1: a description may have at most 6144 bytes of UTF-8",
            id="long-description",
        ),
        pytest.param(
            f"<secret>{' ' * limits.DOCUMENT_BYTES}</secret>",
            (LibvirtCode.XML_DETAIL, LibvirtDomain.SECRET),
            "a document may have at most 65536 bytes",
            id="long",
        ),
    ],
)
def test_what_is_refused(body: str, kind: tuple[LibvirtCode, LibvirtDomain], message: str) -> None:
    with pytest.raises(LibvirtError) as caught:
        read_libvirt_secret(body.encode(), NAMES, validate=False)
    assert (caught.value.libvirt_code, caught.value.libvirt_domain) == kind
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            "<secret>\n<frob/></secret>", "line 2: an unknown element may not stand in <secret>", id="element"
        ),
        pytest.param(
            "<secret><usage type='none'/></secret>",
            "line 1: the attribute type of <usage> is not one of volume, ceph, iscsi, tls, vtpm",
            id="none",
        ),
        pytest.param(
            "<secret>\n<usage type='volume'>\n<volume>a</volume></usage></secret>",
            "line 3: <volume> does not hold an absolute path on one line",
            id="path",
        ),
        pytest.param(
            "<secret><usage type='ceph'><name>a/b</name></usage></secret>",
            "line 1: <name> does not hold a name on one line without a slash",
            id="name",
        ),
        pytest.param("<secret><volume>/a</volume></secret>", "line 1: <volume> may not stand in <secret>", id="short"),
        pytest.param(
            "<x:secret xmlns:x='urn:x'/>",
            "line 1: an unknown element at the root, where <secret> is expected",
            id="namespace",
        ),
    ],
)
def test_what_validation_says(body: str, message: str) -> None:
    with pytest.raises(LibvirtError) as caught:
        read_libvirt_secret(body.encode(), NAMES, validate=True)
    assert (caught.value.libvirt_code, caught.value.libvirt_domain) == (92, 5)
    assert caught.value.message == message


def test_names_are_budgeted() -> None:
    names = UnknownNames(limit=3)
    read_libvirt_secret(b"<secret><a:b/><?c?></secret>", names, validate=False)
    with pytest.raises(LibvirtError, match="more unknown names than one user may bring"):
        read_libvirt_secret(b"<secret><?d?><?e?></secret>", names, validate=False)


def test_a_fault_behind_many_wrong_prefixes_is_found() -> None:
    wrong = b"<a:b/>" * 99
    nothing = SecretDocument(Attributes())
    assert read_libvirt_secret(b"<secret>" + wrong + b"</secret>", NAMES, validate=False) == nothing
    for rest in (b"<a:b/>", b"<\xce\x87/>", b"&", b"</a>"):
        with pytest.raises(LibvirtError, match=r"^line 1: not well-formed XML"):
            read_libvirt_secret(b"<secret>" + wrong + rest + b"</secret>", NAMES, validate=False)


# Anything at all.

BODIES = st.sampled_from([body for body in map(body_of, VECTORS) if len(body) < 1_000])


@given(body=st.binary(max_size=100) | BODIES, data=st.data(), validate=st.booleans())
def test_any_bytes_give_a_document_or_a_fault(body: bytes, data: st.DataObject, validate: bool) -> None:
    cut = data.draw(st.integers(0, len(body)))
    mangled = body[:cut] + data.draw(st.binary(max_size=3)) + body[cut + data.draw(st.integers(0, 3)) :]
    with suppress(LibvirtError):
        document = read_libvirt_secret(mangled, NAMES, validate=validate)
        assert read_secret(write_secret(document).encode()) == document
    with suppress(InvalidRequestError):
        assert read_secret(mangled) == read_libvirt_secret(mangled, NAMES, validate=False)
