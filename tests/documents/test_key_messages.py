"""Messages about keys: how their parts are written, what travels by descriptor, and that the longest of them fit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from secretd import keyrequests, limits
from secretd import operations as ops
from secretd.documents.messages import (
    RequestError,
    carried_in,
    open_request,
    read_reply,
    write_reply,
    write_request,
)
from secretd.errors import InvalidDocumentError, InvalidRequestError, InvalidValueError
from secretd.keys import (
    Blob,
    ContextPair,
    KeyBackend,
    KeyDocument,
    KeyFormat,
    KeyId,
    KeyKdf,
    KeyOrigin,
    KeyState,
    Tag,
)
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest, SecretValue
from secretd.operations import Reply, Request

KEY = KeyId("nightly")
LONGEST_ID = KeyId("7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9")
DIGEST = Digest("5d1f0bd1c0f4d2b1a8f0a4a1f2c3e4d5")
VALUE, PASSWORD = SecretValue(b"open sesame"), SecretValue(b"correct horse")
BLOB = Blob(b"sealed")
MOMENT = datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
CONTEXT = (ContextPair("datastore", "tank"), ContextPair("vm", "<100>"))
WRITTEN_CONTEXT = (
    "<context><name>datastore</name><text>tank</text></context>"
    "<context><name>vm</name><text>&lt;100&gt;</text></context>"
)


@pytest.mark.parametrize(
    ("request_", "written"),
    [
        pytest.param(
            keyrequests.Encrypt(VALUE, KEY, CONTEXT),
            f"<encrypt key='nightly'><value>b3BlbiBzZXNhbWU=</value>{WRITTEN_CONTEXT}</encrypt>",
            id="context",
        ),
        pytest.param(keyrequests.Decrypt(BLOB), "<decrypt><blob>c2VhbGVk</blob></decrypt>", id="blob"),
        pytest.param(
            keyrequests.KeyImport(KeyDocument(KEY), VALUE, KeyFormat.PBS, PASSWORD),
            "<key-import format='pbs'><key exportable='no'><id>nightly</id><usage>encrypt-decrypt</usage></key>"
            "<value>b3BlbiBzZXNhbWU=</value><password>Y29ycmVjdCBob3JzZQ==</password></key-import>",
            id="password-and-document",
        ),
        pytest.param(
            keyrequests.KeyAttach(KEY, "sync:'offsite'", ReferenceKind.ASSOCIATED, DIGEST),
            f"<key-attach key='nightly' kind='associated' digest='{DIGEST}'>"
            "<consumer>sync:&apos;offsite&apos;</consumer></key-attach>",
            id="consumer",
        ),
    ],
)
def test_requests_as_they_are_written(request_: Request[Reply], written: str) -> None:
    assert write_request(7, request_) == f"<request serial='7'>{written}</request>".encode()


def test_parts_of_a_reply_as_they_are_written() -> None:
    told = keyrequests.KeyDescribed(
        DIGEST,
        KeyDocument(),
        KeyState.PENDING_DELETION,
        2,
        KeyBackend.LOCAL,
        False,
        MOMENT,
        due=MOMENT,
        versions=(keyrequests.KeyVersion(2, MOMENT, KeyOrigin.IMPORTED, 65_536),),
        references=(Reference("sync", ReferenceKind.ACTIVE),),
    )
    assert write_reply(7, ops.BY_NAME["key-describe"], told).decode() == (
        f"<reply serial='7'><key-describe digest='{DIGEST}' state='pending-deletion' version='2' backend='local' "
        "default='no' created='2027-12-31T23:59:59Z' due='2027-12-31T23:59:59Z'>"
        "<key exportable='no'><usage>encrypt-decrypt</usage></key>"
        "<version number='2' created='2027-12-31T23:59:59Z' origin='imported' uses='65536'/>"
        "<reference kind='active'><consumer>sync</consumer></reference></key-describe></reply>"
    )


def test_the_id_of_a_key_is_read_in_either_case() -> None:
    body = f"<request serial='7'><key-describe key='{LONGEST_ID.upper()}'/></request>".encode()
    assert open_request(body).read() == keyrequests.KeyDescribe(LONGEST_ID)


# What travels by descriptor.


@pytest.mark.parametrize(
    ("message", "carried"),
    [
        pytest.param(keyrequests.KeyImport(KeyDocument(), VALUE, KeyFormat.PBS, PASSWORD), VALUE, id="key-import"),
        pytest.param(keyrequests.KeyExport(KEY, kdf=KeyKdf.SCRYPT, password=PASSWORD), None, id="key-export"),
        pytest.param(keyrequests.KeyExported(1, VALUE, "00"), VALUE, id="key-exported"),
        pytest.param(keyrequests.Encrypt(VALUE), VALUE, id="encrypt"),
        pytest.param(keyrequests.Encrypted(KEY, 1, BLOB), None, id="encrypted"),
        pytest.param(keyrequests.Decrypt(BLOB), None, id="decrypt"),
        pytest.param(keyrequests.Decrypted(KEY, 1, VALUE), VALUE, id="decrypted"),
        pytest.param(keyrequests.DataKey(KEY, 1, BLOB, VALUE), VALUE, id="data-key"),
        pytest.param(keyrequests.DataKey(KEY, 1, BLOB), None, id="data-key-without-the-clear-half"),
        pytest.param(ops.Status(), None, id="status"),
    ],
)
def test_what_may_travel_by_descriptor(message: Request[Reply] | Reply, carried: SecretValue | None) -> None:
    assert carried_in(message) is carried


def test_a_password_is_text_where_the_value_travels_by_descriptor() -> None:
    request = keyrequests.KeyImport(KeyDocument(), VALUE, KeyFormat.PBS, PASSWORD)
    body = write_request(7, request, value_by_descriptor=True)
    assert b"<value descriptor='yes'/><password>Y29ycmVjdCBob3JzZQ==</password>" in body
    assert open_request(body).read(VALUE) == request


IMPORT = "<request serial='7'><key-import><key/>%s</key-import></request>"
EXPORT = f"<request serial='7'><key-export key='{KEY}'>%s</key-export></request>"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(EXPORT % "<password descriptor='yes'/>", id="by-the-password"),
        pytest.param(IMPORT % "<value descriptor='yes'/><password descriptor='yes'/>", id="twice"),
        pytest.param(IMPORT % "<value>YQ==</value><password descriptor='no'/>", id="declined-by-the-password"),
    ],
)
def test_no_password_announces_a_descriptor(body: str) -> None:
    with pytest.raises(RequestError) as caught:
        open_request(body.encode())
    assert caught.value.serial == 7
    assert isinstance(caught.value.error, InvalidDocumentError)
    assert "<password> may not have the attribute descriptor" in caught.value.error.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(EXPORT % "<password>YQ==</password>", id="password"),
        pytest.param(IMPORT % "<value>YQ==</value><password>YQ==</password>", id="value-as-text"),
        pytest.param("<request serial='7'><decrypt><blob>YQ==</blob></decrypt></request>", id="blob"),
        pytest.param(IMPORT % "\n<value>YQ==</value>", id="not-our-spelling"),
    ],
)
def test_a_descriptor_that_nothing_announces_is_refused(body: str) -> None:
    with pytest.raises(InvalidValueError, match="nothing in it announces one"):
        open_request(body.encode()).read(VALUE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("<blob/>", "line 1: <blob> is empty", id="empty"),
        pytest.param("<blob>YQ</blob>", "line 1: <blob> is not canonical base64", id="base64"),
        pytest.param("<blob> YQ==</blob>", "line 1: <blob> is not canonical base64", id="space"),
        pytest.param(f"<blob>{'A' * 90_000}</blob>", "line 1: <blob> may have at most 65609 bytes", id="too-long"),
    ],
)
def test_blobs_that_are_refused_leave_the_serial(content: str, message: str) -> None:
    document = open_request(f"<request serial='7'><decrypt>{content}</decrypt></request>".encode())
    assert document.serial == 7
    with pytest.raises(InvalidRequestError) as caught:
        document.read()
    assert (type(caught.value), caught.value.message) == (InvalidRequestError, message)


# The longest that there may be: each character is the one whose escape is longest, or none shorter can be.

LONGEST_DOCUMENT = KeyDocument(
    LONGEST_ID,
    description="'" * limits.KEY_DESCRIPTION_BYTES,
    tags=tuple(
        Tag(f"{number:02}" + "'" * (limits.TAG_NAME_CHARACTERS - 2), "'" * limits.TAG_TEXT_CHARACTERS)
        for number in range(limits.KEY_TAGS)
    ),
    exportable=True,
    rotation=limits.ROTATION_DAYS,
)
LONGEST_CONTEXT = tuple(
    ContextPair(f"{number:02}" + "'" * 62, "'" * (limits.CONTEXT_BYTES // limits.CONTEXT_PAIRS - 64))
    for number in range(limits.CONTEXT_PAIRS)
)
LONGEST_VALUE = SecretValue(bytes(limits.VALUE_BYTES))
LONGEST_BLOB = Blob(bytes(limits.BLOB_BYTES))
KEY_FILE = SecretValue(bytes(4_096))
LARGEST = 2**63 - 1
LONGEST_ENTRY_BYTES = 6_355


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(keyrequests.KeyCreate(LONGEST_DOCUMENT), id="key-create"),
        pytest.param(keyrequests.KeyUpdate(LONGEST_ID, LONGEST_DOCUMENT, DIGEST), id="key-update"),
        pytest.param(keyrequests.KeyImport(LONGEST_DOCUMENT, LONGEST_VALUE, KeyFormat.PBS, KEY_FILE), id="key-import"),
        pytest.param(keyrequests.Encrypt(LONGEST_VALUE, LONGEST_ID, LONGEST_CONTEXT), id="encrypt"),
        pytest.param(keyrequests.Decrypt(LONGEST_BLOB, LONGEST_ID, LONGEST_CONTEXT), id="decrypt"),
        pytest.param(keyrequests.Rewrap(LONGEST_BLOB, LONGEST_ID, LONGEST_CONTEXT), id="rewrap"),
    ],
)
def test_the_longest_requests_fit(request_: Request[Reply]) -> None:
    body = write_request(limits.SERIAL, request_, descriptor=True)
    assert len(body) <= limits.MESSAGE_BYTES
    assert open_request(body).read() == request_


def test_the_longest_description_of_a_key_fits() -> None:
    reply = keyrequests.KeyDescribed(
        DIGEST,
        LONGEST_DOCUMENT,
        KeyState.PENDING_DELETION,
        LARGEST,
        KeyBackend.LOCAL,
        False,
        MOMENT,
        MOMENT,
        MOMENT,
        MOMENT,
        (keyrequests.KeyVersion(LARGEST, MOMENT, KeyOrigin.GENERATED, LARGEST),) * limits.KEY_VERSIONS,
        tuple(
            Reference(f"{number:02}" + "'" * (limits.CONSUMER_CHARACTERS - 2), ReferenceKind.ASSOCIATED)
            for number in range(limits.REFERENCES)
        ),
    )
    body = write_reply(limits.SERIAL, ops.BY_NAME["key-describe"], reply)
    assert len(body) <= limits.MESSAGE_BYTES
    assert body.count(b"<") <= limits.REPLY_ELEMENTS
    assert read_reply(body).read(keyrequests.KeyDescribe) == reply


def test_a_page_of_keys_is_cut_by_its_bytes() -> None:
    """The bound of a page leaves room for one more entry, and for what is around all of them."""
    entry = keyrequests.KeyEntry(
        LONGEST_ID,
        DIGEST,
        KeyState.PENDING_DELETION,
        LARGEST,
        KeyBackend.LOCAL,
        False,
        "'" * limits.KEY_DESCRIPTION_BYTES,
    )
    lengths = [
        len(
            write_reply(
                limits.SERIAL, ops.BY_NAME["key-list"], keyrequests.KeysListed((entry,) * count, True, LONGEST_ID)
            )
        )
        for count in (0, 1, 2)
    ]
    longest = lengths[2] - lengths[1]
    assert longest == LONGEST_ENTRY_BYTES
    assert limits.PAGE_BYTES + longest + lengths[0] <= limits.MESSAGE_BYTES
