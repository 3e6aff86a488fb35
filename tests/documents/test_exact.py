"""The short way of reading a message says what the long way says, or nothing.

Messages are written by our own writers and then damaged, for what is nearly of their spelling is where the two could
differ.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.documents import records
from secretd import keyrequests
from secretd import operations as ops
from secretd.documents import messages
from secretd.documents.messages import write_reply, write_request
from secretd.keys import Blob, ContextPair, DataKeySpec, KeyId
from secretd.model import Attributes, Digest, SecretDocument, SecretValue, Usage, UsageType
from secretd.operations import OPERATIONS, Operation, Reply, Request

EACH_OPERATION = pytest.mark.parametrize("operation", [pytest.param(row, id=row.name) for row in OPERATIONS])
ID = UUID("8a0ca5d4-2b3c-4a6e-9a9f-0d6b3c1f7e21")

PIECES = [
    *(
        b"'",
        b'"',
        b"<",
        b">",
        b"/",
        b"/>",
        b"=",
        b"&",
        b"&amp;",
        b"&#65;",
        b"]]>",
        b"<!---->",
        b"<?x?>",
        b"\0",
        b"\xff",
    ),
    *(b" ", b"\t", b"\r\n", b"\n", b"-", b"0", b"00", b"A", b"a", b"yes", b"no", b"none", b"volume", b"\xc3\xa4", b""),
    *(b"<blob>", b"</blob>", b"<password>", b" key='a.b_c'", b"<context><name>a</name><text/></context>", b"2027-"),
    *(b"<value>", b"</value>", b"<usage type='none'/>", b" serial='1'", b" descriptor='yes'", b" descriptor='no'"),
    *(b"<volume>v</volume>", b"<uuid>", b"</secret>", b"<entry", b"<secret xmlns='urn:x'>", b"xml:id='a'"),
]
"""What a message is damaged with."""


@st.composite
def damaged(draw: st.DrawFn, written: bytes) -> bytes:
    """Put pieces in the place of parts of a message."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(written)))
        end = min(len(written), start + draw(st.integers(0, 12)))
        written = written[:start] + draw(st.sampled_from(PIECES)) + written[end:]
    return written


@EACH_OPERATION
@given(data=st.data())
def test_both_ways_read_the_same_request(operation: Operation, data: st.DataObject) -> None:
    written = write_request(data.draw(st.integers(0, 2**32)), data.draw(records(operation.request)))
    check_request(data.draw(damaged(written)))


@EACH_OPERATION
@given(data=st.data())
def test_both_ways_read_the_same_reply(operation: Operation, data: st.DataObject) -> None:
    written = write_reply(data.draw(st.integers(0, 2**32)), operation, data.draw(records(operation.reply)))
    check_reply(data.draw(damaged(written)))


@given(body=st.binary(max_size=100))
@example(b"")
def test_both_ways_read_the_same_of_any_bytes(body: bytes) -> None:
    check_request(body)
    check_reply(body)


def check_request(body: bytes) -> None:
    """What the short way reads, the long way reads alike; it raises where they differ."""
    short = messages._exact_request(body)
    if short is not None:
        long = messages._parsed_request(body)
        assert (short.serial, short.descriptor, short.operation) == (long.serial, long.descriptor, long.operation)
        assert short.read() == long.read()


def check_reply(body: bytes) -> None:
    short = messages._exact_reply(body)
    if short is not None:
        long = messages._parsed_reply(body)
        assert (short.serial, short.message, short.error) == (long.serial, long.message, long.error)
        assert (short.name, short.line) == (long.name, long.line)
        request = next(row.request for row in OPERATIONS if row.name == short.name)
        assert short.read(request) == long.read(request)


VALUE = SecretValue(b"correct horse")
USAGE = Usage(UsageType.CEPH, "client.admin secret")
KEY = KeyId("nightly.backups_1")
BLOB = Blob(bytes(range(256)))
CONTEXT = (ContextPair("datastore", "tank (old)"), ContextPair("a:b", "x=1"))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(ops.GetValue(ID), id="get-value"),
        pytest.param(ops.SetValue(ID, VALUE), id="set-value"),
        pytest.param(ops.LookupByUsage(USAGE), id="lookup-by-usage"),
        pytest.param(ops.LookupById(ID), id="lookup-by-id"),
        pytest.param(ops.Count(ephemeral=True), id="count"),
        pytest.param(ops.SetXml(ID, SecretDocument(Attributes(USAGE, "a b", private=True), ID)), id="set-xml"),
        pytest.param(ops.AllocateId("for people"), id="allocate-id"),
        pytest.param(ops.Status(), id="status"),
        pytest.param(keyrequests.GenerateDataKey(), id="generate-data-key-by-default"),
        pytest.param(
            keyrequests.GenerateDataKey(KEY, DataKeySpec.AES_128, clear=False, context=CONTEXT), id="generate-data-key"
        ),
        pytest.param(keyrequests.Encrypt(VALUE, KEY, CONTEXT), id="encrypt"),
        pytest.param(keyrequests.Encrypt(SecretValue(bytes(65_536)), None, CONTEXT * 64), id="encrypt-much"),
        pytest.param(keyrequests.Decrypt(BLOB, KeyId(str(ID)), CONTEXT), id="decrypt"),
        pytest.param(keyrequests.Decrypt(BLOB), id="decrypt-without-a-context"),
        pytest.param(keyrequests.Rewrap(BLOB, None, CONTEXT), id="rewrap"),
    ],
)
def test_what_our_client_asks_is_read_the_short_way(request_: Request[Reply]) -> None:
    document = messages._exact_request(write_request(7, request_, descriptor=True))
    assert document is not None
    assert (document.serial, document.descriptor, document.read()) == (7, True, request_)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        pytest.param("get-value", ops.GotValue(VALUE), id="get-value"),
        pytest.param("set-value", ops.Changed(ID, Digest("0" * 32)), id="set-value"),
        pytest.param("delete", ops.Deleted(), id="delete"),
        pytest.param("list", ops.Listed((), truncated=False), id="list-of-none"),
        pytest.param("count", ops.Counted(7), id="count"),
        pytest.param("generate-data-key", keyrequests.DataKey(KEY, 2, BLOB, VALUE), id="generate-data-key"),
        pytest.param(
            "generate-data-key", keyrequests.DataKey(KEY, 2, BLOB), id="generate-data-key-without-the-clear-half"
        ),
        pytest.param("encrypt", keyrequests.Encrypted(KEY, 2**31, BLOB), id="encrypt"),
        pytest.param("decrypt", keyrequests.Decrypted(KEY, 1, VALUE), id="decrypt"),
        pytest.param("rewrap", keyrequests.Encrypted(KEY, 1, BLOB), id="rewrap"),
        pytest.param(
            "key-schedule-deletion",
            keyrequests.KeyDeletionScheduled(KEY, Digest("2" * 32), datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)),
            id="moment",
        ),
        pytest.param("lookup-by-id", ops.FoundEntry(ID, Digest("1" * 32), False, True, True, USAGE), id="lookup-by-id"),
        pytest.param(
            "list",
            ops.Listed((ops.Entry(ID, Digest("1" * 32), False, True, True, USAGE),) * 2, True, ID),
            id="list",
        ),
    ],
)
def test_what_our_daemon_answers_is_read_the_short_way(name: str, reply: Reply) -> None:
    operation = ops.BY_NAME[name]
    document = messages._exact_reply(write_reply(7, operation, reply))
    assert document is not None
    assert document.read(operation.request) == reply
